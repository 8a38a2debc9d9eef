//! The seam: a shared tier behind a network that loses, repeats, delays, reorders and damages.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::watch;
use tokio::time::Instant;

use super::connected::SENT;
use super::plan::MS;
use super::world::{Site, World};
use crate::{
    BackendError, BackendStats, CacheBackend, Caps, Entry, Fill, Filled, Key, Lookup, News, Position, Scope,
    Terms,
};

/// One node's way to the store.
#[derive(Debug, Clone)]
pub(super) struct Network {
    pub(super) world: Arc<World>,
    pub(super) node: usize,
    pub(super) store: Arc<dyn CacheBackend>,
}

#[derive(Clone)]
enum Request {
    Ask(Vec<Key>, Terms),
    Fill(Vec<Fill>),
    Remove(String, Scope),
    News(String, Option<Position>),
}

#[derive(Debug)]
enum Reply {
    Lookups(Vec<Lookup>),
    Filled(Vec<Filled>),
    Removed,
    News(News),
}

/// What becomes of a message: when it arrives, if it does.
type Way = Option<u64>;

struct Fate {
    request: Way,
    again: Option<u64>,
    reply: Way,
    damaged: bool,
}

const LOST: u64 = 1;
const LATE: u64 = 2;
const AGAIN: u64 = 3;
const DAMAGED: u64 = 4;
const MESSAGE: u64 = 5; // a kind beside those of requests
const REPLY: u64 = 8; // added to LOST and LATE

impl Request {
    fn kind(&self) -> u64 {
        match self {
            Self::Ask(..) => 1,
            Self::Fill(_) => 2,
            Self::Remove(..) => 3,
            Self::News(..) => 4,
        }
    }
}

impl fmt::Display for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = |key: &Key| key.name().last().copied().unwrap_or(0); // keys are small numbers here
        match self {
            Self::Ask(keys, _) => write!(f, "question for {:?}", keys.iter().map(key).collect::<Vec<_>>()),
            Self::Fill(fills) => {
                write!(f, "fill of {:?}", fills.iter().map(|fill| key(&fill.key)).collect::<Vec<_>>())
            }
            Self::Remove(_, Scope::Keys(keys)) => {
                write!(f, "removal of {:?}", keys.iter().map(key).collect::<Vec<_>>())
            }
            Self::Remove(_, scope) => write!(f, "removal of {scope:?}"),
            Self::News(..) => f.write_str("look for news"),
        }
    }
}

impl fmt::Display for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lookups(lookups) => lookups.iter().try_for_each(|lookup| match lookup {
                // The last byte of a frame is that of its version.
                Lookup::Fresh(entry) => write!(f, "version {} ", entry.frame.last().copied().unwrap_or(0)),
                Lookup::Stale(entry, lease) => {
                    let version = entry.frame.last().copied().unwrap_or(0);
                    write!(
                        f,
                        "stale version {version}, {} ",
                        if lease.is_some() { "a lease" } else { "busy" }
                    )
                }
                other => write!(f, "{} ", format!("{other:?}").split('(').next().unwrap_or_default()),
            }),
            Self::Filled(filled) => write!(f, "{filled:?}"),
            Self::Removed => f.write_str("done"),
            Self::News(News { changes: Some(changes), .. }) if changes.is_empty() => {
                f.write_str("nothing new")
            }
            Self::News(News { changes: Some(changes), .. }) => write!(f, "{} removals", changes.len()),
            Self::News(_) => f.write_str("a gap, or another life"),
        }
    }
}

/// What a trace says of an answer.
fn said(answer: &Result<Reply, BackendError>) -> String {
    answer.as_ref().map_or_else(ToString::to_string, Reply::to_string)
}

impl Network {
    fn fate(&self, request: &Request) -> Fate {
        let mut site = self.world.site(self.node, request.kind());
        let world = &self.world;
        // A removal is lost more often, anything else a little less, which makes thirty in a hundred.
        let (lost, late) = if matches!(request, Request::Remove(..)) { (22, 6) } else { (9, 14) };
        let way = |site: &mut Site, add: u64| -> Way {
            if world.mishap(site, LOST + add, lost) {
                return None;
            }
            let late = world.mishap(site, LATE + add, late);
            Some(if late { site.dice.between(10, 130) } else { site.dice.below(4) })
        };
        let request = way(&mut site, 0);
        let again = world.mishap(&mut site, AGAIN, 6).then(|| site.dice.between(1, 130));
        let reply = way(&mut site, REPLY);
        Fate { request, again, reply, damaged: world.mishap(&mut site, DAMAGED, 2) }
    }

    /// The request goes its way whether or not its sender still waits.
    async fn send(&self, request: Request) -> Result<Reply, BackendError> {
        let (network, fate) = (self.clone(), self.fate(&request));
        tokio::spawn(SENT.scope(Instant::now(), async move { network.carry(request, fate).await }))
            .await
            .unwrap_or_else(|_| Err(self.lost()))
    }

