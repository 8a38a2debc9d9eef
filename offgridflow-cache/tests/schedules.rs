//! Orders of events that break weaker caches, each played step by step.
#![cfg(all(feature = "json", feature = "quick_cache"))]

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use offgridflow_cache::{
    BackendError, BackendStats, Cache, CacheBackend, Caps, Delivery, Fill, Filled, InProcess, Json, Key,
    Loaded, Loader, Lookup, News, Position, Scope, Terms,
};
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep};

const DELTA: Duration = Duration::from_secs(2);

/// A place that calls pass, unless it is closed.
#[derive(Debug, Clone)]
struct Gate {
    permits: Arc<Semaphore>,
    reached: Arc<AtomicU64>,
}

impl Gate {
    fn open() -> Self {
        Self { permits: Arc::new(Semaphore::new(Semaphore::MAX_PERMITS)), reached: Arc::default() }
    }

    fn close(&self) {
        self.permits.forget_permits(usize::MAX);
        self.reached.store(0, Ordering::SeqCst);
    }

    fn release(&self) {
        self.permits.add_permits(Semaphore::MAX_PERMITS - self.permits.available_permits());
    }

    async fn pass(&self) {
        self.reached.fetch_add(1, Ordering::SeqCst);
        let _pass = self.permits.acquire().await.unwrap();
    }

    /// Until somebody waits here.
    async fn reached(&self) {
        until(|| self.reached.load(Ordering::SeqCst) > 0).await;
    }
}

async fn until(mut holds: impl FnMut() -> bool) {
    while !holds() {
        tokio::task::yield_now().await;
    }
}

/// A store with gates around its calls.
#[derive(Debug, Clone)]
struct Gated {
    store: InProcess,
    ask: Gate,
    told: Gate,
    fill: Gate,
    remove: Gate,
    silent: Arc<AtomicBool>,
    asked: Arc<AtomicU64>,
}

impl Gated {
    fn over(store: &InProcess) -> Self {
        let gate = Gate::open;
        let (store, silent, asked) = (store.clone(), Arc::default(), Arc::default());
        Self { store, ask: gate(), told: gate(), fill: gate(), remove: gate(), silent, asked }
    }

    async fn unless_silent(&self) {
        if self.silent.load(Ordering::SeqCst) {
            std::future::pending::<()>().await;
        }
    }
}

#[async_trait]
impl CacheBackend for Gated {
    async fn get_or_lease(&self, keys: &[Key], terms: &Terms) -> Result<Vec<Lookup>, BackendError> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        self.unless_silent().await;
        self.ask.pass().await;
        let answer = self.store.get_or_lease(keys, terms).await;
        self.told.pass().await;
        answer
    }

    async fn fill_if(&self, fills: Vec<Fill>) -> Result<Vec<Filled>, BackendError> {
        self.unless_silent().await;
        self.fill.pass().await;
        self.store.fill_if(fills).await
    }

    async fn remove(&self, namespace: &str, scope: Scope) -> Result<(), BackendError> {
        self.unless_silent().await;
        self.remove.pass().await;
        self.store.remove(namespace, scope).await
    }

    async fn news(&self, namespace: &str, seen: Option<Position>) -> Result<News, BackendError> {
        self.unless_silent().await;
        self.store.news(namespace, seen).await
    }

    fn caps(&self) -> Caps {
        self.store.caps()
    }

    fn stats(&self) -> BackendStats {
        self.store.stats()
    }
}

#[derive(Clone)]
struct Source {
    value: Arc<AtomicU64>,
    loads: Arc<AtomicU64>,
    gate: Gate,
}

impl Source {
    fn new() -> Self {
        Self { value: Arc::default(), loads: Arc::default(), gate: Gate::open() }
    }

    fn set(&self, value: u64) {
        self.value.store(value, Ordering::SeqCst);
    }

    fn loads(&self) -> u64 {
        self.loads.load(Ordering::SeqCst)
    }
}

impl Loader<u64, u64> for Source {
    type Error = Infallible;

