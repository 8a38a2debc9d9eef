//! Sessions that open, break, remain, or never were.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
    time::Duration,
};

use offgridflow_loadtest::{
    Executor, FailKind, LoadTest, OnCap, Op, Outcome, Overload, Quantile, Report, ShardCtx, TargetError,
    ThresholdStatus, Workload,
};
use tokio::time::sleep;

use super::{ms, rate};

/// Counts sessions; every tenth operation loses its answer.
#[derive(Default)]
struct Counting {
    opened: AtomicU64,
    closed: AtomicU64,
}

impl Workload for Counting {
    type Session = u64;
    async fn open(&self, _: &ShardCtx) -> Result<u64, TargetError> {
        sleep(ms(3)).await;
        Ok(self.opened.fetch_add(1, SeqCst))
    }
    async fn call(&self, _: &mut u64, op: &mut Op) -> Outcome {
        if op.index() % 10 == 9 {
            return TargetError::unanswered(FailKind::Reset, "cut").into();
        }
        Outcome::Ok { bytes: 2 }
    }
    async fn close(&self, _: u64) {
        self.closed.fetch_add(1, SeqCst);
    }
}

#[tokio::test(start_paused = true)]
async fn a_session_that_lost_its_answer_is_replaced_and_the_others_are_closed() {
    let work = Arc::new(Counting::default());
    let test = LoadTest::new(Arc::clone(&work)).rate(rate(100.0, 10)).warm_sessions(1);
    let report = test.run_here().await.expect("runs");
    assert_eq!((report.total.ok, report.total.failed, report.total.bytes), (900, 100, 1_800));
    assert_eq!(
        (work.opened.load(SeqCst), work.closed.load(SeqCst)),
        (100, 0),
        "one at a time, each lost at its tenth"
    );
    // Opening again cost the next operation 3 ms, as admission wait and not as service.
    assert!(report.admission_wait.max.and_then(Quantile::value) >= Some(ms(3)), "{report}");
    assert!(report.total.service.max.is_some_and(|max| max.value() < Some(ms(1))), "{report}");
}

#[tokio::test(start_paused = true)]
async fn sessions_that_remain_are_closed() {
    struct Quiet(Arc<AtomicU64>);
    impl Workload for Quiet {
        type Session = ();
        async fn open(&self, _: &ShardCtx) -> Result<(), TargetError> {
            self.0.fetch_add(1, SeqCst);
            Ok(())
        }
        async fn call(&self, (): &mut (), _: &mut Op) -> Outcome {
            sleep(ms(100)).await;
            Outcome::ok()
        }
        async fn close(&self, (): ()) {
            self.0.fetch_sub(1, SeqCst);
        }
    }
    for executor in [Executor::open(rate(100.0, 5)), Executor::closed(10, Duration::from_secs(5))] {
        let open = Arc::new(AtomicU64::new(0));
        LoadTest::new(Quiet(Arc::clone(&open))).executor(executor).run_here().await.expect("runs");
        assert_eq!(open.load(SeqCst), 0);
    }
}

/// Two routes in turn; how its sessions open is up to the test.
struct Turns<F>(F);

impl<F, Fut> Workload for Turns<F>
where
    F: Fn(u64) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<(), TargetError>> + Send,
{
    type Session = ();
    async fn open(&self, ctx: &ShardCtx) -> Result<(), TargetError> {
        (self.0)(ctx.session()).await
    }
    fn routes(&self) -> Vec<String> {
        vec!["read".into(), "write".into()]
    }
    fn pick(&self, op: &Op) -> usize {
        usize::from(op.index() % 2 == 1)
    }
    async fn call(&self, (): &mut (), op: &mut Op) -> Outcome {
        assert_eq!(op.picked(), Some(usize::from(op.index() % 2 == 1)));
        sleep(ms(150)).await;
        TargetError::unanswered(FailKind::Reset, "cut").into()
    }
}

/// Whatever keeps an operation from a session, it fails on its route and breaks the route's threshold.
#[tokio::test(start_paused = true)]
async fn operations_that_never_got_a_session_count_on_their_route() {
    let each = |report: &Report| {
        let failed = |name| report.route(name).map_or(0, |row| row.failed);
        assert!(report.route("unnamed").is_none(), "{report}");
        assert!(report.errors.iter().all(|line| !line.route.is_empty()), "{report}");
        (failed("read"), failed("write"))
    };
    // Only the first session opens.
    let refused = |session| async move {
        if session == 0 { Ok(()) } else { Err(TargetError::unanswered(FailKind::Connect, "refused")) }
    };
    let test = LoadTest::new(Turns(refused)).rate(rate(100.0, 4)).warm_sessions(1);
    let report = test.threshold("failures{write} < 10").run_here().await.expect("runs");
    assert_eq!((each(&report), report.verdict.name()), ((200, 200), "TargetDown"), "{report}");
    assert_eq!(report.thresholds[0].status, ThresholdStatus::Broken, "{report}");
    // No session but the first opens in time.
    let slow = |session| async move {
        if session > 0 {
            sleep(ms(9_000)).await;
        }
        Ok(())
    };
    let test = LoadTest::new(Turns(slow)).rate(rate(100.0, 4)).warm_sessions(1).timeout(ms(500));
    assert_eq!(each(&test.run_here().await.expect("runs")), (200, 200));
    // Refused at the cap, shed after their deadline, still in flight at the end.
    let fine = |_| async { Ok(()) };
    let test = LoadTest::new(Turns(fine)).rate(rate(100.0, 4)).max_in_flight(3, OnCap::CountAsFailure);
    assert_eq!(each(&test.run_here().await.expect("runs")), (200, 200));
    let test = LoadTest::new(Turns(fine)).rate(rate(100.0, 4)).max_in_flight(3, OnCap::Queue);
    let test = test.deadline(ms(300), Overload::Shed);
    assert_eq!(each(&test.run_here().await.expect("runs")), (200, 200));
    let test = LoadTest::new(Turns(fine)).rate(rate(100.0, 60)).max_in_flight(3, OnCap::Queue);
    let stop = test.stop_handle();
    tokio::spawn(async move {
        sleep(ms(2_040)).await;
        stop.stop();
    });
    let report = test.run_here().await.expect("runs");
    let (read, write) = each(&report);
    assert!(read.abs_diff(write) <= 1 && read >= 100, "{report}");
}
