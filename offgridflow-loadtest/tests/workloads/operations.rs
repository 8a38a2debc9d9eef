//! What an operation is given, whoever runs it.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use offgridflow_loadtest::{BoxWorkload, Feed, FeedMode, LoadTest, Rate, workload_fn};
use tokio::time::sleep;

use super::ms;

#[tokio::test(start_paused = true)]
async fn every_index_runs_once_and_draws_the_same_numbers_whoever_runs_it() {
    let run = |shards| async move {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let shared = Arc::clone(&seen);
        let work = workload_fn(move |op| {
            let draw = op.rng().next_u64();
            shared.lock().expect("lock").push((op.index(), draw));
            async {}
        });
        let test = LoadTest::new(work).rate(Rate::constant(2_000.0, ms(200))).seed(7).shards(shards);
        let report = if shards == 1 { test.run_here().await } else { test.run().await }.expect("runs");
        assert_eq!(report.total.ok, 400);
        let mut seen = seen.lock().expect("lock").clone();
        seen.sort_unstable();
        seen
    };
    let (one, three) = (run(1).await, run(3).await);
    assert_eq!(one, three);
    assert!(one.iter().map(|(index, _)| *index).eq(0..400));
}

#[tokio::test(start_paused = true)]
async fn each_operation_gets_its_row() {
    let feed = Feed::new(["site"], (0..100).map(|n| [format!("site {n}")])).expect("a table");
    let seen = Arc::new(Mutex::new(Vec::new()));
    let shared = Arc::clone(&seen);
    let work = workload_fn(move |op| {
        let site = op.row().and_then(|row| row.get("site").map(str::to_owned));
        shared.lock().expect("lock").push((op.index(), site));
        async {}
    });
    let rate = Rate::constant(100.0, Duration::from_secs(1));
    let test = LoadTest::new(work).rate(rate.clone()).feed(feed.clone().mode(FeedMode::Unique));
    test.run_here().await.expect("runs");
    let expected: Vec<_> = (0..100).map(|n| (n, Some(format!("site {n}")))).collect();
    assert_eq!(*seen.lock().expect("lock"), expected);

    let too_many = LoadTest::new(workload_fn(|_op| async {})).rate(rate.hold(Duration::from_millis(10)));
    let refused = too_many.feed(feed.mode(FeedMode::Unique)).validate().unwrap_err();
    assert!(refused.field == "feed" && refused.hint.contains("101"), "{refused}");
}

/// A workload behind a pointer is the same workload: sessions, marks and counts.
#[tokio::test(start_paused = true)]
async fn a_boxed_workload_gives_the_same_report() {
    let work = || {
        workload_fn(|op| async move {
            op.route(if op.index() % 3 == 0 { "third" } else { "other" });
            sleep(ms(1 + op.rng().below(20))).await;
        })
    };
    let rate = Rate::constant(200.0, Duration::from_secs(5));
    let plain = LoadTest::new(work()).rate(rate.clone()).run_here().await.expect("runs");
    let boxed: BoxWorkload = Box::new(work());
    let boxed = LoadTest::new(boxed).rate(rate).run_here().await.expect("runs");
    assert_eq!(plain, boxed);
}
