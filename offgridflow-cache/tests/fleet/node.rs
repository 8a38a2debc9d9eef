//! One process of a fleet: does its part of the steps and writes down what happened.

use std::collections::BTreeMap;
use std::io::{BufRead, Write};
use std::panic::resume_unwind;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

use fred::interfaces::ClientLike;
use fred::types::Builder;
use fred::types::config::{Config, ReconnectPolicy, UnresponsiveConfig};
use offgridflow_cache::sim::Mutant;
use offgridflow_cache::{
    Cache, Delivery, Error, Json, Loaded, Loader, Moka, Outage, PutLease, QuickCache, RedisBackend,
};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;
use tokio::time::{sleep, sleep_until, timeout};

use crate::plan::{Act, Dice, KEYS, Reach, Shape, Step, is_absent, steps, tag};
use crate::record::{Event, Saw, Trouble, now};
use crate::rival::Composition;
use crate::source::{Alone, Client};
use crate::stage::Variant;

/// What a process is told by its environment.
pub(crate) const SEED: &str = "FLEET_SEED";
pub(crate) const VARIANT: &str = "FLEET_VARIANT";
pub(crate) const PLACE: &str = "FLEET_PLACE";
pub(crate) const NODE: &str = "FLEET_NODE";
pub(crate) const STORE: &str = "FLEET_STORE";
pub(crate) const SOURCE: &str = "FLEET_SOURCE";
pub(crate) const SUBJECT: &str = "FLEET_SUBJECT";
/// Whether it begins only once its near tier is trusted.
pub(crate) const WARM: &str = "FLEET_WARM";

/// How long anything may take that is not bound by a promise.
const PATIENCE: Duration = Duration::from_secs(20);
const TICK: Duration = Duration::from_millis(10);

/// A value that says where it is from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Version {
    pub(crate) key: u64,
    pub(crate) version: u64,
}

/// What happens here, told to whoever plays the fleet.
#[derive(Default)]
pub(crate) struct Journal {
    begun: AtomicBool,
    healed: AtomicBool,
    next: AtomicU64,
    open: Mutex<BTreeMap<u64, (u64, u64)>>, // reads under way: key and when they began
}

impl Journal {
    /// Written at once, so that a process that is killed has said what it did.
    fn say(&self, event: &Event) {
        let line = serde_json::to_string(event).unwrap() + "\n";
        let mut out = std::io::stdout().lock();
        let _ = out.write_all(line.as_bytes()).and_then(|()| out.flush()); // nobody listens: the fleet is over
    }

    fn begins(&self, key: u64) -> u64 {
        let (id, began) = (self.next.fetch_add(1, Ordering::Relaxed), now());
        self.open.lock().unwrap().insert(id, (key, began));
        id
    }

    fn ends(&self, read: u64, saw: Saw, last: bool) {
        let end = Some((now(), saw));
        let (key, began) = self.open.lock().unwrap().remove(&read).unwrap();
        self.say(&Event::Read { key, began, end, last });
    }

    async fn read(&self, key: u64, last: bool, read: impl Future<Output = Saw>) {
        let id = self.begins(key);
        self.ends(id, read.await, last);
    }

    async fn remove(&self, reached: Vec<(u64, u64)>, removal: impl Future<Output = Option<bool>>) {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        self.say(&Event::Removes { id, reached, at: now() });
        if let Some(delivered) = removal.await {
            self.say(&Event::Removed { id, delivered, at: now() });
        }
    }
}

/// One node's way to the source: slow at times, and failing, panicking or never returning.
#[derive(Clone)]
pub(crate) struct Source {
    client: Arc<Client>,
    journal: Arc<Journal>,
    dice: Arc<Mutex<Dice>>,
    cache: Arc<OnceLock<Cache<u64, Version, Source>>>,
}

