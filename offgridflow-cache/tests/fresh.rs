//! Values past their time, or close to it: what is served, and what is loaded again behind whose back.
#![cfg(all(feature = "json", feature = "moka"))]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use offgridflow_cache::{
    Breaker, Cache, CacheBuilder, Chaos, Codec, CodecError, Delivery, Error, Faults, InProcess, Json, Loaded,
    Loader, Outage,
};
use tokio::time::{Instant, advance, sleep};

const SECOND: Duration = Duration::from_secs(1);
const TTL: Duration = Duration::from_secs(10);

/// A source whose value is the number of the load, that can be slow and can fail.
#[derive(Clone, Default)]
struct Source {
    loads: Arc<AtomicU64>,
    fails: Arc<AtomicBool>,
    takes_millis: Arc<AtomicU64>,
}

impl Source {
    fn loads(&self) -> u64 {
        self.loads.load(Ordering::SeqCst)
    }

    fn fail(&self, fails: bool) {
        self.fails.store(fails, Ordering::SeqCst);
    }

    fn take(&self, time: Duration) {
        self.takes_millis.store(u64::try_from(time.as_millis()).unwrap(), Ordering::SeqCst);
    }
}

#[derive(Debug, thiserror::Error)]
#[error("the source is down")]
struct Down;

impl Loader<u64, u64> for Source {
    type Error = Down;

    async fn load(&self, _: u64) -> Result<Loaded<u64>, Down> {
        let number = self.loads.fetch_add(1, Ordering::SeqCst) + 1;
        sleep(Duration::from_millis(self.takes_millis.load(Ordering::SeqCst))).await;
        if self.fails.load(Ordering::SeqCst) { Err(Down) } else { Ok(Loaded::value(number).tag("tag")) }
    }
}

type Node = Cache<u64, u64, Source>;

fn builder() -> CacheBuilder<u64, u64> {
    Cache::builder("fresh").ttl(TTL).jitter(0.0)
}

fn node(builder: CacheBuilder<u64, u64>) -> (Node, Source) {
    let source = Source::default();
    (builder.build(source.clone()).unwrap(), source)
}

async fn read(node: &Node) -> u64 {
    *node.get(&1).await.unwrap().expect("a value")
}

/// Lets what was spawned run.
async fn settle() {
    sleep(Duration::from_millis(1)).await;
}

#[tokio::test(start_paused = true)]
async fn a_stale_value_is_served_at_once_while_one_load_replaces_it() {
    let (node, source) = node(builder().stale_while_revalidate(TTL));
    source.take(SECOND);
    assert_eq!(read(&node).await, 1);
    advance(TTL + SECOND).await;
    let began = Instant::now();
    for _ in 0..100 {
        assert_eq!(read(&node).await, 1);
    }
    assert_eq!(began.elapsed(), Duration::ZERO, "nobody waited");
    sleep(2 * SECOND).await;
    assert_eq!((read(&node).await, source.loads()), (2, 2));
    assert_eq!((node.stats().stale_hits, node.stats().refreshes), (100, 1));

    advance(TTL * 2 + SECOND).await;
    assert_eq!(read(&node).await, 3, "beyond its grace it is loaded while the reader waits");
}

