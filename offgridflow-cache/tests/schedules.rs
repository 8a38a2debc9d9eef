//! Orders of events that break weaker caches, each played step by step.
#![cfg(all(feature = "json", feature = "quick_cache"))]

mod gated;

use std::convert::Infallible;
use std::sync::atomic::Ordering;
use std::time::Duration;

use gated::{DELTA, Gated, Node, Source, node, read, reading, until};
use offgridflow_cache::{Cache, Delivery, InProcess, Json, Loaded};
use tokio::time::{Instant, sleep};

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
    assert_eq!(cache.stats().asked(), 101, "who waits twice is counted once");
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
