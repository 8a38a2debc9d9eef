//! Shards whose thread a workload blocks for good, with a patience that suits a test.

use std::{
    sync::{Arc, Condvar, Mutex},
    time::Duration,
};

use crate::{LoadTest, Op, Rate, Report, ThresholdStatus, Validity, workload_fn};

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// A door that keeps a thread until the test is over.
#[derive(Debug, Clone, Default)]
struct Door(Arc<(Mutex<bool>, Condvar)>);

impl Door {
    fn hold(&self) {
        let open = self.0.0.lock().expect("lock");
        drop(self.0.1.wait_while(open, |open| !*open).expect("lock"));
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        if let Ok(mut open) = self.0.0.lock() {
            *open = true;
        }
        self.0.1.notify_all();
    }
}

/// What becomes of a run in which operations do as `does` says, holding the thread at the door if it wants.
async fn report<F, Fut>(rate: Rate, timeout: Duration, shards: usize, does: F) -> Report
where
    F: Fn(Op, Arc<Door>) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = ()> + Send,
{
    let door = Door::default();
    let held = Arc::new(door.clone());
    let work = workload_fn(move |op| does(op, Arc::clone(&held)));
    let test = LoadTest::new(work).rate(rate).timeout(timeout).shards(shards).threshold("failures < 10");
    test.patience(ms(300)).run().await.expect("runs")
}

#[tokio::test]
async fn a_workload_that_never_gives_its_thread_back_does_not_hang_the_run() {
    let report =
        report(Rate::constant(400.0, ms(300)), ms(50), 1, |_, door| async move { door.hold() }).await;
    assert!(
        matches!(&report.verdict.validity, Validity::GeneratorBound(why) if why.contains("blocks its thread")),
        "{report}"
    );
    assert!(!report.to_string().contains("none of"), "nobody knows how the one in flight ended: {report}");
}

#[tokio::test]
async fn a_shard_stuck_before_its_first_window_tells_when_and_with_how_much() {
    let stops = |op: Op, door: Arc<Door>| async move {
        if op.index() == 60 {
            door.hold();
        }
    };
    let report = report(Rate::constant(200.0, ms(500)), ms(100), 1, stops).await;
    let cause = report.verdict.cause().unwrap_or_default();
    assert!(
        cause.contains("stuck since 3")
            && cause.contains("ms: its figures end at 0ns, 1 operation in flight"),
        "{cause}"
    );
    assert_eq!((report.dispatched, report.total.failed), (1, 1), "{report}");
}

/// What a shard had shown before it got stuck is in the report, and so is what it had in flight.
#[tokio::test]
async fn the_windows_of_a_shard_that_got_stuck_are_in_the_report() {
    let stops = |op: Op, door: Arc<Door>| async move {
        if op.index() == 199 {
            std::future::pending::<()>().await; // in flight as the first second ends
        }
        if op.index() == 301 {
            door.hold();
        }
    };
    let report = report(Rate::constant(200.0, ms(1_700)), ms(250), 2, stops).await;
    assert_eq!((report.verdict.name(), report.exit_code()), ("GeneratorBound", 3), "{report}");
    let cause = report.verdict.cause().unwrap_or_default();
    assert!(cause.contains("shard 1 stuck since 1.5"), "{cause}");
    assert!(cause.contains("its figures end at 1.00s, 1 operation in flight"), "{cause}");
    // All of shard 0, and the first second of shard 1.
    assert_eq!((report.total.ok, report.total.failed, report.dispatched), (269, 1, 270), "{report}");
    assert_eq!((&*report.errors[0].cause, report.errors[0].count), ("stopped", 1), "{report}");
    assert_eq!(report.thresholds[0].status, ThresholdStatus::NotJudged);
}

/// The operation that is due as a second ends may be the one that blocks: what came before is told first.
#[tokio::test]
async fn an_operation_that_blocks_as_a_window_ends_does_not_take_it_along() {
    let stops = |op: Op, door: Arc<Door>| async move {
        if op.index() == 200 {
            door.hold();
        }
    };
    let report = report(Rate::constant(200.0, ms(1_500)), ms(250), 1, stops).await;
    let cause = report.verdict.cause().unwrap_or_default();
    assert!(cause.contains("its figures end at 1.00s, 1 operation in flight"), "{cause}");
    assert_eq!((report.total.ok, report.total.failed), (200, 1), "{report}");
}