    async fn load(&self, _: u64) -> Result<Loaded<u64>, Infallible> {
        self.loads.fetch_add(1, Ordering::SeqCst);
        let value = self.value.load(Ordering::SeqCst);
        self.gate.pass().await;
        Ok(Loaded::value(value).tag("tag"))
    }
}

type Node = Cache<u64, u64, Source>;

fn node(shared: &Gated, source: &Source) -> Node {
    Cache::builder("schedules")
        .shared(shared.clone(), Json)
        .max_staleness(DELTA)
        .shared_timeout(Duration::from_millis(500))
        .build(source.clone())
        .unwrap()
}

async fn read(node: &Node) -> u64 {
    *node.get(&1).await.unwrap().unwrap()
}

fn reading(node: &Node) -> tokio::task::JoinHandle<u64> {
    let node = node.clone();
    tokio::spawn(async move { read(&node).await })
}

/// S1: while the removal is under way, a read finds the old value still in the shared tier.
#[tokio::test(start_paused = true)]
async fn s1_what_is_read_from_the_shared_tier_while_a_removal_is_under_way_is_not_kept() {
    let (shared, source) = (Gated::over(&InProcess::new()), Source::new());
    let (a, b) = (node(&shared, &source), node(&Gated::over(&shared.store), &source));
    assert_eq!(read(&b).await, 0, "the shared tier has the old value");
    source.set(1);
    shared.remove.close();
    shared.told.close();
    let early = reading(&a); // asks before the invalidation begins, and is told after it ended
    shared.told.reached().await;
    let invalidation = tokio::spawn({
        let a = a.clone();
        async move { a.invalidate(&1).await }
    });
    shared.remove.reached().await;
    assert_eq!(read(&a).await, 1, "in between, the key passes the shared tier by");
    shared.remove.release();
    assert_eq!(invalidation.await.unwrap(), Delivery::Delivered);
    shared.told.release();
    assert_eq!(early.await.unwrap(), 0, "it began before");
    assert_eq!(read(&a).await, 1);
}

/// S2: the reply with the old value arrives after a gap in the sequence was found.
#[tokio::test(start_paused = true)]
async fn s2_what_was_asked_for_before_a_gap_is_not_trusted_after_it() {
    let store = InProcess::new();
    let (shared, source) = (Gated::over(&store), Source::new());
    let patient = Cache::builder("schedules").shared(shared.clone(), Json).max_staleness(DELTA);
    let b: Node = patient.shared_timeout(DELTA * 100).build(source.clone()).unwrap();
    let a = node(&Gated::over(&store), &source);
    assert_eq!(read(&a).await, 0);
    sleep(DELTA).await; // b has followed the sequence
    shared.told.close();
    let early = reading(&b);
    shared.told.reached().await;
    source.set(1);
    assert_eq!(a.invalidate(&1).await, Delivery::Delivered);
    for key in 10..2_000 {
        let _ = a.invalidate(&key).await; // more than is remembered
    }
    until_gap(&b).await;
    shared.told.release();
    assert_eq!(early.await.unwrap(), 0, "it began before");
    assert_eq!(read(&b).await, 1, "and brought nothing that is served");
}

async fn until_gap(node: &Node) {
    while node.stats().gaps == 0 {
        sleep(Duration::from_millis(10)).await;
    }
}

/// S6, on one node: an invalidation comes between a put's own invalidation and its fill.
#[tokio::test(start_paused = true)]
async fn s6_an_invalidation_that_comes_meanwhile_wins_over_a_put() {
    for late in ["before the lease", "after the lease"] {
        let (shared, source) = (Gated::over(&InProcess::new()), Source::new());
        let node = node(&shared, &source);
        let gate = if late == "before the lease" { &shared.ask } else { &shared.fill };
        gate.close();
        source.set(1);
        let put = tokio::spawn({
            let node = node.clone();
            async move { node.put(&1, 1).await }
        });
        gate.reached().await;
        source.set(2);
        assert_eq!(node.invalidate(&1).await, Delivery::Delivered);
        gate.release();
        assert_eq!(put.await.unwrap(), Delivery::Delivered);
        assert_eq!(read(&node).await, 2, "{late}: not here");
        let other = self::node(&Gated::over(&shared.store), &source);
        assert_eq!(read(&other).await, 2, "{late}: not in the shared tier");
    }
}

