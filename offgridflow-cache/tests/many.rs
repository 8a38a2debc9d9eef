//! Many keys removed at once: as each by itself, for the price of a few trips.
#![cfg(all(feature = "json", feature = "quick_cache"))]

mod gated;

use std::sync::atomic::Ordering;

use gated::{DELTA, Gated, Node, PATIENCE, Source, node, read};
use offgridflow_cache::{Cache, CacheBackend, Delivery, InProcess};
use tokio::time::{Instant, sleep};

/// More than go into one trip, and the key that [`read`] asks for twice among them.
fn keys() -> Vec<u64> {
    (0..1_000).chain([1]).collect()
}

async fn all_are(node: &Node, value: u64) -> bool {
    node.get_many(&keys()).await.into_iter().all(|answer| answer.unwrap().as_deref() == Some(&value))
}

#[tokio::test(start_paused = true)]
async fn without_a_shared_tier_none_is_served_any_more() {
    let source = Source::new();
    let cache: Node = Cache::builder("alone").build(source.clone()).unwrap();
    assert!(all_are(&cache, 0).await);
    source.set(1);
    assert_eq!(cache.invalidate_many(&keys()).await, Delivery::Delivered);
    assert!(all_are(&cache, 1).await);
    assert_eq!(cache.stats().invalidations, 1_001);
}

#[tokio::test(start_paused = true)]
async fn many_keys_are_removed_everywhere_in_a_few_trips() {
    let (shared, source) = (Gated::over(&InProcess::new()), Source::new());
    let (a, b) = (node(&shared, &source), node(&Gated::over(&shared.store), &source));
    sleep(DELTA).await;
    assert!(all_are(&a, 0).await && all_are(&b, 0).await);
    source.set(1);
    let commands = shared.stats().commands;
    assert_eq!(a.invalidate_many(&keys()).await, Delivery::Delivered);
    assert_eq!(shared.stats().commands - commands, 2);
    assert!(all_are(&a, 1).await);
    sleep(DELTA).await;
    assert!(all_are(&b, 1).await);
}

#[tokio::test(start_paused = true)]
async fn what_is_read_while_many_are_removed_is_not_kept() {
    let (shared, source) = (Gated::over(&InProcess::new()), Source::new());
    let (a, b) = (node(&shared, &source), node(&Gated::over(&shared.store), &source));
    sleep(DELTA).await;
    assert!(all_are(&b, 0).await, "the shared tier has them");
    shared.remove.close();
    let removing = tokio::spawn({
        let a = a.clone();
        async move { a.invalidate_many(&keys()).await }
    });
    shared.remove.reached().await;
    assert_eq!(a.get(&700).await.unwrap().as_deref(), Some(&0), "the shared tier has it still");
    source.set(1);
    shared.remove.release();
    assert_eq!(removing.await.unwrap(), Delivery::Delivered);
    assert!(all_are(&a, 1).await);
}

#[tokio::test(start_paused = true)]
async fn many_keys_wait_for_a_silent_store_once_and_are_delivered_later() {
    let (shared, source) = (Gated::over(&InProcess::new()), Source::new());
    let (a, b) = (node(&shared, &source), node(&Gated::over(&shared.store), &source));
    sleep(DELTA).await;
    assert!(all_are(&a, 0).await && all_are(&b, 0).await);
    shared.silent.store(true, Ordering::SeqCst);
    source.set(1);
    let began = Instant::now();
    assert_eq!(a.invalidate_many(&keys()).await, Delivery::Deferred);
    assert!(began.elapsed() < 2 * PATIENCE, "one time-out, not one a portion");
    assert_eq!(a.stats().deferred, 1_000);
    assert!(all_are(&a, 1).await);
    shared.silent.store(false, Ordering::SeqCst);
    while a.stats().deferred > 0 {
        sleep(DELTA).await;
    }
    sleep(DELTA).await;
    assert!(all_are(&b, 1).await);
    let asked = shared.asked.load(Ordering::SeqCst);
    let _ = b.invalidate(&1).await;
    sleep(DELTA).await;
    assert_eq!(read(&a).await, 1);
    assert_eq!(
        shared.asked.load(Ordering::SeqCst),
        asked + 1,
        "a key named twice passes the shared tier by no longer"
    );
}
