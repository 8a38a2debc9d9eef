//! A Redis that lets nobody in, may not be written, has no room, or is given what it cannot take; and a runtime that ends. No wrong
//! value, no hang, no invalidation lost, one typed error.
//!
//! Elsewhere: a Redis that is absent, frozen, rolled back or holds other types and other schemas (`nodes`); that evicts, forgets or
//! denies scripts (`backends.rs`); that is emptied, killed and frozen under load (`fleet`); whose clock jumps (the simulation); loaders
//! that panic or never return (`near.rs`), or read their own key (`fresh.rs`).
#![cfg(all(feature = "json", feature = "redis"))]

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use offgridflow_cache::{Cache, Delivery, Json, Loaded, Loader, RedisBackend, loader_fn};
use testkit::Redis;
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};

const DELTA: Duration = Duration::from_millis(400);
const PATIENCE: Duration = Duration::from_secs(20);

/// A source whose keys all have the same value, so many times.
#[derive(Clone, Default)]
struct Source {
    value: Arc<AtomicU64>,
    length: usize,
    loads: Arc<AtomicU64>,
}

impl Loader<u64, Vec<u64>> for Source {
    type Error = Infallible;

    async fn load(&self, _: u64) -> Result<Loaded<Vec<u64>>, Infallible> {
        self.loads.fetch_add(1, Ordering::SeqCst);
        Ok(Loaded::value(vec![self.value.load(Ordering::SeqCst); self.length.max(1)]))
    }
}

type Node = Cache<u64, Vec<u64>, Source>;

fn node(shared: RedisBackend, source: &Source) -> Node {
    let builder = Cache::builder("bad").shared(shared, Json).max_staleness(DELTA);
    builder.shared_timeout(Duration::from_millis(300)).build(source.clone()).unwrap()
}

async fn read(node: &Node, key: u64) -> u64 {
    timeout(Duration::from_secs(5), node.get(&key)).await.expect("no hang").unwrap().expect("a value")[0]
}

async fn eventually(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let began = Instant::now();
    while !holds().await {
        assert!(began.elapsed() < PATIENCE, "{what}: not within {PATIENCE:?}");
        sleep(Duration::from_millis(5)).await;
    }
}

async fn trusted(node: &Node) {
    eventually("near is trusted", async || {
        read(node, 0).await;
        node.peek(&0).is_some()
    })
    .await;
}

/// How many values there are.
fn stored(redis: &Redis) -> String {
    let count = "local n = 0 for _, k in ipairs(redis.call('KEYS', '*:k:*')) do n = n + redis.call('HEXISTS', k, 'v1') end return n";
    redis.cli(&["EVAL", count, "0"]).unwrap().trim().to_owned()
}

