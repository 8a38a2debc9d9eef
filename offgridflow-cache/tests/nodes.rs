//! What is promised between nodes that share a tier: the same checks over the in-process store and a real Redis.
#![cfg(all(feature = "json", feature = "redis"))]

use std::convert::Infallible;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use offgridflow_cache::{Cache, CacheBackend, Delivery, InProcess, Json, Loaded, Loader, RedisBackend};
use testkit::{FaultProxy, Redis};
use tokio::time::{sleep, timeout};

const DELTA: Duration = Duration::from_millis(400);

/// The source that all nodes read.
#[derive(Clone, Default)]
struct Source {
    value: Arc<AtomicU64>,
    loads: Arc<AtomicU64>,
    takes: Duration,
}

impl Source {
    fn set(&self, value: u64) {
        self.value.store(value, Ordering::SeqCst);
    }

    fn loads(&self) -> u64 {
        self.loads.load(Ordering::SeqCst)
    }
}

impl Loader<String, u64> for Source {
    type Error = Infallible;

    async fn load(&self, key: String) -> Result<Loaded<u64>, Infallible> {
        self.loads.fetch_add(1, Ordering::SeqCst);
        let value = self.value.load(Ordering::SeqCst);
        sleep(self.takes).await;
        if key == "absent" { Ok(Loaded::absent().tag("tag")) } else { Ok(Loaded::value(value).tag("tag")) }
    }
}

type Node = Cache<String, u64, Source>;

fn node(space: &str, shared: impl CacheBackend, source: &Source) -> Node {
    node_behind(DELTA, space, shared, source)
}

fn node_behind(staleness: Duration, space: &str, shared: impl CacheBackend, source: &Source) -> Node {
    let builder = Cache::builder(space)
        .shared(shared, Json)
        .max_staleness(staleness)
        .shared_timeout(Duration::from_millis(300));
    builder.build(source.clone()).unwrap()
}