#[tokio::test(start_paused = true)]
async fn what_was_invalidated_is_never_served_stale() {
    let (node, source) = node(builder().stale_while_revalidate(TTL).stale_on_error(TTL));
    for by_tag in [false, true] {
        let before = read(&node).await;
        advance(TTL + SECOND).await;
        let _ = if by_tag { node.invalidate_tag("tag").await } else { node.invalidate(&1).await };
        assert_eq!(read(&node).await, before + 1);
        source.fail(true);
        let _ = if by_tag { node.invalidate_tag("tag").await } else { node.invalidate(&1).await };
        assert!(matches!(node.get(&1).await, Err(Error::Load(_))), "an error rather than what was removed");
        source.fail(false);
        advance(SECOND).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_value_past_its_time_is_served_while_the_source_is_down_and_not_for_ever() {
    let (node, source) = node(builder().stale_on_error(TTL));
    assert_eq!(read(&node).await, 1);
    source.fail(true);
    advance(TTL + SECOND).await;
    for _ in 0..100 {
        assert_eq!(read(&node).await, 1);
    }
    assert_eq!(source.loads(), 2, "a source that has just failed is left alone");
    advance(SECOND).await;
    assert_eq!(read(&node).await, 1);
    assert_eq!(source.loads(), 3, "and tried again later");
    advance(TTL).await;
    assert!(node.get(&1).await.is_err(), "its grace is over");
    source.fail(false);
    advance(SECOND).await;
    assert_eq!(read(&node).await, 5);
}

#[tokio::test(start_paused = true)]
async fn an_error_is_given_to_all_for_a_moment_and_an_invalidation_ends_it() {
    let (node, source) = node(builder().retry_after(SECOND));
    source.fail(true);
    for _ in 0..50 {
        assert!(matches!(node.get(&1).await, Err(Error::Load(_))));
    }
    let many = node.get_many(&[1, 2]).await;
    assert!(many.iter().all(|answer| matches!(answer, Err(Error::Load(_)))));
    assert_eq!(source.loads(), 2, "one for each key");
    source.fail(false);
    let _ = node.invalidate(&1).await;
    assert_eq!(read(&node).await, 3, "something has changed: it is tried at once");
    assert!(node.get(&2).await.is_err(), "the other key waits");
    advance(SECOND).await;
    assert_eq!(node.get(&2).await.unwrap().as_deref(), Some(&4));
}

#[tokio::test(start_paused = true)]
async fn an_invalidated_tag_or_everything_ends_an_error_as_well() {
    for by_tag in [true, false] {
        let (node, source) = node(builder().retry_after(SECOND));
        source.fail(true);
        assert!(node.get(&1).await.is_err());
        source.fail(false);
        assert!(node.get(&1).await.is_err(), "the source is left alone");
        let _ = if by_tag { node.invalidate_tag("tag").await } else { node.clear().await };
        assert_eq!(read(&node).await, 2, "it is tried at once");
    }
}

#[tokio::test(start_paused = true)]
async fn an_invalidated_tag_ends_no_error_of_a_key_that_is_known_to_carry_others() {
    let (node, source) = node(builder().retry_after(SECOND));
    assert_eq!(read(&node).await, 1);
    advance(TTL + SECOND).await;
    source.fail(true);
    assert!(node.get(&1).await.is_err());
    let _ = node.invalidate_tag("another").await;
    assert!(node.get(&1).await.is_err());
    assert_eq!(source.loads(), 2, "the source is left alone");
    let _ = node.invalidate_tag("tag").await;
    assert!(node.get(&1).await.is_err());
    assert_eq!(source.loads(), 3);
}

#[tokio::test(start_paused = true)]
async fn an_error_of_before_an_invalidation_is_not_given_to_who_comes_after_it() {
    let (node, source) = node(builder().retry_after(SECOND * 60));
    source.fail(true);
    source.take(SECOND);
    let early = tokio::spawn({
        let node = node.clone();
        async move { node.get(&1).await.is_err() }
    });
    settle().await;
    let _ = node.invalidate(&1).await;
    assert!(early.await.unwrap());
    source.fail(false);
    assert_eq!(read(&node).await, 2);
}

#[tokio::test(start_paused = true)]
async fn a_slow_load_is_waited_for_so_long_and_goes_on() {
    let (node, source) = node(builder().stale_on_error(TTL).soft_timeout(SECOND / 10));
    assert_eq!(read(&node).await, 1);
    source.take(SECOND);
    advance(TTL + SECOND).await;
    let began = Instant::now();
    assert_eq!(read(&node).await, 1);
    assert_eq!(began.elapsed(), SECOND / 10);
    sleep(SECOND).await;
    assert_eq!((read(&node).await, source.loads()), (2, 2), "the load went on");
    let useless = builder().soft_timeout(SECOND).stale_while_revalidate(TTL).build(source.clone()).map(drop);
    assert_eq!(useless.unwrap_err().setting, "soft_timeout", "there would be nothing to fall back on");
    let year = SECOND * 400 * 86_400;
    let long = builder().stale_while_revalidate(year).build(source.clone()).map(drop);
    assert_eq!(long.unwrap_err().setting, "stale_while_revalidate");
}

#[tokio::test(start_paused = true)]
async fn a_batch_waits_for_slow_loads_once() {
    let (node, source) = node(builder().stale_on_error(TTL).soft_timeout(SECOND / 10));
    let keys: Vec<u64> = (1..=20).collect();
    node.get_many(&keys).await;
    source.take(4 * SECOND);
    advance(TTL + SECOND).await;
    let began = Instant::now();
    assert!(node.get_many(&keys).await.into_iter().all(|answer| answer.is_ok()));
    assert_eq!(began.elapsed(), SECOND / 10);
}

/// A node that was just started finds a stale value in the shared tier.
#[tokio::test(start_paused = true)]
async fn a_new_node_serves_a_stale_value_of_the_shared_tier_at_once() {
    let store = InProcess::new();
    let source = Source::default();
    let node = |builder: CacheBuilder<u64, u64>| {
        builder.shared(store.clone(), Json).max_staleness(4 * SECOND).build(source.clone()).unwrap()
    };
    let first = node(builder().stale_while_revalidate(TTL));
    settle().await;
    assert_eq!(read(&first).await, 1);
    drop(first);
    source.take(SECOND / 4);
    sleep(TTL + SECOND).await;
    let [fresh, beside] = [(); 2].map(|()| node(builder().stale_while_revalidate(TTL)));
    settle().await;
    let began = Instant::now();
    assert_eq!((read(&fresh).await, read(&beside).await), (1, 1), "one has the lease, the other none");
    assert_eq!(began.elapsed(), Duration::ZERO, "nobody waited");
    assert_eq!((fresh.stats().stale_hits, fresh.stats().shared_hits), (1, 1));
    sleep(2 * SECOND).await;
    assert_eq!((read(&fresh).await, source.loads()), (2, 2), "it was loaded behind their backs, once");
    assert!(fresh.stats().hit_ratio().unwrap() <= 1.0);

    assert_eq!(fresh.invalidate(&1).await, Delivery::Delivered);
    let began = Instant::now();
    assert_eq!(read(&fresh).await, 3);
    assert_eq!(began.elapsed(), SECOND / 4, "what was removed is not served");
}

#[tokio::test(start_paused = true)]
async fn a_new_node_falls_back_on_a_stale_value_of_the_shared_tier_after_the_soft_time_out() {
    let store = InProcess::new();
    let source = Source::default();
    let node = || {
        let builder = builder().shared(store.clone(), Json).stale_on_error(TTL).soft_timeout(SECOND / 10);
        builder.build(source.clone()).unwrap()
    };
    let first = node();
    settle().await;
    assert_eq!(read(&first).await, 1);
    source.take(SECOND);
    sleep(TTL + SECOND).await;
    let fresh = node();
    settle().await;
    let began = Instant::now();
    assert_eq!(read(&fresh).await, 1);
    assert_eq!(began.elapsed(), SECOND / 10);
}

#[tokio::test(start_paused = true)]
async fn a_key_in_use_never_runs_out_and_is_loaded_little_more_often() {
    let (node, source) = node(builder().refresh_early(1.0));
    source.take(SECOND / 20);
    read(&node).await;
    let (periods, mut waited) = (200_u32, 0);
    let began = Instant::now();
    while began.elapsed() < TTL * periods {
        sleep(SECOND / 100).await;
        let before = Instant::now();
        read(&node).await;
        waited += u32::from(before.elapsed() > Duration::ZERO);
    }
    assert!(waited <= periods / 5, "{waited} reads of {periods} periods waited for a load");
    let loads = source.loads();
    assert!(loads <= u64::from(periods) * 12 / 10, "{loads} loads in {periods} periods");

    let (node, source) = self::node(builder().refresh_early(0.0)); // the control
    source.take(SECOND / 20);
    for _ in 0..20 {
        let before = Instant::now();
        read(&node).await;
        assert!(before.elapsed() > Duration::ZERO, "without it somebody waits each time");
        advance(TTL).await;
    }
}

#[tokio::test(start_paused = true)]
async fn an_early_load_is_one_a_fleet_and_the_others_take_its_value() {
    let store = InProcess::new();
    let source = Source::default();
    let nodes: Vec<Node> = (0..3)
        .map(|_| {
            builder().shared(store.clone(), Json).stale_while_revalidate(TTL).build(source.clone()).unwrap()
        })
        .collect();
    settle().await;
    source.take(SECOND / 10);
    for node in &nodes {
        assert_eq!(read(node).await, 1);
    }
    sleep(TTL + SECOND).await;
    for node in &nodes {
        assert_eq!(read(node).await, 1, "stale, at once");
    }
    sleep(2 * SECOND).await;
    for node in &nodes {
        assert_eq!(read(node).await, 2);
    }
    assert_eq!(source.loads(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_new_node_serves_what_the_shared_tier_kept_while_the_source_is_down() {
    let store = InProcess::new();
    let source = Source::default();
    let node = || builder().shared(store.clone(), Json).stale_on_error(TTL).build(source.clone()).unwrap();
    let first = node();
    settle().await;
    assert_eq!(read(&first).await, 1);
    source.fail(true);
    sleep(TTL + SECOND).await;
    let second = node();
    settle().await;
    assert_eq!(read(&second).await, 1);
    assert_eq!(first.invalidate(&1).await, Delivery::Delivered);
    sleep(2 * SECOND).await;
    assert!(second.get(&1).await.is_err(), "not once it was removed");
}

/// The shared tier falls silent.
fn silenced(outage: Outage) -> (Node, Source, Arc<Chaos<InProcess>>) {
    let chaos = Arc::new(Chaos::new(InProcess::new(), 1, Faults { refused: 1.0, ..Faults::default() }));
    chaos.rest();
    let shared = Breaker::new(Arc::clone(&chaos));
    let (node, source) = node(builder().ttl(TTL * 100).shared(shared, Json).outage(outage));
    (node, source, chaos)
}

#[tokio::test(start_paused = true)]
async fn without_the_shared_tier_a_key_in_use_is_loaded_behind_its_readers_backs() {
    let (node, source, chaos) = silenced(Outage::Reload);
    settle().await;
    read(&node).await;
    source.take(SECOND / 100);
    chaos.resume();
    let (began, mut waited) = (Instant::now(), 0);
    while began.elapsed() < 60 * SECOND {
        sleep(SECOND / 50).await;
        let before = Instant::now();
        read(&node).await;
        waited += u32::from(before.elapsed() > Duration::ZERO);
    }
    assert_eq!(waited, 0, "a key that is read often is never waited for");
    assert!((30..=70).contains(&source.loads()), "about one a second, Δ/2: {}", source.loads());
}

#[tokio::test(start_paused = true)]
async fn a_suspect_is_served_for_as_long_as_asked_and_never_once_it_was_removed_here() {
    let (node, source, chaos) = silenced(Outage::ServeSuspect(30 * SECOND));
    settle().await;
    let value = read(&node).await;
    node.get(&2).await.unwrap();
    chaos.resume();
    source.fail(true);
    sleep(20 * SECOND).await;
    assert_eq!(read(&node).await, value, "the source is down as well, and it is served");
    assert!(node.stats().suspect_hits > 0);
    assert_eq!(node.invalidate(&2).await, Delivery::Deferred);
    assert!(node.get(&2).await.is_err(), "known to be removed");
    sleep(20 * SECOND).await;
    assert!(node.get(&1).await.is_err(), "the limit has passed");

    let (node, source, chaos) = silenced(Outage::Reload); // the control
    settle().await;
    read(&node).await;
    chaos.resume();
    source.fail(true);
    sleep(20 * SECOND).await;
    assert!(node.get(&1).await.is_err());
}

/// A source with versions, that says when the one it is shown is its newest.
#[derive(Clone, Default)]
struct Versions {
    newest: Arc<AtomicU64>,
    sent: Arc<AtomicU64>,
    lies: Arc<AtomicBool>,
}

impl Loader<u64, u64> for Versions {
    type Error = Down;

    async fn load(&self, _: u64) -> Result<Loaded<u64>, Down> {
        self.sent.fetch_add(1, Ordering::SeqCst);
        Ok(Loaded::value(self.newest.load(Ordering::SeqCst)).tag("tag"))
    }

    async fn reload_many(&self, keys: Vec<(u64, Option<Arc<u64>>)>) -> Vec<Result<Loaded<u64>, Down>> {
        let newest = self.newest.load(Ordering::SeqCst);
        let mut answers = Vec::new();
        for (key, known) in keys {
            let same = known.is_some_and(|known| *known == newest) || self.lies.load(Ordering::SeqCst);
            answers.push(if same { Ok(Loaded::not_modified()) } else { self.load(key).await });
        }
        answers
    }
}

#[tokio::test(start_paused = true)]
async fn a_source_that_has_nothing_new_says_so_and_sends_nothing() {
    let source = Versions::default();
    let cache = builder().shared(InProcess::new(), Json).build(source.clone()).unwrap();
    settle().await;
    for _ in 0..5 {
        assert_eq!(cache.get(&1).await.unwrap().as_deref(), Some(&0));
        sleep(TTL + SECOND).await;
    }
    assert_eq!(source.sent.load(Ordering::SeqCst), 1);
    source.newest.store(7, Ordering::SeqCst);
    assert_eq!(cache.get(&1).await.unwrap().as_deref(), Some(&7));

    let _ = cache.invalidate(&1).await;
    source.newest.store(7, Ordering::SeqCst);
    assert_eq!(cache.get(&1).await.unwrap().as_deref(), Some(&7));
    assert_eq!(source.sent.load(Ordering::SeqCst), 3, "what was removed is not shown to it");
    source.lies.store(true, Ordering::SeqCst);
    assert!(matches!(cache.get(&2).await, Err(Error::NothingHeld)));
}

#[tokio::test(start_paused = true)]
async fn what_has_not_changed_keeps_its_tags() {
    let (source, store) = (Versions::default(), InProcess::new());
    let node = || builder().shared(store.clone(), Json).build(source.clone()).unwrap();
    let (cache, other, late) = (node(), node(), node());
    settle().await;
    assert_eq!(cache.get(&1).await.unwrap().as_deref(), Some(&0));
    sleep(TTL + SECOND).await;
    assert_eq!(cache.get(&1).await.unwrap().as_deref(), Some(&0));
    assert_eq!(source.sent.load(Ordering::SeqCst), 1, "it has not changed");
    settle().await;
    assert_eq!(other.get(&1).await.unwrap().as_deref(), Some(&0));
    assert_eq!(other.stats().shared_hits, 1);
    source.newest.store(7, Ordering::SeqCst);
    assert_eq!(cache.invalidate_tag("tag").await, Delivery::Delivered);
    assert_eq!(late.get(&1).await.unwrap().as_deref(), Some(&7), "in the shared tier");
    assert_eq!(cache.get(&1).await.unwrap().as_deref(), Some(&7), "near");
    sleep(SECOND * 3).await;
    assert_eq!(other.get(&1).await.unwrap().as_deref(), Some(&7), "near, elsewhere");
}

/// A loader that reads its own cache: its own key, or one whose loader reads the first.
#[derive(Clone, Default)]
struct Circular(Arc<std::sync::OnceLock<Cache<u64, u64, Self>>>);

impl Loader<u64, u64> for Circular {
    type Error = String;

    async fn load(&self, key: u64) -> Result<Loaded<u64>, String> {
        let next = match key {
            1 => 1,
            2 => 3,
            3 => 2,
            _ => return Ok(Loaded::value(key)),
        };
        let answer = Box::pin(self.0.get().unwrap().get(&next)).await;
        answer.map(|value| Loaded::maybe(value.map(|value| *value))).map_err(|error| format!("{error:?}"))
    }
}

#[tokio::test(start_paused = true)]
async fn a_load_that_would_wait_for_itself_is_told_so_at_once() {
    let loader = Circular::default();
    let cache = Cache::builder("circular").build(loader.clone()).unwrap();
    loader.0.set(cache.clone()).unwrap();
    for key in [1, 2] {
        let began = Instant::now();
        let said = format!("{:?}", cache.get(&key).await.unwrap_err());
        assert!(said.contains("Reentrant"), "{said}");
        assert_eq!(began.elapsed(), Duration::ZERO);
    }
    assert_eq!(cache.get(&4).await.unwrap().as_deref(), Some(&4));
}

#[tokio::test(start_paused = true)]
async fn who_loads_too_slowly_is_taken_over_by_one() {
    let store = InProcess::new();
    let node = |source: &Source| {
        let builder = builder().shared(store.clone(), Json).lease_wait(SECOND).load_timeout(5 * SECOND);
        builder.build(source.clone()).unwrap()
    };
    let (stuck, source) = (Source::default(), Source::default());
    stuck.take(4 * SECOND);
    source.take(SECOND / 4);
    let slow = node(&stuck);
    let others: Vec<Node> = (0..5).map(|_| node(&source)).collect();
    settle().await;
    let slow = tokio::spawn(async move { slow.get(&1).await.unwrap() });
    settle().await;
    let began = Instant::now();
    let reads: Vec<_> = others
        .iter()
        .map(|node| {
            let node = node.clone();
            tokio::spawn(async move { read(&node).await })
        })
        .collect();
    for read in reads {
        assert_eq!(read.await.unwrap(), 1);
    }
    assert!(began.elapsed() < SECOND, "{:?}", began.elapsed());
    assert_eq!(source.loads(), 1, "one of the five loaded, and filled");
    slow.await.unwrap();
    sleep(SECOND).await;
    let late = node(&source);
    settle().await;
    assert_eq!((read(&late).await, source.loads()), (1, 1), "and its fill stayed");
}

/// Of two nodes in turn that hold the lease, neither answers.
#[tokio::test(start_paused = true)]
async fn a_read_waits_for_other_nodes_loads_no_longer_than_asked() {
    let store = InProcess::new();
    let node = |source: &Source| {
        let builder = builder().shared(store.clone(), Json).lease_wait(SECOND).load_timeout(50 * SECOND);
        builder.build(source.clone()).unwrap()
    };
    let (stuck, quick) = (Source::default(), Source::default());
    stuck.take(40 * SECOND);
    let [one, two, late] = [&stuck, &stuck, &quick].map(node);
    settle().await;
    let first = tokio::spawn(async move { one.get(&1).await });
    sleep(SECOND * 2 / 5).await;
    let second = tokio::spawn(async move { two.get(&1).await }); // takes the lease over a moment later
    settle().await;
    let began = Instant::now();
    assert_eq!(read(&late).await, 1);
    let waited = began.elapsed();
    assert!((SECOND / 2..=SECOND).contains(&waited), "{waited:?}");
    first.abort();
    second.abort();
}

#[tokio::test(start_paused = true)]
async fn reads_are_counted_whatever_becomes_of_them() {
    let store = InProcess::new();
    let (node, source) =
        node(builder().shared(store.clone(), Json).retry_after(SECOND).refresh_early(1_000.0));
    settle().await;
    source.fail(true);
    for _ in 0..10 {
        let _ = node.get(&1).await;
    }
    assert_eq!((node.stats().asked(), node.stats().misses, node.stats().refused), (10, 1, 9));
    source.fail(false);
    sleep(2 * SECOND).await;
    source.take(SECOND / 10);
    for _ in 0..200 {
        let _ = node.get(&1).await; // refreshed again and again behind its readers' backs
        sleep(SECOND / 50).await;
    }
    assert!(node.stats().refreshes > 0);
    assert_eq!(node.stats().asked(), 210);
    let other = builder().shared(store, Json).refresh_early(1_000.0).build(source).unwrap();
    settle().await;
    for _ in 0..200 {
        let _ = other.get(&1).await;
        sleep(SECOND / 50).await;
    }
    let ratio = other.stats().hit_ratio().unwrap();
    assert!(ratio <= 1.0, "{ratio}");
}

#[tokio::test(start_paused = true)]
async fn what_says_that_nothing_changed_puts_nothing() {
    let (node, _) = node(builder());
    assert_eq!(read(&node).await, 1);
    for leased in [false, true] {
        let delivery = if leased {
            node.lease(&1).await.put(Loaded::not_modified()).await
        } else {
            node.put(&1, Loaded::not_modified()).await
        };
        assert_eq!(delivery, Delivery::Delivered);
        assert_eq!(read(&node).await, 2 + u64::from(leased), "the source decides");
    }
}

/// JSON that cannot write odd numbers.
#[derive(Debug)]
struct EvenJson;

impl Codec<u64> for EvenJson {
    fn encode(&self, value: &u64) -> Result<Vec<u8>, CodecError> {
        if value.is_multiple_of(2) { Json.encode(value) } else { Err(CodecError("odd".into())) }
    }

    fn decode(&self, bytes: bytes::Bytes) -> Result<u64, CodecError> {
        Json.decode(bytes)
    }
}

#[tokio::test(start_paused = true)]
async fn a_value_that_cannot_be_encoded_is_counted_and_lives_near() {
    let (node, source) = node(builder().shared(InProcess::new(), EvenJson));
    settle().await;
    assert_eq!((read(&node).await, read(&node).await), (1, 1));
    assert_eq!((source.loads(), node.stats().encode_errors), (1, 1));
    let _ = node.lease(&1).await.put(7).await;
    assert_eq!(node.stats().encode_errors, 2);
}