#[tokio::test(start_paused = true)]
async fn readers_join_a_put_and_other_nodes_read_it() {
    let (shared, source) = (Gated::over(&InProcess::new()), Source::new());
    let (a, b) = (node(&shared, &source), node(&Gated::over(&shared.store), &source));
    let value = Loaded::value(7).tag("tag").ttl(Duration::from_secs(60));
    assert_eq!(a.put(&1, value).await, Delivery::Delivered);
    assert_eq!((read(&a).await, read(&b).await, source.loads()), (7, 7, 0));
    let _ = b.invalidate_tag("tag").await;
    assert_eq!(read(&b).await, 0, "its tags reach it");
}

#[tokio::test(start_paused = true)]
async fn changes_of_other_tags_open_no_second_load_and_keep_nothing_from_being_kept() {
    let source = Source::new();
    let cache: Node = Cache::builder("alone").build(source.clone()).unwrap();
    source.gate.close();
    let mut readers = vec![reading(&cache)];
    source.gate.reached().await;
    for n in 0..100 {
        let _ = cache.invalidate_tag(format!("another {n}")).await;
        readers.push(reading(&cache));
    }
    until(|| cache.stats().asked() == 101).await;
    source.gate.release();
    for reader in readers {
        reader.await.unwrap();
    }
    assert_eq!(source.loads(), 1);
    assert!(cache.peek(&1).is_some());
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_came_after_its_tag_was_removed_takes_one_more_load_however_many_come() {
    let source = Source::new();
    let cache: Node = Cache::builder("alone").build(source.clone()).unwrap();
    source.gate.close();
    let early = reading(&cache);
    source.gate.reached().await;
    source.set(1);
    let _ = cache.invalidate_tag("tag").await;
    let late: Vec<_> = (0..100).map(|_| reading(&cache)).collect();
    until(|| cache.stats().asked() == 101).await;
    source.gate.release();
    assert_eq!(early.await.unwrap(), 0);
    for reader in late {
        assert_eq!(reader.await.unwrap(), 1);
    }
    assert_eq!(source.loads(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_silent_store_costs_one_timeout_and_then_near_is_loaded_again_every_half_delta() {
    let (shared, source) = (Gated::over(&InProcess::new()), Source::new());
    shared.silent.store(true, Ordering::SeqCst);
    let node = node(&shared, &source);
    let began = Instant::now();
    for key in 0..1_000 {
        node.get(&key).await.unwrap();
    }
    assert!(began.elapsed() <= Duration::from_millis(501), "{:?}", began.elapsed());
    assert_eq!(shared.asked.load(Ordering::SeqCst), 1, "the other reads passed it by");
    let loads = source.loads();
    while began.elapsed() < DELTA * 3 {
        assert_eq!(read(&node).await, source.value.load(Ordering::SeqCst));
        sleep(Duration::from_millis(10)).await;
    }
    let loads = source.loads() - loads;
    assert!((4..=6).contains(&loads), "one load a key and Δ/2: {loads}");
    shared.silent.store(false, Ordering::SeqCst);
    sleep(DELTA).await;
    let asked = shared.asked.load(Ordering::SeqCst);
    node.get(&5_000).await.unwrap();
    assert_eq!(shared.asked.load(Ordering::SeqCst), asked + 1, "it answers again, and is asked again");
}

#[tokio::test(start_paused = true)]
async fn more_deferred_invalidations_than_are_kept_become_one_of_everything() {
    let (shared, source) = (Gated::over(&InProcess::new()), Source::new());
    let other = node(&Gated::over(&shared.store), &source);
    assert_eq!(*other.get(&10_500).await.unwrap().unwrap(), 0);
    shared.silent.store(true, Ordering::SeqCst);
    let node = node(&shared, &source);
    source.set(1);
    let invalidations: Vec<_> = (0..11_000)
        .map(|key| {
            let node = node.clone();
            tokio::spawn(async move { node.invalidate(&key).await })
        })
        .collect();
    for invalidation in invalidations {
        assert_eq!(invalidation.await.unwrap(), Delivery::Deferred);
    }
    assert_eq!(node.stats().deferred, 10_001);
    shared.silent.store(false, Ordering::SeqCst);
    while node.stats().deferred > 0 {
        sleep(DELTA).await;
    }
    sleep(DELTA).await;
    assert_eq!(*other.get(&10_500).await.unwrap().unwrap(), 1, "the other node was told of what did not fit");
    let asked = shared.asked.load(Ordering::SeqCst);
    assert_eq!(*node.get(&10_999).await.unwrap().unwrap(), 1);
    assert_eq!(shared.asked.load(Ordering::SeqCst), asked + 1, "no key passes the shared tier by for ever");
}

#[tokio::test(start_paused = true)]
async fn a_load_waits_for_its_turn_no_longer_than_for_its_answer() {
    let source = Source::new();
    let limit = Duration::from_secs(1);
    let builder = Cache::<u64, u64>::builder("busy").max_loads(1).load_timeout(limit);
    let cache = builder.build(source.clone()).unwrap();
    source.gate.close();
    let began = Instant::now();
    let readers: Vec<_> = (0..20)
        .map(|key| {
            let cache = cache.clone();
            tokio::spawn(async move { cache.get(&key).await.is_err() })
        })
        .collect();
    for reader in readers {
        assert!(reader.await.unwrap());
    }
    assert!(began.elapsed() < limit * 2, "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_ttl_of_any_length_is_taken() {
    let shared = Gated::over(&InProcess::new());
    for ttl in [Duration::MAX, Duration::ZERO, Duration::from_nanos(1)] {
        let loader = offgridflow_cache::loader_fn(move |key: u64| async move {
            Ok::<_, Infallible>(Loaded::value(key).ttl(ttl))
        });
        let cache = Cache::<u64, u64>::builder("ttl").shared(shared.clone(), Json).build(loader).unwrap();
        sleep(Duration::from_millis(1)).await; // its first look for news is behind it
        assert_eq!(cache.get(&1).await.unwrap().as_deref(), Some(&1));
        sleep(Duration::from_millis(1)).await;
        assert_eq!(cache.peek(&1).is_some(), ttl == Duration::MAX);
        let _ = cache.clear().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_codec_that_panics_costs_the_shared_tier_and_no_read() {
    #[derive(Debug)]
    struct Panicking;
    impl offgridflow_cache::Codec<u64> for Panicking {
        fn encode(&self, value: &u64) -> Result<Vec<u8>, offgridflow_cache::CodecError> {
            assert_ne!(*value, 13, "cannot be written");
            Json.encode(value)
        }
        fn decode(&self, bytes: bytes::Bytes) -> Result<u64, offgridflow_cache::CodecError> {
            let value: u64 = offgridflow_cache::Codec::<u64>::decode(&Json, bytes)?;
            assert_ne!(value, 14, "cannot be read");
            Ok(value)
        }
    }
    let shared = Gated::over(&InProcess::new());
    let source =
        offgridflow_cache::loader_fn(|key: u64| async move { Ok::<_, Infallible>(Loaded::value(key)) });
    let first = Cache::<u64, u64>::builder("codec").shared(shared.clone(), Panicking).build(source).unwrap();
    let source =
        offgridflow_cache::loader_fn(|key: u64| async move { Ok::<_, Infallible>(Loaded::value(key)) });
    let second = Cache::<u64, u64>::builder("codec").shared(shared, Panicking).build(source).unwrap();
    for key in [13, 14, 15] {
        assert_eq!(first.get(&key).await.unwrap().as_deref(), Some(&key));
        assert_eq!(second.get(&key).await.unwrap().as_deref(), Some(&key));
    }
    assert_eq!((second.stats().decode_errors, second.stats().shared_hits, second.stats().loads), (1, 1, 2));
}
