//! What panics, and where: never more than the operation, the run or the report that it belongs to.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
    time::Duration,
};

use offgridflow_loadtest::{
    ArrivalProcess, Executor, FailKind, LoadTest, Op, Outcome, ShardCtx, TargetError, ThresholdStatus,
    Workload, workload_fn,
};
use tokio::time::Instant;

use super::{ms, rate};

#[tokio::test(start_paused = true)]
async fn a_panic_is_one_failed_operation() {
    let work = workload_fn(|op| async move {
        assert!(op.index() % 10 != 3, "the third of ten");
    });
    let report = LoadTest::new(work).rate(rate(100.0, 10)).run_here().await.expect("runs");
    assert_eq!((report.total.ok, report.total.failed), (900, 100), "{report}");
    assert_eq!((&*report.errors[0].cause, report.errors[0].count), ("panic", 100));
    assert_eq!(report.errors[0].message, "the third of ten");
    assert_eq!(
        (report.verdict.name(), report.exit_code()),
        ("Valid", 1),
        "bugs do not pass by default: {report}"
    );
    let said = "the workload panicked in 100 operations, a fault of its own: the third of ten";
    assert!(report.notes.iter().any(|note| note == said), "{report}");
}

#[tokio::test(start_paused = true)]
async fn a_workload_that_always_panics_is_named_and_not_the_target() {
    let work = workload_fn(|op| async move { assert_eq!(op.index(), u64::MAX, "never") });
    let report = LoadTest::new(work).rate(rate(100.0, 10)).run_here().await.expect("runs");
    assert_eq!((report.verdict.name(), report.exit_code()), ("Inconclusive", 3), "{report}");
    let cause = report.verdict.cause().unwrap_or_default();
    assert!(cause.starts_with("the workload panicked in 1000 of 1000 operations"), "{cause}");
}

#[tokio::test(start_paused = true)]
async fn a_route_that_is_not_there_is_a_fault_of_the_workload() {
    let work = workload_fn(|_| async {}).routed(["read", "write"], |op| usize::from(op.index() % 2 == 0) * 7);
    let report = LoadTest::new(work).rate(rate(100.0, 10)).run_here().await.expect("runs");
    assert_eq!(
        (report.total.ok, report.total.failed, report.verdict.name()),
        (500, 500, "Inconclusive"),
        "{report}"
    );
    let (cause, message) = (&*report.errors[0].cause, &*report.errors[0].message);
    assert_eq!((cause, message), ("panic", "it picked route 7, and has routes 0 to 1"));
}

/// Panics as it is dropped, if nothing else panics.
struct Fragile;

impl Drop for Fragile {
    fn drop(&mut self) {
        assert!(std::thread::panicking(), "not to be dropped");
    }
}

#[tokio::test(start_paused = true)]
async fn what_panics_as_it_is_given_up_is_one_failed_operation() {
    let work = workload_fn(|op| async move {
        if op.index() == 300 {
            let _fragile = Fragile;
            std::future::pending::<()>().await;
        }
    });
    let report = LoadTest::new(work).rate(rate(100.0, 6)).timeout(ms(250)).run_here().await.expect("runs");
    assert_eq!((report.total.ok, report.total.failed), (599, 1), "{report}");
    assert_eq!((&*report.errors[0].cause, &*report.errors[0].message), ("panic", "not to be dropped"));
}

#[tokio::test(start_paused = true)]
async fn a_session_that_panics_as_it_is_dropped_is_one_failed_operation() {
    struct Brittle;
    impl Workload for Brittle {
        type Session = Fragile;
        async fn open(&self, _: &ShardCtx) -> Result<Fragile, TargetError> {
            Ok(Fragile)
        }
        async fn call(&self, _: &mut Fragile, op: &mut Op) -> Outcome {
            if op.index() == 300 {
                return TargetError::unanswered(FailKind::Reset, "cut").into();
            }
            Outcome::ok()
        }
        async fn close(&self, session: Fragile) {
            std::mem::forget(session);
        }
    }
    let report = LoadTest::new(Brittle).rate(rate(100.0, 6)).warm_sessions(1).run_here().await.expect("runs");
    assert_eq!((report.total.ok, report.total.failed), (599, 1), "{report}");
    assert_eq!((&*report.errors[0].cause, &*report.errors[0].message), ("panic", "not to be dropped"));
}

/// Every millisecond, until it panics at the 300th as the engine asks for one after the other.
#[derive(Debug, Default)]
struct Breaks {
    last: AtomicU64,
}

impl ArrivalProcess for Breaks {
    fn intended(&self, k: u64) -> Option<Duration> {
        assert!(self.last.swap(k, SeqCst) != 299 || k != 300, "out of step");
        (k < self.operations()).then(|| ms(k))
    }
    fn operations(&self) -> u64 {
        3_600_000
    }
    fn duration(&self) -> Duration {
        Duration::from_secs(3_600)
    }
    fn rate_at(&self, _: Duration) -> f64 {
        1_000.0
    }
    fn peak_rate(&self) -> f64 {
        1_000.0
    }
}

/// What panics in the engine ends the run with what was measured, however long the plan and the time-out are.
#[tokio::test]
async fn a_panic_of_the_engine_ends_the_run_and_names_itself() {
    for virtually in [true, false] {
        let test =
            LoadTest::new(workload_fn(|_| async {})).executor(Executor::Open(Arc::new(Breaks::default())));
        let test = test.timeout(Duration::from_secs(3_600)).shards(1).threshold("failure_ratio < 1%");
        let begun = Instant::now();
        let report = if virtually { test.run_here().await } else { test.run().await }.expect("a report");
        assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
        assert_eq!((report.verdict.name(), report.exit_code()), ("GeneratorBound", 3), "{report}");
        let cause = report.verdict.cause().unwrap_or_default();
        assert!(cause.contains("panicked on shard 0") && cause.contains("out of step"), "{cause}");
        assert_eq!(report.thresholds[0].status, ThresholdStatus::NotJudged);
    }
}
