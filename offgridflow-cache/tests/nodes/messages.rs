//! Connections to Redis, and the messages that come by them.

use std::sync::Arc;
use std::time::Duration;

use offgridflow_cache::{CacheBackend, Delivery, InProcess, RedisBackend};
use testkit::Redis;
use tokio::runtime::{Builder, Handle};
use tokio::time::sleep;

use crate::node::{Source, eventually, node, node_behind, read, warmed};

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

/// As caches of tenants that come and go.
#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_follows_any_more_is_not_subscribed_to() {
    let redis = Redis::start().unwrap();
    let store = RedisBackend::connect(&redis.url()).unwrap();
    let channels = || {
        redis.cli(&["PUBSUB", "CHANNELS", "ogf:*"]).unwrap().lines().filter(|line| !line.is_empty()).count()
    };
    let source = Source::default();
    let follow = |space: &str| node(space, store.clone(), &source);
    let stays = follow("stays");
    for tenant in 0..20 {
        warmed(&follow(&format!("tenant-{tenant}")), "k").await;
    }
    let limit = Duration::from_secs(20);
    eventually("one is left", limit, async || channels() == 1 && store.stats().unheard == 0).await;
    let again = follow("tenant-7");
    eventually("it is heard again", limit, async || channels() == 2 && store.stats().unheard == 0).await;
    drop((stays, again));
    eventually("none is left", limit, async || channels() == 0).await;
}

/// A cache that is kept in a `static`, say, and was built on the runtime of the first test.
#[test]
fn a_cache_connects_again_when_the_runtime_it_was_connected_on_has_ended() {
    let runtime = || Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let (redis, source, first) = (Redis::start().unwrap(), Source::default(), runtime());
    let connected = || node("static", RedisBackend::connect(&redis.url()).unwrap(), &source);
    let cache = first.block_on(async {
        let cache = connected();
        warmed(&cache, "k").await;
        cache
    });
    first.shutdown_background();
    runtime().block_on(async {
        let limit = Duration::from_secs(20);
        let listening = || redis.cli(&["CLIENT", "LIST", "TYPE", "pubsub"]).unwrap().contains("id=");
        eventually("its connections are gone", limit, async || !listening()).await;
        eventually("messages are heard again", limit, async || {
            read(&cache, "k").await;
            listening() && cache.stats().shared.unheard == 0
        })
        .await;
        warmed(&cache, "k").await;
        assert_eq!(cache.stats().outage, None);
        source.set(1);
        assert_eq!(connected().invalidate(&"k".to_owned()).await, Delivery::Delivered);
        eventually("it follows", limit, async || read(&cache, "k").await == Some(1)).await;
    });
}

/// Nobody answers at the address, so that nothing was subscribed to when the caches go.
#[tokio::test]
async fn caches_that_go_leave_no_task_behind() {
    let alive = || Handle::current().metrics().num_alive_tasks();
    let before = alive();
    let mut redis = Redis::start().unwrap();
    redis.kill();
    for _ in 0..10 {
        let source = Source::default();
        let cache = node_behind(
            Duration::from_millis(100),
            "gone",
            RedisBackend::connect(&redis.url()).unwrap(),
            &source,
        );
        read(&cache, "k").await;
    }
    assert!(alive() > before, "they had some");
    eventually("none is left", Duration::from_secs(20), async || alive() == before).await;
}
