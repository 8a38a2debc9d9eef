//! Loads that take long, and who waits for them.

use offgridflow_cache::{InProcess, Json};
use tokio::time::{Instant, advance, sleep};

use crate::source::{Node, SECOND, Source, TTL, builder, node, read, settle};

#[tokio::test(start_paused = true)]
async fn a_slow_load_is_waited_for_so_long_and_goes_on() {
    let (node, source) = node(builder().stale_on_error(TTL).soft_timeout(SECOND / 10));
    assert_eq!(read(&node).await, 1);
    source.take(SECOND);
    advance(TTL + SECOND).await;
    let began = Instant::now();
    assert_eq!(read(&node).await, 1);
    assert_eq!(began.elapsed(), SECOND / 10);
    sleep(SECOND).await;
    assert_eq!((read(&node).await, source.loads()), (2, 2), "the load went on");
    let useless = builder().soft_timeout(SECOND).stale_while_revalidate(TTL).build(source.clone()).map(drop);
    assert_eq!(useless.unwrap_err().setting, "soft_timeout", "there would be nothing to fall back on");
    let year = SECOND * 400 * 86_400;
    let long = builder().stale_while_revalidate(year).build(source.clone()).map(drop);
    assert_eq!(long.unwrap_err().setting, "stale_while_revalidate");
}

#[tokio::test(start_paused = true)]
async fn a_batch_waits_for_slow_loads_once() {
    let (node, source) = node(builder().stale_on_error(TTL).soft_timeout(SECOND / 10));
    let keys: Vec<u64> = (1..=20).collect();
    node.get_many(&keys).await;
    source.take(4 * SECOND);
    advance(TTL + SECOND).await;
    let began = Instant::now();
    assert!(node.get_many(&keys).await.into_iter().all(|answer| answer.is_ok()));
    assert_eq!(began.elapsed(), SECOND / 10);
}

#[tokio::test(start_paused = true)]
async fn who_loads_too_slowly_is_taken_over_by_one() {
    let store = InProcess::new();
    let node = |source: &Source| {
        let builder = builder().shared(store.clone(), Json).lease_wait(SECOND / 2).load_timeout(5 * SECOND);
        builder.build(source.clone()).unwrap()
    };
    let (stuck, source) = (Source::default(), Source::default());
    stuck.take(4 * SECOND);
    source.take(SECOND / 4);
    let slow = node(&stuck);
    let others: Vec<Node> = (0..5).map(|_| node(&source)).collect();
    settle().await;
    let slow = tokio::spawn(async move { slow.get(&1).await.unwrap() });
    settle().await;
    let began = Instant::now();
    let reads: Vec<_> = others
        .iter()
        .map(|node| {
            let node = node.clone();
            tokio::spawn(async move { read(&node).await })
        })
        .collect();
    for read in reads {
        assert_eq!(read.await.unwrap(), 1);
    }
    assert!(began.elapsed() < SECOND, "{:?}", began.elapsed());
    assert_eq!(source.loads(), 1, "one of the five loaded, and filled");
    slow.await.unwrap();
    sleep(SECOND).await;
    let late = node(&source);
    settle().await;
    assert_eq!((read(&late).await, source.loads()), (1, 1), "and its fill stayed");
}

/// Of two nodes in turn that hold the lease, neither answers.
#[tokio::test(start_paused = true)]
async fn a_read_waits_for_other_nodes_loads_no_longer_than_asked() {
    let store = InProcess::new();
    let node = |source: &Source| {
        let builder = builder().shared(store.clone(), Json).lease_wait(SECOND / 2).load_timeout(50 * SECOND);
        builder.build(source.clone()).unwrap()
    };
    let (stuck, quick) = (Source::default(), Source::default());
    stuck.take(40 * SECOND);
    let [one, two, late] = [&stuck, &stuck, &quick].map(node);
    settle().await;
    let first = tokio::spawn(async move { one.get(&1).await });
    sleep(SECOND * 2 / 5).await;
    let second = tokio::spawn(async move { two.get(&1).await }); // takes the lease over a moment later
    settle().await;
    let began = Instant::now();
    assert_eq!(read(&late).await, 1);
    let waited = began.elapsed();
    assert!((SECOND / 2..=SECOND).contains(&waited), "{waited:?}");
    first.abort();
    second.abort();
}
