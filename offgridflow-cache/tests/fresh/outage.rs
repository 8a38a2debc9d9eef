//! What a node serves while the shared tier is silent.

use std::sync::Arc;
use std::time::Duration;

use offgridflow_cache::{Breaker, Chaos, Delivery, Faults, InProcess, Json, Outage};
use tokio::time::{Instant, sleep};

use crate::source::{Node, SECOND, Source, TTL, builder, node, read, settle};

/// The shared tier falls silent.
fn silenced(outage: Outage) -> (Node, Source, Arc<Chaos<InProcess>>) {
    let chaos = Arc::new(Chaos::new(InProcess::new(), 1, Faults { refused: 1.0, ..Faults::default() }));
    chaos.rest();
    let shared = Breaker::new(Arc::clone(&chaos));
    let (node, source) = node(builder().ttl(TTL * 100).shared(shared, Json).outage(outage));
    (node, source, chaos)
}

#[tokio::test(start_paused = true)]
async fn without_the_shared_tier_a_key_in_use_is_loaded_behind_its_readers_backs() {
    let (node, source, chaos) = silenced(Outage::Reload);
    settle().await;
    read(&node).await;
    source.take(SECOND / 100);
    chaos.resume();
    let (began, mut waited) = (Instant::now(), 0);
    while began.elapsed() < 60 * SECOND {
        sleep(SECOND / 50).await;
        let before = Instant::now();
        read(&node).await;
        waited += u32::from(before.elapsed() > Duration::ZERO);
    }
    assert_eq!(waited, 0, "a key that is read often is never waited for");
    assert!((30..=70).contains(&source.loads()), "about one a second, Δ/2: {}", source.loads());
}

#[tokio::test(start_paused = true)]
async fn a_suspect_is_served_for_as_long_as_asked_and_never_once_it_was_removed_here() {
    let (node, source, chaos) = silenced(Outage::ServeSuspect(30 * SECOND));
    settle().await;
    let value = read(&node).await;
    node.get(&2).await.unwrap();
    chaos.resume();
    source.fail(true);
    sleep(20 * SECOND).await;
    assert_eq!(read(&node).await, value, "the source is down as well, and it is served");
    assert!(node.stats().suspect_hits > 0);
    assert_eq!(node.invalidate(&2).await, Delivery::Deferred);
    assert!(node.get(&2).await.is_err(), "known to be removed");
    sleep(20 * SECOND).await;
    assert!(node.get(&1).await.is_err(), "the limit has passed");

    let (node, source, chaos) = silenced(Outage::Reload); // the control
    settle().await;
    read(&node).await;
    chaos.resume();
    source.fail(true);
    sleep(20 * SECOND).await;
    assert!(node.get(&1).await.is_err());
}
