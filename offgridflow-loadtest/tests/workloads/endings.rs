//! What does not come to its end by itself, an operation or a run.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
    time::Duration,
};

use offgridflow_loadtest::{LoadTest, Quantile, workload_fn};

use super::{ms, rate};

#[tokio::test(start_paused = true)]
async fn an_operation_that_never_returns_is_given_up_at_its_time_out() {
    let work = workload_fn(|op| async move {
        if op.index() % 20 == 0 {
            std::future::pending::<()>().await;
        }
    });
    let report = LoadTest::new(work).rate(rate(100.0, 10)).timeout(ms(250)).run_here().await.expect("runs");
    assert_eq!((report.total.response.unanswered, report.total.ok), (50, 950), "{report}");
    // 5 % were never answered, so the p99 is a bound: at least the time-out.
    let p99 = report.total.response.p99;
    assert!(matches!(p99, Quantile::AtLeast(at) if at >= ms(250)), "{p99:?}");
}

#[tokio::test]
async fn a_dropped_run_stops_its_shards() {
    let begun = Arc::new(AtomicU64::new(0));
    let shared = Arc::clone(&begun);
    struct Gone(std::sync::mpsc::Sender<()>);
    impl Drop for Gone {
        fn drop(&mut self) {
            let _ = self.0.send(());
        }
    }
    let (gone, is_gone) = std::sync::mpsc::channel();
    let gone = Arc::new(Mutex::new(Gone(gone)));
    let work = workload_fn(move |_| {
        let _held = &gone; // dropped with the workload, when the last shard is over
        shared.fetch_add(1, SeqCst);
        async {}
    });
    let run = tokio::spawn(LoadTest::new(work).rate(rate(1_000.0, 600)).run());
    while begun.load(SeqCst) == 0 {
        tokio::task::yield_now().await;
    }
    run.abort();
    let ended = tokio::task::spawn_blocking(move || is_gone.recv_timeout(Duration::from_secs(20)));
    ended.await.expect("no panic").expect("the shard let go of the workload");
}

/// A timer rings up to a millisecond late: what was answered meanwhile was answered too late all the same.
#[tokio::test]
async fn an_answer_after_the_time_out_is_none_however_coarse_the_timer() {
    let work = workload_fn(|_| async { std::thread::sleep(Duration::from_micros(300)) });
    let report = LoadTest::new(work).rate(rate(50.0, 1)).timeout(Duration::from_micros(100)).run_here();
    let report = report.await.expect("runs");
    assert_eq!((report.total.ok, &*report.errors[0].cause), (0, "timeout"), "{report}");
}

/// An operation that is always ready to go on, and never done, is given up all the same.
#[test]
fn an_operation_that_spins_for_ever_times_out() {
    let work = workload_fn(|op| async move {
        while op.index() == 3 {
            tokio::task::consume_budget().await;
        }
    });
    let test = LoadTest::new(work).rate(rate(20.0, 1)).timeout(ms(100)).shards(1);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("runtime");
    let report = runtime.block_on(test.run()).expect("runs");
    assert_eq!((report.total.ok, report.total.failed), (19, 1), "{report}");
    assert_eq!(report.errors[0].cause, "timeout", "{report}");
}