/// A load that is under way: dropped before it ends, it was given up.
struct UnderWay {
    journal: Arc<Journal>,
    key: u64,
    fenced: Option<u64>,
    began: u64,
    failed: Option<Trouble>,
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        let Self { key, fenced, began, failed, .. } = *self;
        if self.journal.begun.load(Ordering::Relaxed) {
            self.journal.say(&Event::Load { key, fenced, began, ended: now(), failed });
        }
    }
}

impl Source {
    fn mishap(&self, share: u64) -> bool {
        let begun =
            self.journal.begun.load(Ordering::Relaxed) && !self.journal.healed.load(Ordering::Relaxed);
        begun && self.dice.lock().unwrap().percent(share)
    }

    async fn linger(&self) {
        let longest = if self.mishap(12) { 120 } else { 4 };
        let millis = self.dice.lock().unwrap().below(longest);
        sleep(Duration::from_millis(millis)).await;
    }

    fn fenced(&self, key: u64) -> Option<u64> {
        let ago = self.cache.get()?.last_fenced(&key)?.elapsed();
        Some(now() - u64::try_from(ago.as_nanos()).unwrap())
    }

    pub(crate) async fn version(&self, key: u64) -> Result<Option<Version>, Trouble> {
        let (journal, fenced) = (Arc::clone(&self.journal), self.fenced(key));
        let failed = Some(Trouble::Timeout);
        let mut load = UnderWay { journal, key, fenced, began: now(), failed };
        self.linger().await;
        let version = self.client.read(key).await.inspect_err(|_| load.failed = Some(Trouble::Error));
        let version = version.map_err(|_| Trouble::Error)?;
        if self.mishap(2) {
            std::future::pending::<()>().await;
        }
        self.linger().await;
        if self.mishap(3) {
            load.failed = Some(Trouble::Panic);
            drop(load);
            resume_unwind(Box::new("a loader's own fault")); // without a word on standard error
        }
        if self.mishap(3) {
            load.failed = Some(Trouble::Error);
            return Err(Trouble::Error);
        }
        load.failed = None;
        Ok((!is_absent(key, version)).then_some(Version { key, version }))
    }
}

impl Loader<u64, Version> for Source {
    type Error = Trouble;

    async fn load(&self, key: u64) -> Result<Loaded<Version>, Trouble> {
        Ok(Loaded::maybe(self.version(key).await?).tag(tag(key)))
    }

    /// Says at times that what the cache holds is what there is.
    async fn reload_many(
        &self,
        keys: Vec<(u64, Option<Arc<Version>>)>,
    ) -> Vec<Result<Loaded<Version>, Trouble>> {
        let mut answers = Vec::new();
        for (key, held) in keys {
            let found = self.version(key).await;
            let same = found.is_ok_and(|found| found.is_some() && found.as_ref() == held.as_deref());
            let loaded =
                if same && self.mishap(50) { Ok(Loaded::not_modified()) } else { found.map(Loaded::maybe) };
            answers.push(loaded.map(|loaded| loaded.tag(tag(key))));
        }
        answers
    }
}

impl std::fmt::Display for Trouble {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{self:?}")
    }
}

impl std::error::Error for Trouble {}

/// What stands in a process: the cache, or what is usually composed in its place.
enum Subject {
    Cache(Cache<u64, Version, Source>),
    Composition(Box<Composition>),
}

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn store(url: &str, shape: &Shape) -> RedisBackend {
    if !shape.hasty {
        return RedisBackend::connect(url).unwrap();
    }
    let client = Builder::from_config(Config { fail_fast: false, ..Config::from_url(url).unwrap() })
        .with_performance_config(|performance| performance.default_command_timeout = ms(1_000))
        .with_connection_config(|connection| {
            connection.connection_timeout = ms(500);
            connection.internal_command_timeout = ms(500);
            connection.max_command_attempts = 1;
            connection.unresponsive = UnresponsiveConfig { max_timeout: Some(ms(400)), interval: ms(100) };
        })
        .set_policy(ReconnectPolicy::new_constant(0, 20))
        .build()
        .unwrap();
    let _connecting = client.connect();
    RedisBackend::over(client)
}

