//! Errors of loads, and what ends them.

use offgridflow_cache::{Error, QuickCache};
use tokio::time::advance;

use crate::source::{SECOND, TTL, builder, node, read, settle};

#[tokio::test(start_paused = true)]
async fn an_error_is_given_to_all_for_a_moment_and_an_invalidation_ends_it() {
    let (node, source) = node(builder().retry_after(SECOND));
    source.fail(true);
    for _ in 0..50 {
        assert!(matches!(node.get(&1).await, Err(Error::Load(_))));
    }
    let many = node.get_many(&[1, 2]).await;
    assert!(many.iter().all(|answer| matches!(answer, Err(Error::Load(_)))));
    assert_eq!(source.loads(), 2, "one for each key");
    source.fail(false);
    let _ = node.invalidate(&1).await;
    assert_eq!(read(&node).await, 3, "something has changed: it is tried at once");
    assert!(node.get(&2).await.is_err(), "the other key waits");
    advance(SECOND).await;
    assert_eq!(node.get(&2).await.unwrap().as_deref(), Some(&4));
}

/// Near keeps nothing, as where the key is thrown out at once.
#[tokio::test(start_paused = true)]
async fn a_put_under_a_lease_ends_an_error_whether_or_not_its_value_is_kept() {
    let (node, source) = node(builder().retry_after(SECOND).near(QuickCache::entries(0)));
    source.fail(true);
    assert!(node.get(&1).await.is_err());
    source.fail(false);
    let lease = node.lease(&1).await;
    let _ = lease.put(7).await;
    assert_eq!(read(&node).await, 2, "it is tried at once");
}

#[tokio::test(start_paused = true)]
async fn an_invalidated_tag_or_everything_ends_an_error_as_well() {
    for by_tag in [true, false] {
        let (node, source) = node(builder().retry_after(SECOND));
        source.fail(true);
        assert!(node.get(&1).await.is_err());
        source.fail(false);
        assert!(node.get(&1).await.is_err(), "the source is left alone");
        let _ = if by_tag { node.invalidate_tag("tag").await } else { node.clear().await };
        assert_eq!(read(&node).await, 2, "it is tried at once");
    }
}

#[tokio::test(start_paused = true)]
async fn an_invalidated_tag_ends_no_error_of_a_key_that_is_known_to_carry_others() {
    let (node, source) = node(builder().retry_after(SECOND));
    assert_eq!(read(&node).await, 1);
    advance(TTL + SECOND).await;
    source.fail(true);
    assert!(node.get(&1).await.is_err());
    let _ = node.invalidate_tag("another").await;
    assert!(node.get(&1).await.is_err());
    assert_eq!(source.loads(), 2, "the source is left alone");
    let _ = node.invalidate_tag("tag").await;
    assert!(node.get(&1).await.is_err());
    assert_eq!(source.loads(), 3);
}

#[tokio::test(start_paused = true)]
async fn an_error_of_before_an_invalidation_is_not_given_to_who_comes_after_it() {
    let (node, source) = node(builder().retry_after(SECOND * 60));
    source.fail(true);
    source.take(SECOND);
    let early = tokio::spawn({
        let node = node.clone();
        async move { node.get(&1).await.is_err() }
    });
    settle().await;
    let _ = node.invalidate(&1).await;
    assert!(early.await.unwrap());
    source.fail(false);
    assert_eq!(read(&node).await, 2);
}
