//! Running flights: the shared tier, then the loader, then the fills.

use std::hash::Hash;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};
use xxhash_rust::xxh3::xxh3_64;

use super::{Inner, Wire};
use crate::flight::Landing;
use crate::frame::{self, FrameError};
use crate::{Entry, Error, Fill, FillWith, Held, Key, Lease, Loaded, Loader, Lookup};

/// First pause before a busy key is asked for again; it doubles up to the last.
const PAUSES: (Duration, Duration) = (Duration::from_millis(2), Duration::from_millis(32));

/// A flight, with what the shared tier knows it by.
struct Flying<K: Hash + Eq, V, E> {
    landing: Landing<K, V, E>,
    wire: Option<Key>,
    lease: Option<Lease>,
}

/// Brings a batch of flights to their end.
pub(super) async fn run<K, V, L>(inner: Arc<Inner<K, V, L>>, landings: Vec<Landing<K, V, L::Error>>)
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    V: Send + Sync + 'static,
    L: Loader<K, V>,
{
    let deadline = Instant::now() + inner.settings.lease_wait;
    let wire_key = |landing: &Landing<K, V, L::Error>| inner.wire.as_ref().map(|wire| wire.key(&landing.key));
    let flying = |landing| Flying { wire: wire_key(&landing), landing, lease: None };
    let flying: Vec<_> = landings.into_iter().map(flying).collect();
    let (to_load, busy) = inner.ask(flying).await;
    if !busy.is_empty() {
        tokio::spawn(wait(Arc::clone(&inner), busy, deadline));
    }
    load(&inner, to_load).await;
}

/// Asks again for keys that another node is loading, until its value is there, its lease is free, or the time is up.
async fn wait<K, V, L>(inner: Arc<Inner<K, V, L>>, mut busy: Vec<Flying<K, V, L::Error>>, deadline: Instant)
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    V: Send + Sync + 'static,
    L: Loader<K, V>,
{
    let mut pause = PAUSES.0;
    while !busy.is_empty() && Instant::now() < deadline {
        sleep(pause).await;
        pause = (pause * 2).min(PAUSES.1);
        let (to_load, still) = inner.ask(busy).await;
        busy = still;
        if !to_load.is_empty() {
            let inner = Arc::clone(&inner);
            tokio::spawn(async move { load(&inner, to_load).await });
        }
    }
    load(&inner, busy).await;
}

type Batch<K, V, E> = Vec<Flying<K, V, E>>;

