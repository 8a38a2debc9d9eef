//! One load a fleet, and invalidations that reach it.

use std::time::{Duration, Instant};

use offgridflow_cache::Delivery;

use crate::node::{DELTA, Node, Source, eventually, on_both, read, two, warmed};

#[tokio::test(flavor = "multi_thread")]
async fn one_node_loads_and_the_other_reads_it_from_the_shared_tier() {
    on_both(async |space, shared| {
        let source = Source::default();
        let [a, b] = two(&space, &*shared, &source);
        source.set(7);
        warmed(&a, "k").await;
        let loads = source.loads();
        eventually("b reads what a loaded", DELTA * 5, async || {
            read(&b, "k").await == Some(7) && b.stats().shared_hits > 0
        })
        .await;
        assert_eq!(source.loads(), loads, "b needed no load");
        assert_eq!(read(&a, "absent").await, None);
        let loads = source.loads();
        eventually("an absence is shared too", DELTA * 5, async || {
            read(&b, "absent").await.is_none() && source.loads() == loads
        })
        .await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_invalidation_reaches_the_other_node_within_delta() {
    on_both(async |space, shared| {
        let source = Source::default();
        let [a, b] = two(&space, &*shared, &source);
        for (round, kind) in (1_u64..).zip(["key", "tag", "clear"]) {
            warmed(&a, "k").await;
            warmed(&b, "k").await;
            source.set(round);
            let delivery = match kind {
                "key" => a.invalidate(&"k".to_owned()).await,
                "tag" => a.invalidate_tag("tag").await,
                _ => a.clear().await,
            };
            assert_eq!(delivery, Delivery::Delivered, "{kind}");
            let delivered = Instant::now();
            assert_eq!(read(&a, "k").await, Some(round), "{kind}: the invalidating node at once");
            eventually("the other node", DELTA * 3, async || read(&b, "k").await == Some(round)).await;
            assert!(
                delivered.elapsed() < DELTA + Duration::from_millis(100),
                "{kind}: {:?}",
                delivered.elapsed()
            );
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_load_that_began_before_another_nodes_invalidation_does_not_fill_the_shared_tier() {
    on_both(async |space, shared| {
        let source = Source::that_takes(Duration::from_millis(150));
        let [a, b] = two(&space, &*shared, &source);
        eventually("b is connected", DELTA * 10, async || {
            read(&b, "warm").await.is_some() && b.peek(&"warm".to_owned()).is_some()
        })
        .await;
        eventually("a is connected", DELTA * 10, async || {
            read(&a, "warm").await.is_some() && a.peek(&"warm".to_owned()).is_some()
        })
        .await;
        let loads = source.loads();
        let early = tokio::spawn({
            let a = a.clone();
            async move { read(&a, "k").await }
        });
        eventually("a loads", DELTA * 5, async || source.loads() > loads).await;
        source.set(1);
        assert_eq!(b.invalidate(&"k".to_owned()).await, Delivery::Delivered);
        assert_eq!(early.await.unwrap(), Some(0), "its caller began before");
        assert_eq!(read(&b, "k").await, Some(1), "the old value was refused by the shared tier");
        eventually("a follows", DELTA * 3, async || read(&a, "k").await == Some(1)).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cold_key_costs_one_load_a_fleet() {
    on_both(async |space, shared| {
        let source = Source::that_takes(Duration::from_millis(100));
        let nodes: Vec<Node> = (0..2).flat_map(|_| two(&space, &*shared, &source)).collect();
        for node in &nodes {
            eventually("connected", DELTA * 20, async || {
                read(node, "warm").await.is_some() && node.peek(&"warm".to_owned()).is_some()
            })
            .await;
        }
        let loads = source.loads();
        let readers: Vec<_> = (0..200)
            .map(|n| {
                let node = nodes[n % nodes.len()].clone();
                tokio::spawn(async move { read(&node, "cold").await })
            })
            .collect();
        for reader in readers {
            assert_eq!(reader.await.unwrap(), Some(0));
        }
        assert_eq!(source.loads() - loads, 1);
    })
    .await;
}
