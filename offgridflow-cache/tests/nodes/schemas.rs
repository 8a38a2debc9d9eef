//! Nodes of several schemas, and frames that are none.

use std::time::Duration;

use offgridflow_cache::{Cache, Delivery, Json, Postcard, RedisBackend};
use testkit::Redis;
use tokio::time::sleep;

use crate::node::{DELTA, Shared, Source, eventually, on_both, read, warmed};

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

/// A digit in JSON is a number to postcard: that of its letter.
#[tokio::test(flavor = "multi_thread")]
async fn what_another_codec_wrote_is_never_taken_for_a_value() {
    on_both(async |space, shared| {
        let source = Source::default();
        source.set(7);
        let node = |codec: &str| {
            let builder = Cache::builder(&*space).max_staleness(DELTA);
            let builder = match (codec, shared()) {
                ("JSON", Shared::Mine(store)) => builder.shared(store, Json),
                ("JSON", Shared::Redis(redis)) => builder.shared(redis, Json),
                (_, Shared::Mine(store)) => builder.shared(store, Postcard),
                (_, Shared::Redis(redis)) => builder.shared(redis, Postcard),
            };
            builder.build(source.clone()).unwrap()
        };
        for (writer, reader) in [("JSON", "postcard"), ("postcard", "JSON")] {
            let (writer, key) = (node(writer), format!("written in {writer}"));
            warmed(&writer, &key).await;
            let reader = node(reader);
            eventually("it has looked", DELTA * 10, async || {
                assert_eq!(read(&reader, &key).await, Some(7), "{key}");
                reader.stats().decode_errors > 0
            })
            .await;
        }
    })
    .await;
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
