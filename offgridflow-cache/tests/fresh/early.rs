//! Values that are loaded again before their end.

use std::time::Duration;

use offgridflow_cache::{InProcess, Json};
use tokio::time::{Instant, advance, sleep};

use crate::source::{Node, SECOND, Source, TTL, builder, node, read, settle};

#[tokio::test(start_paused = true)]
async fn a_key_in_use_never_runs_out_and_is_loaded_little_more_often() {
    let (node, source) = node(builder().refresh_early(1.0));
    source.take(SECOND / 20);
    read(&node).await;
    let (periods, mut waited) = (200_u32, 0);
    let began = Instant::now();
    while began.elapsed() < TTL * periods {
        sleep(SECOND / 100).await;
        let before = Instant::now();
        read(&node).await;
        waited += u32::from(before.elapsed() > Duration::ZERO);
    }
    assert!(waited <= periods / 5, "{waited} reads of {periods} periods waited for a load");
    let loads = source.loads();
    assert!(loads <= u64::from(periods) * 12 / 10, "{loads} loads in {periods} periods");

    let (node, source) = crate::source::node(builder().refresh_early(0.0)); // the control
    source.take(SECOND / 20);
    for _ in 0..20 {
        let before = Instant::now();
        read(&node).await;
        assert!(before.elapsed() > Duration::ZERO, "without it somebody waits each time");
        advance(TTL).await;
    }
}

#[tokio::test(start_paused = true)]
async fn an_early_load_is_one_a_fleet_and_the_others_take_its_value() {
    let store = InProcess::new();
    let source = Source::default();
    let nodes: Vec<Node> = (0..3)
        .map(|_| {
            builder().shared(store.clone(), Json).stale_while_revalidate(TTL).build(source.clone()).unwrap()
        })
        .collect();
    settle().await;
    source.take(SECOND / 10);
    for node in &nodes {
        assert_eq!(read(node).await, 1);
    }
    sleep(TTL + SECOND).await;
    for node in &nodes {
        assert_eq!(read(node).await, 1, "stale, at once");
    }
    sleep(2 * SECOND).await;
    for node in &nodes {
        assert_eq!(read(node).await, 2);
    }
    assert_eq!(source.loads(), 2);
}