fn cache(space: &str, url: &str, shape: &Shape, source: &Source, mutant: Option<Mutant>) -> Subject {
    let builder = Cache::<u64, Version>::builder(space)
        .shared(store(url, shape), Json)
        .max_staleness(ms(shape.delta))
        .shared_timeout(ms(shape.shared_timeout))
        .lease_wait(ms(shape.lease_wait))
        .load_timeout(ms(shape.load_timeout))
        .ttl(ms(shape.ttl))
        .negative_ttl(ms(shape.ttl / 2))
        .stale_while_revalidate(ms(shape.revalidate))
        .stale_on_error(ms(shape.on_error))
        .retry_after(ms(shape.retry_after))
        .outage(if shape.suspects { Outage::ServeSuspect(ms(400)) } else { Outage::Reload })
        .mutant(mutant);
    let builder = match shape.soft_timeout {
        Some(wait) => builder.soft_timeout(ms(wait)),
        None => builder,
    };
    let builder = if shape.over_moka {
        builder.near(Moka::entries(1_000))
    } else {
        builder.near(QuickCache::entries(1_000))
    };
    let cache = builder.build(source.clone()).unwrap();
    let _ = source.cache.set(cache.clone());
    Subject::Cache(cache)
}

impl Subject {
    async fn get(&self, key: u64) -> Saw {
        match self {
            Self::Cache(cache) => saw(cache.get(&key).await),
            Self::Composition(composition) => composition.get(key).await,
        }
    }

    fn peek(&self, key: u64) -> Saw {
        let value = match self {
            Self::Cache(cache) => cache.peek(&key),
            Self::Composition(_) => None,
        };
        value.map_or(Saw::Nothing, |value| Saw::Value(value.key, value.version))
    }

    async fn get_all(&self) -> Vec<Saw> {
        let keys: Vec<u64> = (0..KEYS).collect();
        match self {
            Self::Cache(cache) => cache.get_many(&keys).await.into_iter().map(saw).collect(),
            Self::Composition(composition) => {
                let mut all = Vec::new();
                for key in keys {
                    all.push(composition.get(key).await);
                }
                all
            }
        }
    }

    async fn invalidate(&self, reach: Reach, key: u64) -> bool {
        let delivery = match self {
            Self::Cache(cache) => match reach {
                Reach::Key => cache.invalidate(&key).await,
                Reach::Tag => cache.invalidate_tag(tag(key)).await,
                Reach::Everything => cache.clear().await,
            },
            Self::Composition(composition) => {
                let reached: Vec<u64> = (0..KEYS).filter(|other| reach.covers(key, *other)).collect();
                return composition.invalidate(&reached).await;
            }
        };
        delivery == Delivery::Delivered
    }

    async fn put(&self, key: u64, version: u64) -> bool {
        match self {
            Self::Cache(cache) => cache.put(&key, loaded(key, version)).await == Delivery::Delivered,
            Self::Composition(composition) => composition.invalidate(&[key]).await,
        }
    }

    async fn lease(&self, key: u64) -> Option<PutLease<u64, Version, Source>> {
        match self {
            Self::Cache(cache) => Some(cache.lease(&key).await),
            Self::Composition(_) => None,
        }
    }

    /// What was not delivered yet, and how often the shared tier failed.
    fn stats(&self) -> (u64, u64) {
        match self {
            Self::Cache(cache) => {
                let stats = cache.stats();
                (stats.deferred, stats.shared_errors)
            }
            Self::Composition(_) => (0, 0),
        }
    }

    /// Until the near tier is trusted.
    async fn warmed(&self) {
        let Self::Cache(cache) = self else { return };
        let began = Instant::now();
        while cache.peek(&0).is_none() {
            assert!(began.elapsed() < PATIENCE, "no news of the store");
            let _ = cache.get(&0).await;
            sleep(ms(5)).await;
        }
    }
}