    async fn carry(&self, request: Request, fate: Fate) -> Result<Reply, BackendError> {
        self.world.running(self.node).await;
        let (node, what) = (self.node, request.to_string());
        let Some(after) = fate.request else {
            self.world.note(|| format!("node {node}: the {what} is lost"));
            return self.silence().await;
        };
        self.world.linger(after).await;
        if !self.world.reaches(node) {
            return Err(self.lost());
        }
        if let Some(after) = fate.again {
            self.repeat(request.clone(), after);
        }
        let mut answer = self.execute(request).await;
        self.world.note(|| format!("node {node}: the {what} arrives: {}", said(&answer)));
        if fate.damaged {
            damage(&mut answer);
        }
        let Some(after) = fate.reply else {
            self.world.note(|| format!("node {node}: the reply to the {what} is lost"));
            return self.silence().await;
        };
        self.world.linger(after).await;
        if !self.world.reaches(node) {
            return Err(self.lost());
        }
        match &answer {
            Ok(Reply::News(_)) => self.world.polling(node).await,
            _ => self.world.running(node).await,
        }
        answer
    }

    /// A message that arrives twice.
    fn repeat(&self, request: Request, after: u64) {
        let network = self.clone();
        let sent = SENT.try_with(|sent| *sent).unwrap_or_else(|_| Instant::now());
        tokio::spawn(SENT.scope(sent, async move {
            network.world.linger(after).await;
            if network.world.reaches(network.node) {
                let what = request.to_string();
                let answer = network.execute(request).await;
                let node = network.node;
                network.world.note(|| format!("node {node}: the {what} arrives again: {}", said(&answer)));
            }
        }));
    }

    /// A message that somebody removed something: it hurries a look for news, and is lost like any other.
    fn pass_on(&self, heard: &watch::Sender<()>) {
        let (network, heard) = (self.clone(), heard.clone());
        let mut site = self.world.site(self.node, MESSAGE);
        if self.world.mishap(&mut site, LOST, 30) || !self.world.reaches(self.node) {
            return;
        }
        let after = site.dice.below(if self.world.shape.calm { 4 } else { 40 });
        tokio::spawn(async move {
            network.world.linger(after).await;
            network.world.polling(network.node).await;
            heard.send_replace(());
        });
    }

    async fn execute(&self, request: Request) -> Result<Reply, BackendError> {
        Ok(match request {
            Request::Ask(keys, terms) => Reply::Lookups(self.store.get_or_lease(&keys, &terms).await?),
            Request::Fill(fills) => Reply::Filled(self.store.fill_if(fills).await?),
            Request::Remove(namespace, scope) => {
                self.store.remove(&namespace, scope).await?;
                Reply::Removed
            }
            Request::News(namespace, seen) => Reply::News(self.store.news(&namespace, seen).await?),
        })
    }

    /// Nobody answers, for longer than anybody waits.
    async fn silence(&self) -> Result<Reply, BackendError> {
        self.world.linger(60_000).await;
        Err(self.lost())
    }

    fn lost(&self) -> BackendError {
        BackendError::Timeout { backend: self.store.caps().name, waited: MS }
    }

    fn senseless<T>(&self) -> Result<T, BackendError> {
        Err(BackendError::Protocol { backend: self.store.caps().name, what: "something else" })
    }
}

/// Flips a bit of the first value.
fn damage(answer: &mut Result<Reply, BackendError>) {
    let Ok(Reply::Lookups(lookups)) = answer else { return };
    for lookup in lookups {
        if let Lookup::Fresh(Entry { frame, .. }) | Lookup::Stale(Entry { frame, .. }, _) = lookup {
            let mut bytes = frame.to_vec();
            bytes.last_mut().into_iter().for_each(|byte| *byte ^= 1);
            *frame = Bytes::from(bytes);
        }
    }
}

#[async_trait]
impl CacheBackend for Network {
    async fn get_or_lease(&self, keys: &[Key], terms: &Terms) -> Result<Vec<Lookup>, BackendError> {
        match self.send(Request::Ask(keys.to_vec(), *terms)).await? {
            Reply::Lookups(lookups) => Ok(lookups),
            _ => self.senseless(),
        }
    }

    async fn fill_if(&self, fills: Vec<Fill>) -> Result<Vec<Filled>, BackendError> {
        match self.send(Request::Fill(fills)).await? {
            Reply::Filled(filled) => Ok(filled),
            _ => self.senseless(),
        }
    }

    async fn remove(&self, namespace: &str, scope: Scope) -> Result<(), BackendError> {
        match self.send(Request::Remove(namespace.to_owned(), scope)).await? {
            Reply::Removed => Ok(()),
            _ => self.senseless(),
        }
    }

    async fn news(&self, namespace: &str, seen: Option<Position>) -> Result<News, BackendError> {
        match self.send(Request::News(namespace.to_owned(), seen)).await? {
            Reply::News(news) => Ok(news),
            _ => self.senseless(),
        }
    }

    fn messages(&self, namespace: &str) -> Option<watch::Receiver<()>> {
        let (mut sent, (sender, heard)) = (self.store.messages(namespace)?, watch::channel(()));
        let network = self.clone();
        tokio::spawn(async move {
            while sent.changed().await.is_ok() {
                network.pass_on(&sender);
            }
        });
        Some(heard)
    }

    fn caps(&self) -> Caps {
        self.store.caps()
    }

    fn stats(&self) -> BackendStats {
        self.store.stats()
    }
}
