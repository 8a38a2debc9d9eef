//! What is put under a lease gives way to whatever was removed since the lease was taken.
#![cfg(all(feature = "json", feature = "quick_cache"))]

mod gated;

use std::sync::atomic::Ordering;
use std::time::Duration;

use gated::{DELTA, Gated, Node, Source, node, read};
use offgridflow_cache::{Cache, Delivery, InProcess, Loaded, PutLease};
use tokio::time::sleep;

/// Ways to remove key 1.
const WAYS: [&str; 3] = ["by key", "by tag", "with everything"];

async fn remove(node: &Node, way: &str) -> Delivery {
    match way {
        "by key" => node.invalidate(&1).await,
        "by tag" => node.invalidate_tag("tag").await,
        _ => node.clear().await,
    }
}

/// Puts the version that was overwritten since the lease was taken.
async fn put_late(lease: PutLease<u64, u64, Source>) -> Delivery {
    lease.put(Loaded::value(1).tag("another tag")).await
}

#[tokio::test(start_paused = true)]
async fn without_a_shared_tier_a_put_gives_way_to_what_was_removed_since() {
    for way in WAYS {
        let source = Source::new();
        let cache: Node = Cache::builder("alone").build(source.clone()).unwrap();
        let lease = cache.lease(&1).await;
        source.set(2);
        assert_eq!(remove(&cache, way).await, Delivery::Delivered);
        assert_eq!(put_late(lease).await, Delivery::Delivered);
        assert_eq!(read(&cache).await, 2, "removed {way}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_put_that_nothing_was_removed_before_is_kept() {
    let source = Source::new();
    let cache: Node = Cache::builder("alone").build(source.clone()).unwrap();
    let _ = remove(&cache, "by tag").await;
    let lease = cache.lease(&1).await;
    let _ = cache.invalidate(&1_000).await;
    assert_eq!(put_late(lease).await, Delivery::Delivered);
    assert_eq!((read(&cache).await, source.loads()), (1, 0));
}

/// The shared tier's sequence does not know what it could not be told.
#[tokio::test(start_paused = true)]
async fn a_put_gives_way_to_a_removal_that_is_deferred() {
    for way in WAYS {
        let (shared, source) = (Gated::over(&InProcess::new()), Source::new());
        let cache = node(&shared, &source);
        sleep(DELTA).await;
        let lease = cache.lease(&1).await;
        source.set(2);
        shared.takes_no_removals.store(true, Ordering::SeqCst);
        assert_eq!(remove(&cache, way).await, Delivery::Deferred);
        shared.takes_no_removals.store(false, Ordering::SeqCst);
        assert_eq!(put_late(lease).await, Delivery::Delivered);
        assert_eq!(read(&cache).await, 2, "removed {way}");
        let other = node(&Gated::over(&shared.store), &source);
        sleep(Duration::from_millis(1)).await;
        assert_eq!(read(&other).await, 2, "removed {way}: nor is it in the shared tier");
    }
}

/// The same, while the put is on its way.
#[tokio::test(start_paused = true)]
async fn a_put_under_way_gives_way_to_a_removal_that_is_deferred() {
    for way in WAYS {
        let (shared, source) = (Gated::over(&InProcess::new()), Source::new());
        let cache = node(&shared, &source);
        sleep(DELTA).await;
        let lease = cache.lease(&1).await;
        shared.ask.close();
        let put = tokio::spawn(put_late(lease));
        shared.ask.reached().await;
        source.set(2);
        shared.takes_no_removals.store(true, Ordering::SeqCst);
        assert_eq!(remove(&cache, way).await, Delivery::Deferred);
        shared.ask.release();
        assert_eq!(put.await.unwrap(), Delivery::Delivered);
        assert_eq!(read(&cache).await, 2, "removed {way}");
        let other = node(&Gated::over(&shared.store), &source);
        sleep(Duration::from_millis(1)).await;
        assert_eq!(read(&other).await, 2, "removed {way}: nor is it in the shared tier");
    }
}