fn loaded(key: u64, version: u64) -> Loaded<Version> {
    Loaded::maybe((!is_absent(key, version)).then_some(Version { key, version })).tag(tag(key))
}

fn saw(answer: Result<Option<Arc<Version>>, Error<Trouble>>) -> Saw {
    match answer {
        Ok(Some(value)) => Saw::Value(value.key, value.version),
        Ok(None) => Saw::Absent,
        Err(Error::Load(_)) => Saw::Failed(Trouble::Error),
        Err(Error::LoadPanicked) => Saw::Failed(Trouble::Panic),
        Err(Error::LoadTimeout(_)) => Saw::Failed(Trouble::Timeout),
        Err(_) => Saw::Failed(Trouble::Other),
    }
}

/// A process's part in a fleet.
struct Part {
    subject: Subject,
    client: Arc<Client>,
    journal: Arc<Journal>,
}

impl Part {
    async fn act(&self, act: Act) {
        match act {
            Act::Read { key, patience } => {
                let read = async {
                    match patience {
                        Some(millis) => timeout(ms(millis), self.subject.get(key)).await.unwrap_or(Saw::Left),
                        None => self.subject.get(key).await,
                    }
                };
                self.journal.read(key, false, read).await;
            }
            Act::Peek { key } => self.journal.read(key, false, async { self.subject.peek(key) }).await,
            Act::ReadMany => {
                let reads: Vec<_> = (0..KEYS).map(|key| self.journal.begins(key)).collect();
                for (read, saw) in reads.into_iter().zip(self.subject.get_all().await) {
                    self.journal.ends(read, saw, false);
                }
            }
            Act::Update { key, reach, patience } => self.update(key, reach, patience).await,
            Act::Put { key } => {
                let mut alone = self.client.alone(key).await.unwrap();
                let version = alone.write().await.unwrap();
                self.put(key, version, None, Some(alone)).await;
            }
            Act::LeasedPut { key, takes } => {
                let lease = self.subject.lease(key).await;
                let version = self.client.write(key).await.unwrap();
                sleep(ms(takes)).await;
                self.put(key, version, lease, None).await;
            }
        }
    }

    /// Writes the source and invalidates; the caller may go away in between.
    async fn update(&self, key: u64, reach: Reach, patience: Option<u64>) {
        let version = self.client.write(key).await.unwrap();
        let mut reached = vec![(key, version)];
        for other in (0..KEYS).filter(|other| *other != key && reach.covers(key, *other)) {
            reached.push((other, self.client.read(other).await.unwrap()));
        }
        let removal = async {
            let invalidation = self.subject.invalidate(reach, key);
            match patience {
                Some(millis) => timeout(ms(millis), invalidation).await.ok(),
                None => Some(invalidation.await),
            }
        };
        self.journal.remove(reached, removal).await;
    }

    async fn put(
        &self,
        key: u64,
        version: u64,
        lease: Option<PutLease<u64, Version, Source>>,
        _alone: Option<Alone>,
    ) {
        let removal = async {
            Some(match lease {
                Some(lease) => lease.put(loaded(key, version)).await == Delivery::Delivered,
                None => self.subject.put(key, version).await,
            })
        };
        self.journal.remove(vec![(key, version)], removal).await;
    }

    /// Until everything that was begun is over, and delivered, or it is clear that it never will be; what is still under way then.
    async fn settle(&self, steps: Vec<tokio::task::JoinHandle<()>>, shape: &Shape) -> u64 {
        let (deadline, mut hung) = (tokio::time::Instant::now() + PATIENCE, 0);
        for step in steps {
            match tokio::time::timeout_at(deadline, step).await {
                Ok(ended) => ended.unwrap(),
                Err(_) => hung += 1,
            }
        }
        sleep(ms(shape.shared_timeout + 50)).await; // what callers went away from is over, too
        while self.subject.stats().0 > 0 && tokio::time::Instant::now() < deadline {
            sleep(TICK).await;
        }
        let reads: Vec<_> = self.journal.open.lock().unwrap().values().copied().collect();
        for (key, began) in reads {
            self.journal.say(&Event::Read { key, began, end: None, last: false });
        }
        hung
    }
}