/// What holds of a node whose Redis takes no writes, until `mend` lets it.
async fn reads_go_on_and_removals_wait(node: &Node, other: &Node, source: &Source, mend: impl FnOnce()) {
    trusted(other).await;
    for value in 1..4 {
        source.value.store(value, Ordering::SeqCst);
        assert_eq!(node.invalidate(&0).await, Delivery::Deferred);
        assert_eq!(read(node, 0).await, value, "the loader answers");
    }
    assert!(node.stats().shared_errors > 0, "it says so");
    assert!(node.stats().deferred > 0);
    mend();
    eventually("what was deferred is delivered", async || node.stats().deferred == 0).await;
    eventually("the other node hears of it", async || read(other, 0).await == 3).await;
    trusted(node).await;
    assert_eq!(read(node, 0).await, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_password_costs_the_shared_tier_until_it_is_the_right_one() {
    let redis = Redis::start().unwrap();
    redis.cli(&["ACL", "SETUSER", "node", "on", ">right", "~*", "&*", "+@all"]).unwrap();
    let source = Source::default();
    let wrong = node(RedisBackend::connect(&redis.url().replace("://", "://node:wrong@")).unwrap(), &source);
    let other = node(RedisBackend::connect(&redis.url()).unwrap(), &source);
    eventually("it says something", async || wrong.stats().outage.is_some()).await;
    let said = wrong.stats().outage.unwrap();
    assert!(said.contains("refused the user name or the password") && said.contains("WRONGPASS"), "{said}");
    let mend = || drop(redis.cli(&["ACL", "SETUSER", "node", ">wrong"]).unwrap());
    reads_go_on_and_removals_wait(&wrong, &other, &source, mend).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_that_takes_no_writes_defers_removals_until_it_is_promoted() {
    let (primary, replica) = (Redis::start().unwrap(), Redis::start().unwrap());
    let source = Source::default();
    let port = primary.addr().port().to_string();
    replica.cli(&["REPLICAOF", "127.0.0.1", &port]).unwrap();
    let filler = node(RedisBackend::connect(&primary.url()).unwrap(), &source);
    trusted(&filler).await;
    eventually("the replica has what the primary has", async || {
        replica.cli(&["KEYS", "*:k:*"]).unwrap().contains("ogf:{bad}:k:")
    })
    .await;
    assert!(replica.cli(&["SET", "x", "y"]).map_or(true, |said| said.contains("READONLY")), "the control");
    let below = node(RedisBackend::connect(&replica.url()).unwrap(), &source);
    let beside = node(RedisBackend::connect(&replica.url()).unwrap(), &source);
    for value in 1..4 {
        source.value.store(value, Ordering::SeqCst);
        assert_eq!(below.invalidate(&0).await, Delivery::Deferred);
        assert_eq!(read(&below, 0).await, value, "not what the replica still has");
    }
    assert!(below.stats().shared_errors > 0, "it says so");
    let errors = beside.stats().shared_errors;
    source.value.store(9, Ordering::SeqCst);
    eventually("what the primary was filled with is on the replica", async || read(&beside, 0).await == 0)
        .await;
    assert!(beside.stats().shared_hits > 0, "it is read from");
    assert_eq!(filler.invalidate(&0).await, Delivery::Delivered);
    eventually("and its news is followed", async || read(&beside, 0).await == 9).await;
    trusted(&beside).await;
    source.value.store(3, Ordering::SeqCst);
    assert_eq!(filler.invalidate(&0).await, Delivery::Delivered);
    eventually("again", async || read(&beside, 0).await == 3).await;
    assert_eq!(beside.stats().shared_errors, errors, "reading costs no errors");
    replica.cli(&["REPLICAOF", "NO", "ONE"]).unwrap();
    eventually("what was deferred is delivered", async || below.stats().deferred == 0).await;
    eventually("who reads the new primary hears of it", async || read(&beside, 0).await == 3).await;
    trusted(&below).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_without_room_is_read_past_and_told_of_removals() {
    let redis = Redis::start().unwrap();
    let source = Source::default();
    let [a, b] = [(); 2].map(|()| node(RedisBackend::connect(&redis.url()).unwrap(), &source));
    trusted(&a).await;
    trusted(&b).await;
    redis.cli(&["CONFIG", "SET", "maxmemory", "1"]).unwrap();
    assert!(redis.cli(&["SET", "x", "y"]).map_or(true, |said| said.contains("OOM")), "the control");
    source.value.store(1, Ordering::SeqCst);
    assert_eq!(a.invalidate(&0).await, Delivery::Delivered);
    assert_eq!(read(&a, 0).await, 1);
    eventually("the other node follows", async || read(&b, 0).await == 1).await;
    let loads = source.loads.load(Ordering::SeqCst);
    assert_eq!((read(&a, 7).await, read(&b, 7).await), (1, 1));
    assert_eq!(
        source.loads.load(Ordering::SeqCst) - loads,
        2,
        "nothing was stored, and nobody waited for it"
    );
    redis.cli(&["CONFIG", "SET", "maxmemory", "0"]).unwrap();
    let loads = source.loads.load(Ordering::SeqCst);
    assert_eq!((read(&a, 8).await, read(&b, 8).await), (1, 1));
    assert_eq!(source.loads.load(Ordering::SeqCst) - loads, 1, "there is room again");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_value_too_long_is_not_sent_and_counted_and_lives_near() {
    let redis = Redis::start().unwrap();
    let proxy = testkit::FaultProxy::start(redis.addr()).unwrap();
    let through = format!("redis://{}", proxy.addr());
    let backend = || RedisBackend::connect(&through).unwrap().max_value_bytes(100_000);
    let long = Source { length: 100_000, ..Source::default() };
    let [a, b] = [(); 2].map(|()| node(backend(), &long));
    trusted(&a).await;
    trusted(&b).await;
    assert_eq!(
        (a.get(&1).await.unwrap().unwrap().len(), b.get(&1).await.unwrap().unwrap().len()),
        (100_000, 100_000)
    );
    assert!(a.peek(&1).is_some(), "it is kept near");
    let counted = |node: &Node| node.stats().shared.too_long;
    eventually("it is counted by both", async || counted(&a) > 0 && counted(&b) > 0).await;
    assert_eq!(a.stats().shared.errors, 0, "nothing failed");
    let _ = a.put(&2, vec![7; 100_000]).await;
    assert_eq!(
        b.get(&2).await.unwrap().unwrap()[0],
        0,
        "what was put long is not shared: the source decides"
    );
    assert_eq!(stored(&redis), "0");
    assert!(proxy.counters().client_bytes < 100_000, "none of it was sent");

    let short = Source { length: 40_000, ..Source::default() }; // 80 kB as JSON: each fits, two of them do not
    let [a, b] = [(); 2].map(|()| {
        let builder = Cache::builder("batch").shared(backend(), Json).max_staleness(DELTA);
        builder.build(short.clone()).unwrap()
    });
    trusted(&a).await;
    trusted(&b).await;
    assert_eq!(a.invalidate(&0).await, Delivery::Delivered); // it may have been stored or not
    let keys: Vec<u64> = (10..20).collect();
    assert!(a.get_many(&keys).await.into_iter().all(|answer| answer.unwrap().unwrap().len() == 40_000));
    eventually("each is stored", async || stored(&redis) == "10").await;
    let loads = short.loads.load(Ordering::SeqCst);
    assert!(b.get_many(&keys).await.into_iter().all(|answer| answer.unwrap().unwrap().len() == 40_000));
    assert_eq!(short.loads.load(Ordering::SeqCst), loads, "and read by the other node");
}

#[test]
fn who_waits_for_a_load_whose_runtime_ends_loads_on_its_own() {
    let runtime =
        || tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let (doomed, other) = (runtime(), runtime());
    let (begun, hangs) = (Arc::new(Notify::new()), Arc::new(AtomicU64::new(1)));
    let (begins, hanging) = (Arc::clone(&begun), Arc::clone(&hangs));
    let cache = Cache::<u64, u64>::builder("ends")
        .build(loader_fn(move |key: u64| {
            let (begins, hangs) = (Arc::clone(&begins), hanging.load(Ordering::SeqCst) == 1);
            async move {
                begins.notify_one();
                if hangs {
                    std::future::pending::<()>().await;
                }
                Ok::<_, Infallible>(Loaded::value(key))
            }
        }))
        .unwrap();
    let first = cache.clone();
    doomed.spawn(async move { first.get(&1).await });
    other.block_on(async {
        timeout(PATIENCE, begun.notified()).await.unwrap();
        let waits = tokio::spawn({
            let cache = cache.clone();
            async move { cache.get(&1).await }
        });
        eventually("it waits for the same load", async || cache.stats().coalesced == 1).await;
        hangs.store(0, Ordering::SeqCst);
        doomed.shutdown_background();
        let answer = timeout(PATIENCE, waits).await.expect("no hang").unwrap();
        assert_eq!(answer.expect("its own runtime goes on").as_deref(), Some(&1));
        assert_eq!(cache.stats().asked(), 2, "each read counts once");
    });
}
