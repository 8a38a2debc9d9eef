//! What cannot be read from the shared tier is replaced by the load that follows, unless it was removed meanwhile.
#![cfg(all(feature = "json", feature = "quick_cache"))]

mod gated;

use std::time::Duration;

use bytes::Bytes;
use gated::{DELTA, Gated, Node, Source, node, read, reading};
use offgridflow_cache::{Cache, Codec, CodecError, Delivery, InProcess};
use tokio::time::sleep;

/// Writes numbers in a way that JSON does not read.
#[derive(Debug)]
struct Words;

impl Codec<u64> for Words {
    fn encode(&self, _: &u64) -> Result<Vec<u8>, CodecError> {
        Ok(b"some number".to_vec())
    }

    fn decode(&self, _: Bytes) -> Result<u64, CodecError> {
        Ok(0)
    }
}

/// A store with a value of key 1 that no other node can read.
async fn unreadable() -> Gated {
    let shared = Gated::over(&InProcess::new());
    let other: Node = Cache::builder("schedules").shared(shared.clone(), Words).build(Source::new()).unwrap();
    sleep(DELTA).await;
    read(&other).await;
    settled().await;
    shared
}

async fn settled() {
    sleep(Duration::from_millis(10)).await;
}

#[tokio::test(start_paused = true)]
async fn a_value_that_cannot_be_read_is_replaced_by_the_load_that_follows() {
    let (shared, source) = (unreadable().await, Source::new());
    let [first, second] = [(); 2].map(|()| node(&Gated::over(&shared.store), &source));
    settled().await;
    read(&first).await;
    settled().await;
    assert_eq!((first.stats().decode_errors, source.loads()), (1, 1));
    read(&second).await;
    assert_eq!((second.stats().decode_errors, second.stats().shared_hits, source.loads()), (0, 1, 1));
}

#[tokio::test(start_paused = true)]
async fn of_a_batch_those_that_can_be_read_are() {
    let (shared, source) = (unreadable().await, Source::new());
    let [filler, first, second] = [(); 3].map(|()| node(&Gated::over(&shared.store), &source));
    settled().await;
    filler.get_many(&[2, 3]).await;
    settled().await;
    assert!(first.get_many(&[2, 1, 3]).await.into_iter().all(|answer| answer.is_ok()));
    settled().await;
    assert_eq!((first.stats().shared_hits, source.loads()), (2, 3));
    assert!(second.get_many(&[2, 1, 3]).await.into_iter().all(|answer| answer.is_ok()));
    assert_eq!((second.stats().shared_hits, source.loads()), (3, 3));
}

#[tokio::test(start_paused = true)]
async fn what_was_removed_while_it_was_loaded_again_is_not_filled() {
    let (shared, source) = (unreadable().await, Source::new());
    let [first, second] = [(); 2].map(|()| node(&Gated::over(&shared.store), &source));
    settled().await;
    source.gate.close();
    let early = reading(&first);
    source.gate.reached().await;
    source.set(1);
    assert_eq!(second.invalidate(&1).await, Delivery::Delivered);
    source.gate.release();
    assert_eq!(early.await.unwrap(), 0);
    settled().await;
    assert_eq!(read(&second).await, 1);
}

#[cfg(feature = "redis")]
mod redis {
    use offgridflow_cache::{Json, RedisBackend};
    use testkit::Redis;

    use super::*;

    /// Runs a line of Lua over every key that has values.
    fn each(redis: &Redis, line: &str) -> String {
        let script =
            format!("local n = 0 for _, k in ipairs(redis.call('KEYS', '*:k:*')) do {line} end return n");
        redis.cli(&["EVAL", &script, "0"]).unwrap().trim().to_owned()
    }

    /// Until so many keys have a whole frame.
    async fn whole(redis: &Redis, count: usize) {
        let line =
            "local v = redis.pcall('HGET', k, 'v1') if type(v) == 'string' and #v >= 18 then n = n + 1 end";
        for _ in 0..2_000 {
            if each(redis, line) == count.to_string() {
                return;
            }
            sleep(Duration::from_millis(5)).await;
        }
        panic!("{count} frames, not {}", each(redis, line));
    }

    /// A node that has heard of Redis, and has read key 0.
    async fn node(redis: &Redis, source: &Source) -> Node {
        let backend = RedisBackend::connect(&redis.url()).unwrap();
        let node: Node = Cache::builder("damaged").shared(backend, Json).build(source.clone()).unwrap();
        while node.peek(&0).is_none() {
            node.get(&0).await.unwrap();
            sleep(Duration::from_millis(5)).await;
        }
        node
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn it_is_rid_of_damaged_frames_and_of_keys_of_another_type() {
        for damage in [
            "redis.call('HSET', k, 'v1', 'garbage')",
            "redis.call('HSET', k, 'v1', 'OGF1')",
            "redis.call('DEL', k) redis.call('SET', k, 'x')",
            "redis.call('DEL', k) redis.call('RPUSH', k, 'x')",
        ] {
            let (redis, source) = (Redis::start().unwrap(), Source::new());
            let first = node(&redis, &source).await;
            let second = node(&redis, &source).await;
            let third = node(&redis, &source).await;
            read(&first).await;
            whole(&redis, 2).await;
            each(&redis, damage);
            whole(&redis, 0).await;
            let loads = source.loads();
            read(&second).await;
            whole(&redis, 1).await;
            let hits = third.stats().shared_hits;
            read(&third).await;
            assert_eq!((third.stats().shared_hits - hits, source.loads() - loads), (1, 1), "{damage}");
        }
    }
}