/// The next line from whoever plays the fleet; without one the process ends.
fn orders() -> mpsc::UnboundedReceiver<String> {
    let (sender, receiver) = mpsc::unbounded_channel();
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines().map_while(Result::ok) {
            let _ = sender.send(line);
        }
        std::process::exit(1);
    });
    receiver
}

/// Writes down when this process stands still.
async fn watch(journal: Arc<Journal>) {
    loop {
        let before = Instant::now();
        sleep(TICK).await;
        let late = before.elapsed().saturating_sub(TICK);
        if late > TICK * 2 {
            journal.say(&Event::Stall { nanos: u64::try_from(late.as_nanos()).unwrap(), until: now() });
        }
    }
}

fn variable(name: &str) -> String {
    std::env::var(name).expect("started by a fleet")
}

/// The whole life of a process.
pub(crate) async fn live() {
    let seed: u64 = variable(SEED).parse().unwrap();
    let place: usize = variable(PLACE).parse().unwrap();
    let node: usize = variable(NODE).parse().unwrap();
    let (url, subject) = (variable(STORE), variable(SUBJECT));
    let variant = Variant::named(&variable(VARIANT));
    let shape = Shape::of(seed, variant);
    let mut orders = orders();
    let journal = Arc::<Journal>::default();
    let client = Arc::new(Client::new(variable(SOURCE).parse().unwrap(), node));
    let source = Source {
        client: Arc::clone(&client),
        journal: Arc::clone(&journal),
        dice: Arc::new(Mutex::new(Dice::of(seed, 16 + node as u64))),
        cache: Arc::default(),
    };
    let space = format!("fleet-{seed}");
    let subject = match Mutant::ALL.into_iter().find(|mutant| format!("{mutant:?}") == subject) {
        None if subject == "rival" => {
            Subject::Composition(Box::new(Composition::connect(&space, &url, &shape, source).await))
        }
        mutant => cache(&space, &url, &shape, &source, mutant),
    };
    if variable(WARM) == "yes" {
        subject.warmed().await;
    }
    journal.say(&Event::Ready);
    let began: u64 = orders.recv().await.unwrap().parse().unwrap();
    journal.begun.store(true, Ordering::Relaxed);
    tokio::spawn(watch(Arc::clone(&journal)));
    let part = Arc::new(Part { subject, client, journal });
    let elapsed = i64::try_from(now()).unwrap() - i64::try_from(began).unwrap();
    let here = tokio::time::Instant::now();
    let start = if elapsed < 0 { here + nanos(-elapsed) } else { here.checked_sub(nanos(elapsed)).unwrap() };
    let steps: Vec<_> = steps(seed, &shape, variant)
        .into_iter()
        .filter(|step| step.place == place && start + ms(step.at) >= here)
        .map(|Step { at, act, .. }| {
            let part = Arc::clone(&part);
            tokio::spawn(async move {
                sleep_until(start + ms(at)).await;
                part.act(act).await;
            })
        })
        .collect();
    assert_eq!(orders.recv().await.as_deref(), Some("settle"));
    part.journal.healed.store(true, Ordering::Relaxed);
    let hung = part.settle(steps, &shape).await;
    let (deferred, shared_errors) = part.subject.stats();
    part.journal.say(&Event::Settled { hung, deferred, shared_errors });
    assert_eq!(orders.recv().await.as_deref(), Some("last"));
    for key in 0..KEYS {
        part.journal.read(key, true, part.subject.get(key)).await;
    }
    part.journal.say(&Event::Done);
    std::process::exit(0);
}

fn nanos(nanos: i64) -> Duration {
    Duration::from_nanos(nanos.unsigned_abs())
}
