//! A Redis that is away, stands still, or comes back from a file.

use std::time::Duration;

use offgridflow_cache::{Delivery, RedisBackend};
use testkit::Redis;
use tokio::time::{sleep, timeout};

use crate::node::{DELTA, Source, eventually, node, read, warmed};

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
