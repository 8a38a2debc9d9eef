//! Values past their time, and what a node falls back on.

use std::time::Duration;

use offgridflow_cache::{CacheBuilder, Delivery, Error, InProcess, Json};
use tokio::time::{Instant, advance, sleep};

use crate::source::{SECOND, Source, TTL, builder, node, read, settle};

#[tokio::test(start_paused = true)]
async fn a_stale_value_is_served_at_once_while_one_load_replaces_it() {
    let (node, source) = node(builder().stale_while_revalidate(TTL));
    source.take(SECOND);
    assert_eq!(read(&node).await, 1);
    advance(TTL + SECOND).await;
    let began = Instant::now();
    for _ in 0..100 {
        assert_eq!(read(&node).await, 1);
    }
    assert_eq!(began.elapsed(), Duration::ZERO, "nobody waited");
    sleep(2 * SECOND).await;
    assert_eq!((read(&node).await, source.loads()), (2, 2));
    assert_eq!((node.stats().stale_hits, node.stats().refreshes), (100, 1));

    advance(TTL * 2 + SECOND).await;
    assert_eq!(read(&node).await, 3, "beyond its grace it is loaded while the reader waits");
}

#[tokio::test(start_paused = true)]
async fn what_was_invalidated_is_never_served_stale() {
    let (node, source) = node(builder().stale_while_revalidate(TTL).stale_on_error(TTL));
    for by_tag in [false, true] {
        let before = read(&node).await;
        advance(TTL + SECOND).await;
        let _ = if by_tag { node.invalidate_tag("tag").await } else { node.invalidate(&1).await };
        assert_eq!(read(&node).await, before + 1);
        source.fail(true);
        let _ = if by_tag { node.invalidate_tag("tag").await } else { node.invalidate(&1).await };
        assert!(matches!(node.get(&1).await, Err(Error::Load(_))), "an error rather than what was removed");
        source.fail(false);
        advance(SECOND).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_value_past_its_time_is_served_while_the_source_is_down_and_not_for_ever() {
    let (node, source) = node(builder().stale_on_error(TTL));
    assert_eq!(read(&node).await, 1);
    source.fail(true);
    advance(TTL + SECOND).await;
    for _ in 0..100 {
        assert_eq!(read(&node).await, 1);
    }
    assert_eq!(source.loads(), 2, "a source that has just failed is left alone");
    advance(SECOND).await;
    assert_eq!(read(&node).await, 1);
    assert_eq!(source.loads(), 3, "and tried again later");
    advance(TTL).await;
    assert!(node.get(&1).await.is_err(), "its grace is over");
    source.fail(false);
    advance(SECOND).await;
    assert_eq!(read(&node).await, 5);
}

/// A node that was just started finds a stale value in the shared tier.
#[tokio::test(start_paused = true)]
async fn a_new_node_serves_a_stale_value_of_the_shared_tier_at_once() {
    let store = InProcess::new();
    let source = Source::default();
    let node = |builder: CacheBuilder<u64, u64>| {
        builder.shared(store.clone(), Json).max_staleness(4 * SECOND).build(source.clone()).unwrap()
    };
    let first = node(builder().stale_while_revalidate(TTL));
    settle().await;
    assert_eq!(read(&first).await, 1);
    drop(first);
    source.take(SECOND / 4);
    sleep(TTL + SECOND).await;
    let [fresh, beside] = [(); 2].map(|()| node(builder().stale_while_revalidate(TTL)));
    settle().await;
    let began = Instant::now();
    assert_eq!((read(&fresh).await, read(&beside).await), (1, 1), "one has the lease, the other none");
    assert_eq!(began.elapsed(), Duration::ZERO, "nobody waited");
    assert_eq!((fresh.stats().stale_hits, fresh.stats().shared_hits), (1, 1));
    sleep(2 * SECOND).await;
    assert_eq!((read(&fresh).await, source.loads()), (2, 2), "it was loaded behind their backs, once");
    assert!(fresh.stats().hit_ratio().unwrap() <= 1.0);

    assert_eq!(fresh.invalidate(&1).await, Delivery::Delivered);
    let began = Instant::now();
    assert_eq!(read(&fresh).await, 3);
    assert_eq!(began.elapsed(), SECOND / 4, "what was removed is not served");
}

#[tokio::test(start_paused = true)]
async fn a_new_node_falls_back_on_a_stale_value_of_the_shared_tier_after_the_soft_time_out() {
    let store = InProcess::new();
    let source = Source::default();
    let node = || {
        let builder = builder().shared(store.clone(), Json).stale_on_error(TTL).soft_timeout(SECOND / 10);
        builder.build(source.clone()).unwrap()
    };
    let first = node();
    settle().await;
    assert_eq!(read(&first).await, 1);
    source.take(SECOND);
    sleep(TTL + SECOND).await;
    let fresh = node();
    settle().await;
    let began = Instant::now();
    assert_eq!(read(&fresh).await, 1);
    assert_eq!(began.elapsed(), SECOND / 10);
}

#[tokio::test(start_paused = true)]
async fn a_new_node_serves_what_the_shared_tier_kept_while_the_source_is_down() {
    let store = InProcess::new();
    let source = Source::default();
    let node = || builder().shared(store.clone(), Json).stale_on_error(TTL).build(source.clone()).unwrap();
    let first = node();
    settle().await;
    assert_eq!(read(&first).await, 1);
    source.fail(true);
    sleep(TTL + SECOND).await;
    let second = node();
    settle().await;
    assert_eq!(read(&second).await, 1);
    assert_eq!(first.invalidate(&1).await, Delivery::Delivered);
    sleep(2 * SECOND).await;
    assert!(second.get(&1).await.is_err(), "not once it was removed");
}

#[tokio::test(start_paused = true)]
async fn reads_are_counted_whatever_becomes_of_them() {
    let store = InProcess::new();
    let (node, source) =
        node(builder().shared(store.clone(), Json).retry_after(SECOND).refresh_early(1_000.0));
    settle().await;
    source.fail(true);
    for _ in 0..10 {
        let _ = node.get(&1).await;
    }
    assert_eq!((node.stats().asked(), node.stats().misses, node.stats().refused), (10, 1, 9));
    source.fail(false);
    sleep(2 * SECOND).await;
    source.take(SECOND / 10);
    for _ in 0..200 {
        let _ = node.get(&1).await; // refreshed again and again behind its readers' backs
        sleep(SECOND / 50).await;
    }
    assert!(node.stats().refreshes > 0);
    assert_eq!(node.stats().asked(), 210);
    let other = builder().shared(store, Json).refresh_early(1_000.0).build(source).unwrap();
    settle().await;
    for _ in 0..200 {
        let _ = other.get(&1).await;
        sleep(SECOND / 50).await;
    }
    let ratio = other.stats().hit_ratio().unwrap();
    assert!(ratio <= 1.0, "{ratio}");
}