impl<K, V, L> Inner<K, V, L>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    V: Send + Sync + 'static,
    L: Loader<K, V>,
{
    /// One question to the shared tier: lands what it has; gives back what has to be loaded, and what others are loading.
    async fn ask(&self, flying: Batch<K, V, L::Error>) -> (Batch<K, V, L::Error>, Batch<K, V, L::Error>) {
        let Some(wire) = self.wire.as_ref().filter(|_| !self.blind.load(Ordering::Acquire)) else {
            return (flying, Vec::new());
        };
        let (asked, mut to_load): (Vec<_>, Vec<_>) =
            flying.into_iter().partition(|one| !one.landing.skip_shared);
        let keys: Vec<Key> = asked.iter().filter_map(|one| one.wire.clone()).collect();
        if keys.is_empty() {
            return (to_load, Vec::new());
        }
        let lookups = self.ask_shared(wire.backend.get_or_lease(&keys, self.settings.lease())).await;
        let Some(lookups) = lookups.filter(|lookups| lookups.len() == keys.len()) else {
            to_load.extend(asked);
            return (to_load, Vec::new());
        };
        let mut busy = Vec::new();
        for (mut one, lookup) in asked.into_iter().zip(lookups) {
            match lookup {
                Lookup::Fresh(entry) => to_load.extend(self.promote(wire, one, &entry)),
                Lookup::Miss(lease) => {
                    one.lease = Some(lease);
                    to_load.push(one);
                }
                Lookup::Busy => busy.push(one),
                Lookup::Failed => to_load.push(one),
            }
        }
        (to_load, busy)
    }

    /// Lands what the shared tier has; gives the flight back when its bytes are no value.
    fn promote(
        &self,
        wire: &Wire<K, V>,
        one: Flying<K, V, L::Error>,
        entry: &Entry,
    ) -> Option<Flying<K, V, L::Error>> {
        let payload = frame::decode(wire.schema, &entry.frame);
        let value = match payload {
            Ok(None) => None,
            Ok(Some(bytes)) => match wire.codec.decode(bytes) {
                Ok(value) => Some(Arc::new(value)),
                Err(_) => return self.undecodable(one),
            },
            Err(FrameError::Corrupt) => return self.undecodable(one),
            Err(FrameError::Foreign) => return Some(one),
        };
        self.counters.shared_hits.add(1);
        self.land(&one, value, entry.left, entry.tags.clone());
        None
    }

    fn undecodable(&self, one: Flying<K, V, L::Error>) -> Option<Flying<K, V, L::Error>> {
        self.counters.decode_errors.add(1);
        Some(one)
    }

    /// Answers the waiters, and keeps the value near unless the key was invalidated meanwhile.
    fn land(&self, one: &Flying<K, V, L::Error>, value: Option<Arc<V>>, left: Duration, tags: Vec<Arc<str>>) {
        let name = one.wire.as_ref().map_or(0, |wire| xxh3_64(wire.name()));
        let held =
            Held { value: value.clone(), born: one.landing.born, name, until: Instant::now() + left, tags };
        let kept = one.landing.land(Ok(value), || self.near.insert(one.landing.key.clone(), Arc::new(held)));
        if !kept {
            self.counters.fenced.add(1);
        }
    }

    /// Loads `keys` in a task of its own, so that a panic is an answer; bounded in number and in time.
    async fn load_all(
        self: &Arc<Self>,
        keys: Vec<K>,
    ) -> Result<Vec<Result<Loaded<V>, L::Error>>, Error<L::Error>> {
        let _permit = self.loads.acquire().await.map_err(|_| Error::Closed)?;
        self.counters.loads.add(keys.len() as u64);
        let (inner, limit) = (Arc::clone(self), self.settings.load_timeout);
        let asked = keys.len();
        let mut task = tokio::spawn(async move { inner.loader.load_many(keys).await });
        match timeout(limit, &mut task).await {
            Ok(Ok(answers)) if answers.len() == asked => Ok(answers),
            Ok(Ok(answers)) => Err(Error::LoadCount { asked, got: answers.len() }),
            Ok(Err(ended)) if ended.is_panic() => Err(Error::LoadPanicked),
            Ok(Err(_)) => Err(Error::Closed),
            Err(_) => {
                task.abort();
                Err(Error::LoadTimeout(limit))
            }
        }
    }

    /// Lands one answer of the loader; what the shared tier should be told about it.
    fn settle(&self, one: &Flying<K, V, L::Error>, answer: Result<Loaded<V>, L::Error>) -> Option<FillWith> {
        let Loaded { value, ttl, tags } = match answer {
            Ok(loaded) => loaded,
            Err(error) => {
                self.fail(one, Error::Load(Arc::new(error)));
                return Some(FillWith::Release);
            }
        };
        let ttl = ttl.unwrap_or(if value.is_some() { self.settings.ttl } else { self.settings.negative_ttl });
        let (left, value) = (self.jittered(ttl), value.map(Arc::new));
        let frame = self.wire.as_ref().and_then(|wire| encode(wire, value.as_deref()));
        self.land(one, value, left, tags.clone());
        Some(frame.map_or(FillWith::Release, |frame| FillWith::Entry(Entry { frame, left, tags })))
    }

    fn fail(&self, one: &Flying<K, V, L::Error>, error: Error<L::Error>) {
        self.counters.load_errors.add(1);
        one.landing.land(Err(error), || {});
    }
}

/// The frame of a value, if it can be written.
fn encode<K, V: 'static>(wire: &Wire<K, V>, value: Option<&V>) -> Option<bytes::Bytes> {
    let payload = value.map(|value| wire.codec.encode(value)).transpose().ok()?;
    Some(frame::encode(wire.schema, payload.as_deref()))
}

async fn load<K, V, L>(inner: &Arc<Inner<K, V, L>>, flying: Batch<K, V, L::Error>)
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    V: Send + Sync + 'static,
    L: Loader<K, V>,
{
    if flying.is_empty() {
        return;
    }
    let keys = flying.iter().map(|one| one.landing.key.clone()).collect();
    let answers = inner.load_all(keys).await;
    let mut fills = Vec::new();
    match answers {
        Ok(answers) => {
            for (one, answer) in flying.iter().zip(answers) {
                fills.extend(fill(one, inner.settle(one, answer)));
            }
        }
        Err(error) => {
            for one in &flying {
                inner.fail(one, error.clone());
                fills.extend(fill(one, Some(FillWith::Release)));
            }
        }
    }
    if let Some(wire) = inner.wire.as_ref().filter(|_| !fills.is_empty()) {
        inner.ask_shared(wire.backend.fill_if(fills)).await;
    }
}

fn fill<K: Hash + Eq, V, E>(one: &Flying<K, V, E>, with: Option<FillWith>) -> Option<Fill> {
    Some(Fill { key: one.wire.clone()?, lease: one.lease.clone()?, with: with? })
}

/// Fills the shared tier with a value that was put, if nobody else is about to.
pub(super) async fn put<K, V, L>(inner: &Inner<K, V, L>, wire: &Wire<K, V>, key: &K, value: &V)
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    V: Send + Sync + 'static,
    L: Loader<K, V>,
{
    let key = wire.key(key);
    let asked = wire.backend.get_or_lease(std::slice::from_ref(&key), inner.settings.lease());
    let Some(Some(Lookup::Miss(lease))) = inner.ask_shared(asked).await.map(|mut lookups| lookups.pop())
    else {
        return;
    };
    let with = encode(wire, Some(value)).map_or(FillWith::Release, |frame| {
        FillWith::Entry(Entry { frame, left: inner.jittered(inner.settings.ttl), tags: Vec::new() })
    });
    inner.ask_shared(wire.backend.fill_if(vec![Fill { key, lease, with }])).await;
}
