//! An outage is one outage, whatever of the shared tier still works.
#![cfg(all(feature = "json", feature = "quick_cache"))]

mod gated;

use std::sync::atomic::Ordering;
use std::time::Duration;

use gated::{DELTA, Gated, Source, node, read};
use offgridflow_cache::{Cache, Delivery, InProcess, Json};
use tokio::time::sleep;

#[tokio::test(start_paused = true)]
async fn a_store_that_takes_no_removals_is_out_until_it_does() {
    let (shared, source) = (Gated::over(&InProcess::new()), Source::new());
    let cache = node(&shared, &source);
    sleep(DELTA).await;
    shared.takes_no_removals.store(true, Ordering::SeqCst);
    assert_eq!(cache.invalidate(&1).await, Delivery::Deferred);
    for _ in 0..200 {
        sleep(DELTA / 10).await;
        assert!(cache.stats().outage.is_some(), "it answers reads and looks for news, and takes no removal");
    }
    shared.takes_no_removals.store(false, Ordering::SeqCst);
    sleep(DELTA).await;
    let stats = cache.stats();
    assert_eq!((stats.outage, stats.outages, stats.deferred), (None, 1, 0));
}

/// A large Δ is no reason to leave a store alone that is back.
#[tokio::test(start_paused = true)]
async fn what_was_deferred_is_told_soon_after_the_store_answers_again_however_large_the_bound() {
    let (shared, source) = (Gated::over(&InProcess::new()), Source::new());
    let hour = Duration::from_secs(3_600);
    let cache =
        Cache::builder("patient").shared(shared.clone(), Json).max_staleness(hour).build(source).unwrap();
    cache.get(&1).await.unwrap();
    sleep(DELTA).await;
    shared.silent.store(true, Ordering::SeqCst);
    assert_eq!(cache.invalidate(&1).await, Delivery::Deferred);
    sleep(DELTA).await;
    shared.silent.store(false, Ordering::SeqCst);
    sleep(Duration::from_secs(2)).await;
    let stats = cache.stats();
    assert_eq!((stats.deferred, stats.outage), (0, None));
    let asked = shared.ask.reached.load(Ordering::SeqCst);
    cache.get(&2).await.unwrap();
    assert!(shared.ask.reached.load(Ordering::SeqCst) > asked, "it is read again");
}

#[tokio::test(start_paused = true)]
async fn a_store_that_takes_no_fills_is_out_while_there_are_some() {
    let (shared, source) = (Gated::over(&InProcess::new()), Source::new());
    let cache = node(&shared, &source);
    sleep(DELTA).await;
    shared.takes_no_fills.store(true, Ordering::SeqCst);
    for key in 0..200 {
        cache.get(&key).await.unwrap();
        sleep(DELTA / 10).await;
        assert!(cache.stats().outage.is_some());
    }
    sleep(DELTA).await;
    let stats = cache.stats();
    assert_eq!((stats.outage, stats.outages), (None, 1), "there is nothing that it fails");
}

#[tokio::test(start_paused = true)]
async fn a_store_that_was_silent_is_back_with_its_first_answer() {
    let (shared, source) = (Gated::over(&InProcess::new()), Source::new());
    let cache = node(&shared, &source);
    sleep(DELTA).await;
    shared.silent.store(true, Ordering::SeqCst);
    sleep(DELTA * 10).await;
    assert!(cache.stats().outage.is_some_and(|reason| reason.contains("did not answer")));
    read(&cache).await;
    shared.news.reached.store(0, Ordering::SeqCst);
    shared.silent.store(false, Ordering::SeqCst);
    while shared.news.reached.swap(0, Ordering::SeqCst) == 0 {
        sleep(Duration::from_millis(1)).await;
    }
    sleep(Duration::from_millis(1)).await;
    let stats = cache.stats();
    assert_eq!((stats.outage, stats.outages), (None, 1));
}