fn unique(name: &str) -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    format!("{name}-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

async fn read(node: &Node, key: &str) -> Option<u64> {
    node.get(&key.to_owned()).await.unwrap().map(|value| *value)
}

/// Waits until a node's near tier is trusted, so that what follows is about coherence and not about the start.
async fn warmed(node: &Node, key: &str) {
    while node.peek(&key.to_owned()).is_none() {
        read(node, key).await;
        sleep(Duration::from_millis(5)).await;
    }
}

async fn eventually(what: &str, limit: Duration, mut holds: impl AsyncFnMut() -> bool) {
    let began = Instant::now();
    while !holds().await {
        assert!(began.elapsed() < limit, "{what}: not within {limit:?}");
        sleep(Duration::from_millis(5)).await;
    }
}

/// Runs `check` with two backends over one store: in process, and Redis.
async fn on_both<F: Future<Output = ()>>(check: impl Fn(String, Arc<dyn Fn() -> Shared + Send + Sync>) -> F) {
    let store = InProcess::new();
    check(unique("in-process"), Arc::new(move || Shared::Mine(store.clone()))).await;
    let url = testkit::redis().url();
    check(unique("redis"), Arc::new(move || Shared::Redis(RedisBackend::connect(&url).unwrap()))).await;
}

#[derive(Debug)]
enum Shared {
    Mine(InProcess),
    Redis(RedisBackend),
}

fn two(space: &str, shared: &(dyn Fn() -> Shared + Send + Sync), source: &Source) -> [Node; 2] {
    [(); 2].map(|()| match shared() {
        Shared::Mine(store) => node(space, store, source),
        Shared::Redis(redis) => node(space, redis, source),
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn one_node_loads_and_the_other_reads_it_from_the_shared_tier() {
    on_both(async |space, shared| {
        let source = Source::default();
        let [a, b] = two(&space, &*shared, &source);
        source.set(7);
        warmed(&a, "k").await;
        let loads = source.loads();
        eventually("b reads what a loaded", DELTA * 5, async || {
            read(&b, "k").await == Some(7) && b.stats().shared_hits > 0
        })
        .await;
        assert_eq!(source.loads(), loads, "b needed no load");
        assert_eq!(read(&a, "absent").await, None);
        let loads = source.loads();
        eventually("an absence is shared too", DELTA * 5, async || {
            read(&b, "absent").await.is_none() && source.loads() == loads
        })
        .await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_invalidation_reaches_the_other_node_within_delta() {
    on_both(async |space, shared| {
        let source = Source::default();
        let [a, b] = two(&space, &*shared, &source);
        for (round, kind) in (1_u64..).zip(["key", "tag", "clear"]) {
            warmed(&a, "k").await;
            warmed(&b, "k").await;
            source.set(round);
            let delivery = match kind {
                "key" => a.invalidate(&"k".to_owned()).await,
                "tag" => a.invalidate_tag("tag").await,
                _ => a.clear().await,
            };
            assert_eq!(delivery, Delivery::Delivered, "{kind}");
            let delivered = Instant::now();
            assert_eq!(read(&a, "k").await, Some(round), "{kind}: the invalidating node at once");
            eventually("the other node", DELTA * 3, async || read(&b, "k").await == Some(round)).await;
            assert!(
                delivered.elapsed() < DELTA + Duration::from_millis(100),
                "{kind}: {:?}",
                delivered.elapsed()
            );
        }
    })
    .await;
}

/// Looks for news are 75 s apart here: what arrives sooner came by message, again after the connection was lost.
#[tokio::test(flavor = "multi_thread")]
async fn messages_hurry_an_invalidation() {
    let staleness = Duration::from_secs(300);
    let redis = Redis::start().unwrap();
    let stores: [Box<dyn Fn() -> Arc<dyn CacheBackend>>; 2] = [
        {
            let store = InProcess::new();
            Box::new(move || Arc::new(store.clone()))
        },
        {
            let url = redis.url();
            Box::new(move || Arc::new(RedisBackend::connect(&url).unwrap()))
        },
    ];
    for store in stores {
        let source = Source::default();
        let [a, b] = [(); 2].map(|()| node_behind(staleness, "space", store(), &source));
        warmed(&b, "k").await;
        for cut in [false, true] {
            if cut {
                redis.cli(&["CLIENT", "KILL", "TYPE", "pubsub"]).unwrap();
            }
            eventually("the other node hears of it", Duration::from_secs(20), async || {
                read(&b, "k").await;
                let _ = a.invalidate(&"k".to_owned()).await; // again and again: while nobody listens yet, a message is lost
                sleep(Duration::from_millis(200)).await;
                b.peek(&"k".to_owned()).is_none()
            })
            .await;
        }
    }
}

/// Redis is away for longer than any command may take, or does not let the node in, when its cache is built.
#[tokio::test(flavor = "multi_thread")]
async fn messages_begin_whenever_redis_does() {
    let mut redis = Redis::start().unwrap();
    redis.cli(&["SAVE"]).unwrap();
    redis.kill();
    let source = Source::default();
    let staleness = Duration::from_secs(300);
    let [a, b] = [(); 2]
        .map(|()| node_behind(staleness, "late", RedisBackend::connect(&redis.url()).unwrap(), &source));
    sleep(Duration::from_secs(5)).await;
    assert_eq!((a.stats().shared.unheard, b.stats().shared.unheard), (1, 1), "it is seen in the statistics");
    redis.restart().unwrap();
    eventually("both are heard", Duration::from_secs(20), async || {
        a.stats().shared.unheard + b.stats().shared.unheard == 0
    })
    .await;
    let _ = a.invalidate(&"k".to_owned()).await; // the message hurries b's first successful look, and with it its trust
    warmed(&b, "k").await;
    eventually("the other node hears of it", Duration::from_secs(20), async || {
        let _ = a.invalidate(&"k".to_owned()).await;
        sleep(Duration::from_millis(200)).await;
        b.peek(&"k".to_owned()).is_none()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_is_dropped_leaves_no_connection() {
    let redis = Redis::start().unwrap();
    let clients =
        || redis.cli(&["CLIENT", "LIST"]).unwrap().lines().filter(|line| line.contains("id=")).count();
    let before = clients();
    let source = Source::default();
    let cache = node("dropped", RedisBackend::connect(&redis.url()).unwrap(), &source);
    warmed(&cache, "k").await;
    eventually("it has two", Duration::from_secs(5), async || clients() == before + 2).await;
    drop(cache);
    eventually("none is left", Duration::from_secs(5), async || clients() == before).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_load_that_began_before_another_nodes_invalidation_does_not_fill_the_shared_tier() {
    on_both(async |space, shared| {
        let source = Source { takes: Duration::from_millis(150), ..Source::default() };
        let [a, b] = two(&space, &*shared, &source);
        eventually("b is connected", DELTA * 10, async || {
            read(&b, "warm").await.is_some() && b.peek(&"warm".to_owned()).is_some()
        })
        .await;
        eventually("a is connected", DELTA * 10, async || {
            read(&a, "warm").await.is_some() && a.peek(&"warm".to_owned()).is_some()
        })
        .await;
        let loads = source.loads();
        let early = tokio::spawn({
            let a = a.clone();
            async move { read(&a, "k").await }
        });
        eventually("a loads", DELTA * 5, async || source.loads() > loads).await;
        source.set(1);
        assert_eq!(b.invalidate(&"k".to_owned()).await, Delivery::Delivered);
        assert_eq!(early.await.unwrap(), Some(0), "its caller began before");
        assert_eq!(read(&b, "k").await, Some(1), "the old value was refused by the shared tier");
        eventually("a follows", DELTA * 3, async || read(&a, "k").await == Some(1)).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cold_key_costs_one_load_a_fleet() {
    on_both(async |space, shared| {
        let source = Source { takes: Duration::from_millis(100), ..Source::default() };
        let nodes: Vec<Node> = (0..2).flat_map(|_| two(&space, &*shared, &source)).collect();
        for node in &nodes {
            eventually("connected", DELTA * 20, async || {
                read(node, "warm").await.is_some() && node.peek(&"warm".to_owned()).is_some()
            })
            .await;
        }
        let loads = source.loads();
        let readers: Vec<_> = (0..200)
            .map(|n| {
                let node = nodes[n % nodes.len()].clone();
                tokio::spawn(async move { read(&node, "cold").await })
            })
            .collect();
        for reader in readers {
            assert_eq!(reader.await.unwrap(), Some(0));
        }
        assert_eq!(source.loads() - loads, 1);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_is_down_fails_no_read_and_defers_invalidations() {
    let mut redis = Redis::start().unwrap();
    redis.kill();
    let source = Source::default();
    let cache = node("down", RedisBackend::connect(&redis.url()).unwrap(), &source);
    assert_eq!(read(&cache, "k").await, Some(0), "the loader answers");
    assert!(cache.stats().shared_errors > 0, "and it says so");
    source.set(1);
    assert_eq!(cache.invalidate(&"k".to_owned()).await, Delivery::Deferred);
    assert_eq!(read(&cache, "k").await, Some(1));
    assert_eq!(cache.invalidate_tag("tag").await, Delivery::Deferred);
    assert_eq!(cache.stats().deferred, 2);
    redis.restart().unwrap();
    eventually("what was deferred is delivered", Duration::from_secs(20), async || {
        cache.stats().deferred == 0
    })
    .await;
    eventually("near is trusted again", Duration::from_secs(20), async || {
        read(&cache, "k").await;
        cache.peek(&"k".to_owned()).is_some()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frozen_redis_bounds_what_is_served_near_and_blocks_no_read() {
    let redis = Redis::start().unwrap();
    let source = Source::default();
    let cache = node("frozen", RedisBackend::connect(&redis.url()).unwrap(), &source);
    warmed(&cache, "k").await;
    redis.freeze();
    sleep(DELTA + Duration::from_millis(50)).await;
    assert!(cache.peek(&"k".to_owned()).is_none(), "no news for longer than Δ: near is not served");
    source.set(1);
    let answer = timeout(Duration::from_secs(5), read(&cache, "k")).await.unwrap();
    assert_eq!(answer, Some(1), "the loader answers");
    redis.thaw();
    eventually("near is trusted again", Duration::from_secs(20), async || {
        read(&cache, "k").await;
        cache.peek(&"k".to_owned()).is_some()
    })
    .await;
}

/// SAVE, invalidate, kill, restart: the file brings the old value back under the same epoch.
#[tokio::test(flavor = "multi_thread")]
async fn a_value_that_a_restart_brings_back_is_not_served() {
    let mut redis = Redis::start().unwrap();
    let source = Source::default();
    let cache = node("rollback", RedisBackend::connect(&redis.url()).unwrap(), &source);
    warmed(&cache, "k").await;
    redis.cli(&["SAVE"]).unwrap();
    source.set(1);
    assert_eq!(cache.invalidate(&"k".to_owned()).await, Delivery::Delivered);
    redis.kill();
    redis.restart().unwrap();
    let keys = redis.cli(&["KEYS", "*:k:*"]).unwrap();
    assert!(!keys.is_empty(), "the control: Redis has the old value again");
    let other = node("rollback", RedisBackend::connect(&redis.url()).unwrap(), &source);
    eventually("the other node hears of it", Duration::from_secs(20), async || {
        read(&other, "x").await;
        other.peek(&"x".to_owned()).is_some()
    })
    .await;
    assert_eq!((read(&other, "k").await, read(&cache, "k").await), (Some(1), Some(1)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cold_get_is_one_trip_to_ask_and_one_to_fill_and_a_batch_costs_the_same() {
    let redis = testkit::redis();
    let proxy = FaultProxy::start(redis.addr()).unwrap();
    let url = format!("redis://{}", proxy.addr());
    let source = Source::default();
    let builder = Cache::builder(unique("trips"))
        .shared(RedisBackend::connect(&url).unwrap(), Json)
        .max_staleness(Duration::from_secs(3_600));
    let cache = builder.build(source.clone()).unwrap();
    warmed(&cache, "warm").await; // scripts are loaded, and the next look for news is far away
    let trips = || proxy.counters().round_trips;
    eventually("looked, filled and heard the news", DELTA * 50, async || cache.stats().shared.commands >= 3)
        .await;
    eventually("nothing is under way", DELTA * 50, async || {
        let before = trips();
        sleep(Duration::from_millis(200)).await;
        trips() == before
    })
    .await;
    let before = trips();
    assert_eq!(read(&cache, "cold").await, Some(0));
    eventually("asked and filled", DELTA * 5, async || trips() == before + 2).await;
    let keys: Vec<String> = (0..100).map(|n| n.to_string()).collect();
    assert!(cache.get_many(&keys).await.into_iter().all(|answer| answer.unwrap().is_some()));
    eventually("asked and filled", DELTA * 5, async || trips() == before + 4).await;
    sleep(Duration::from_millis(50)).await;
    assert_eq!(trips(), before + 4, "no further trip");
}

#[tokio::test(flavor = "multi_thread")]
async fn frames_of_another_schema_or_damaged_ones_are_misses() {
    let redis = Redis::start().unwrap();
    let source = Source::default();
    let with_schema = |schema| {
        let builder = Cache::builder("schemas")
            .schema(schema)
            .shared(RedisBackend::connect(&redis.url()).unwrap(), Json);
        builder.max_staleness(DELTA).build(source.clone()).unwrap()
    };
    let (old, new) = (with_schema(1), with_schema(2));
    warmed(&old, "k").await;
    warmed(&new, "k").await;
    assert_eq!(source.loads(), 2, "each schema has its own");
    let copied = "for _, k in ipairs(redis.call('KEYS', '*:k:*')) do redis.call('HSET', k, 'v1', redis.call('HGET', k, 'v2')) end return {}";
    redis.cli(&["EVAL", copied, "0"]).unwrap();
    let fresh = with_schema(1);
    eventually("another schema's frame is a counted miss", DELTA * 10, async || {
        read(&fresh, "k").await == Some(0) && fresh.stats().decode_errors > 0
    })
    .await;
    for damage in ["garbage", "OGF1"] {
        redis.cli(&["EVAL", "for _, k in ipairs(redis.call('KEYS', '*:k:*')) do redis.call('HSET', k, 'v1', ARGV[1]) end return {}", "0", damage]).unwrap();
        let fresh = with_schema(1);
        eventually("read past the damage", DELTA * 10, async || read(&fresh, "k").await == Some(0)).await;
    }
    redis.cli(&["EVAL", "for _, k in ipairs(redis.call('KEYS', '*:k:*')) do redis.call('DEL', k) redis.call('SET', k, 'x') end return {}", "0"]).unwrap();
    let fresh = with_schema(1);
    assert_eq!(read(&fresh, "k").await, Some(0), "a key of another type fails itself only");
}

/// A new version is rolled out: nodes of two schemas share a namespace, each with values of its own.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_node_invalidates_is_invalid_in_every_schema() {
    on_both(async |space, shared| {
        let source = Source::default();
        let node = |schema| {
            let builder = match shared() {
                Shared::Mine(store) => Cache::builder(&*space).shared(store, Json),
                Shared::Redis(redis) => Cache::builder(&*space).shared(redis, Json),
            };
            builder.schema(schema).max_staleness(DELTA).build(source.clone()).unwrap()
        };
        let [old, new, fresh] = [1, 2, 1].map(node);
        for (round, kind) in (1_u64..).zip(["key", "tag", "clear"]) {
            warmed(&old, "k").await;
            warmed(&new, "k").await;
            source.set(round);
            let delivery = match kind {
                "key" => new.invalidate(&"k".to_owned()).await,
                "tag" => new.invalidate_tag("tag").await,
                _ => new.clear().await,
            };
            assert_eq!(delivery, Delivery::Delivered, "{kind}");
            assert_eq!(read(&new, "k").await, Some(round), "{kind}: the invalidating node");
            sleep(DELTA + Duration::from_millis(100)).await;
            assert_eq!(read(&old, "k").await, Some(round), "{kind}: a node of the older schema");
            assert_eq!(read(&fresh, "k").await, Some(round), "{kind}: what the shared tier kept for it");
        }
        assert_eq!(
            old.stats().decode_errors + new.stats().decode_errors,
            0,
            "they do not meet each other's frames"
        );
        let loads = source.loads();
        for _ in 0..5 {
            assert_eq!((read(&old, "k").await, read(&new, "k").await), (Some(3), Some(3)));
        }
        assert_eq!(source.loads(), loads, "nor overwrite each other's values");
    })
    .await;
}

#[test]
fn an_address_that_cannot_be_read_is_refused() {
    let error = RedisBackend::connect("http://somewhere").unwrap_err().to_string();
    assert!(error.contains("address of Redis"), "{error}");
}
