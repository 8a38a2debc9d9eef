//! The engine allocates for sessions, slots and windows, not for operations.
//!
//! A counting allocator sees the whole process, so this file holds one test.

mod counting;

use std::time::Duration;

use counting::allocations_so_far;
use offgridflow_loadtest::{Closed, Executor, LoadTest, OnCap, Rate, workload_fn};

/// Allocations of a whole run in virtual time.
async fn allocations(executor: Executor) -> u64 {
    let work = workload_fn(|_op| tokio::time::sleep(Duration::from_millis(3)));
    let test = LoadTest::new(work).executor(executor).max_in_flight(100, OnCap::Queue).warm_sessions(1);
    let before = allocations_so_far();
    let report = test.run_here().await.expect("runs");
    assert_eq!(report.total.failed, 0, "{report}");
    allocations_so_far() - before
}

#[tokio::test(start_paused = true)]
async fn operations_do_not_allocate() {
    let second = Duration::from_secs(1);
    // The same length, so that what a window or a sleep of the clock costs is the same.
    let open = |per_sec| Executor::open(Rate::constant(per_sec, second * 10));
    let (few, many) = (allocations(open(5_000.0)).await, allocations(open(20_000.0)).await);
    let each = (many.saturating_sub(few)) as f64 / 150_000.0;
    assert!(each < 0.01, "open loop: {few} allocations for 50 000 operations, {many} for 200 000");

    let (few, many) = (
        allocations(Executor::closed(1, second)).await,
        allocations(Executor::closed(1, second * 100)).await,
    );
    let each = (many.saturating_sub(few)) as f64 / 33_000.0;
    // A window a second goes to the conductor and back.
    assert!(each < 0.05, "closed loop: {few} allocations for 333 operations, {many} for 33 333");

    // Ten workers that rest 7 ms after each answer: ten operations in 10 ms.
    let resting = |seconds: u32| {
        let mut closed = Closed::default();
        (closed.workers, closed.duration) = (10, second * seconds);
        closed.think_time = Duration::from_millis(7);
        Executor::Closed(closed)
    };
    let (few, many) = (allocations(resting(1)).await, allocations(resting(30)).await);
    let each = (many.saturating_sub(few)) as f64 / 29_000.0;
    assert!(each < 0.05, "think time: {few} allocations for 1 000 operations, {many} for 30 000");
}
