//! What a workload may do to the engine, and what the engine owes the workload.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
    time::Duration,
};

use offgridflow_loadtest::{
    ArrivalProcess, BoxWorkload, Closed, Executor, FailKind, Feed, FeedMode, LoadTest, OnCap, Op, Outcome,
    Phase, Rate, Reporter, Settings, ShardCtx, TargetError, Window, Workload, workload_fn,
};
use tokio::time::{Instant, sleep};

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn rate(per_sec: f64, seconds: u64) -> Rate {
    Rate::constant(per_sec, Duration::from_secs(seconds))
}

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

/// Nothing is said of a percentile that a run is too short for, and one operation is one.
#[tokio::test(start_paused = true)]
async fn a_run_of_one_operation_states_no_p95_and_counts_in_singular() {
    let report = LoadTest::new(workload_fn(|_| sleep(ms(5)))).rate(rate(1.0, 1));
    let report = report.threshold("p95(response){none} < 1s").run_here().await.expect("runs");
    assert_eq!((report.offered, report.generator.inflation_p95), (1, None), "{report}");
    let text = report.to_string();
    assert!(text.contains("open loop, 1 operation in 1s") && !text.contains("1 operations"), "{text}");
    assert!(text.contains("(no operation on this route)") && !text.contains("measured no"), "{text}");
}

#[tokio::test(start_paused = true)]
async fn failures_are_judged_by_default_unless_something_else_is_said_of_them() {
    let test = || {
        let work = workload_fn(|op| async move { if op.index() % 20 == 0 { Err("no") } else { Ok(()) } });
        LoadTest::new(work).rate(rate(100.0, 10))
    };
    let judged = |report: &offgridflow_loadtest::Report| {
        report.thresholds.iter().map(|result| result.threshold.clone()).collect::<Vec<_>>()
    };
    let report = test().run_here().await.expect("runs");
    assert_eq!(
        (judged(&report), report.exit_code()),
        (vec!["failure_ratio <= 1%".to_owned()], 1),
        "{report}"
    );
    let report = test().threshold("failure_ratio < 10%").run_here().await.expect("runs");
    assert_eq!((judged(&report).len(), report.exit_code()), (1, 0), "{report}");
    let report = test().default_failure_gate(false).run_here().await.expect("runs");
    assert_eq!((judged(&report).len(), report.exit_code()), (0, 0), "{report}");
}

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
    assert!(matches!(p99, offgridflow_loadtest::Quantile::AtLeast(at) if at >= ms(250)), "{p99:?}");
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
        assert_eq!(report.thresholds[0].status, offgridflow_loadtest::ThresholdStatus::NotJudged);
    }
}

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
    assert!(
        report.admission_wait.max.and_then(offgridflow_loadtest::Quantile::value) >= Some(ms(3)),
        "{report}"
    );
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

#[tokio::test(start_paused = true)]
async fn marks_move_the_borders_between_the_parts() {
    let work = workload_fn(|op| async move {
        sleep(ms(20)).await; // waiting for a permit of its own
        op.mark(Phase::Admitted);
        sleep(ms(30)).await;
        op.mark(Phase::FirstByte);
        sleep(ms(10)).await;
    });
    let report = LoadTest::new(work).rate(rate(100.0, 5)).run_here().await.expect("runs");
    let near = |measured: offgridflow_loadtest::Quantile, ms: f64| {
        let measured = measured.value().expect("measured").as_secs_f64() * 1e3;
        assert!((measured - ms).abs() <= 2.0, "{measured} against {ms}\n{report}");
    };
    near(report.admission_wait.p50, 20.0);
    near(report.first_byte.p50, 30.0);
    near(report.total.service.p50, 40.0);
    near(report.total.response.p50, 60.0);
}

#[tokio::test(start_paused = true)]
async fn errors_of_any_type_reach_the_ledger_by_route() {
    let work = workload_fn(|op| async move {
        op.route(if op.index() % 2 == 0 { "even" } else { "odd" });
        if op.index() % 4 == 0 { Err(std::io::Error::other("disk full")) } else { Ok(()) }
    });
    let test = LoadTest::new(work).rate(rate(100.0, 10)).threshold("failure_ratio{even} < 10%");
    let report = test
        .default_failure_gate(false)
        .threshold("failure_ratio{odd} < 10%")
        .threshold("failures{none} < 10")
        .run_here()
        .await
        .expect("runs");
    assert_eq!(report.route("even").expect("a row").failed, 250);
    assert_eq!(report.route("odd").expect("a row").failed, 0);
    assert_eq!((&*report.errors[0].route, &*report.errors[0].message), ("even", "disk full"));
    let met: Vec<_> = report
        .thresholds
        .iter()
        .map(|result| result.status == offgridflow_loadtest::ThresholdStatus::Met)
        .collect();
    assert_eq!(met, [false, true, false], "a route without data is not met");
}

#[tokio::test(start_paused = true)]
async fn think_time_paces_a_closed_loop() {
    let closed = Settings {
        concurrent_workers: 10,
        duration: Duration::from_secs(10),
        think_time: ms(90),
        ..Settings::default()
    };
    let report =
        LoadTest::new(workload_fn(|_| sleep(ms(10)))).settings(&closed).run_here().await.expect("runs");
    assert!((960..=1_010).contains(&report.total.ok), "10 workers × 10 s / 100 ms\n{report}");
}

/// What a worker's operation saw: whose, when it was due, and when its answer came, from the start of the run.
type Turn = (u64, Duration, Duration);

/// Answers after 1 to 9 ms and keeps what it saw; a session is a worker.
struct Resting(Arc<Mutex<Vec<Turn>>>);

impl Workload for Resting {
    type Session = u64;
    async fn open(&self, ctx: &ShardCtx) -> Result<u64, TargetError> {
        Ok(ctx.session())
    }
    async fn call(&self, worker: &mut u64, op: &mut Op) -> Outcome {
        let begun = Instant::now();
        sleep(ms(1 + op.rng().below(9))).await;
        self.0.lock().expect("lock").push((*worker, op.intended(), begun.elapsed()));
        Outcome::ok()
    }
}

#[tokio::test(start_paused = true)]
async fn each_worker_goes_on_a_think_time_after_its_own_answer() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let mut closed = Closed::default();
    (closed.workers, closed.duration, closed.think_time) = (7, Duration::from_secs(3), ms(13));
    closed.ramp_up = ms(70);
    let test = LoadTest::new(Resting(Arc::clone(&seen))).executor(Executor::Closed(closed)).warm_sessions(7);
    let report = test.run_here().await.expect("runs");
    // A tick of the paused clock is a millisecond.
    assert!(
        report.dispatch_lag.max.and_then(offgridflow_loadtest::Quantile::value) <= Some(ms(1)),
        "{report}"
    );
    let seen = seen.lock().expect("lock");
    let mut starts: Vec<_> = Vec::new();
    for worker in 0..7 {
        let turns: Vec<_> = seen.iter().filter(|(whose, ..)| *whose == worker).collect();
        assert!(turns.len() > 100, "{}", turns.len());
        starts.push(turns[0].1);
        for pair in turns.windows(2) {
            let rest = pair[1].1 - pair[0].1 - pair[0].2;
            assert!(
                (ms(12)..=ms(13)).contains(&rest),
                "{rest:?} between {pair:?}, less what the tick made it late"
            );
        }
    }
    starts.sort_unstable();
    assert!(starts.iter().copied().eq((0..7).map(|worker| ms(10) * worker)), "{starts:?}");
}

/// Ten workers, 10 ms apart by their think time of 100 ms; once the thread stands still, for less and for more than a turn.
#[tokio::test]
async fn workers_do_not_ask_together_neither_from_the_start_nor_after_a_pause_of_the_generator() {
    for pause in [50, 230] {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let shared = Arc::clone(&seen);
        let work = workload_fn(move |op| {
            shared.lock().expect("lock").push(op.intended());
            if op.index() == 20 {
                std::thread::sleep(ms(pause));
            }
            async {}
        });
        let mut closed = Closed::default();
        (closed.workers, closed.duration, closed.think_time) = (10, ms(1_000), ms(100));
        LoadTest::new(work).executor(Executor::Closed(closed)).shards(1).run().await.expect("runs");
        let mut seen = seen.lock().expect("lock").clone();
        seen.sort_unstable();
        let together = |from: u64| {
            let gaps = seen.windows(2).filter(|pair| (ms(from)..ms(from + 200)).contains(&pair[0]));
            gaps.filter(|pair| pair[1] - pair[0] < ms(3)).count()
        };
        // Ten milliseconds apart each; beside other work now and then two come closer.
        assert!(together(0) <= 4 && together(700) <= 4, "{} {}: {seen:?}", together(0), together(700));
    }
}

/// Tokio's timer, which rounds up to a millisecond, is the control.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn think_time_is_paced_in_microseconds() {
    let control = async {
        let mut late: Vec<_> = Vec::new();
        for _ in 0..100 {
            let due = Instant::now() + Duration::from_micros(3_300);
            tokio::time::sleep_until(due).await;
            late.push(due.elapsed());
        }
        late.sort_unstable();
        late[50]
    };
    let control = control.await;
    let settings = Settings {
        concurrent_workers: 8,
        duration: ms(1_000),
        think_time: Duration::from_micros(3_300),
        ..Settings::default()
    };
    let report =
        LoadTest::new(workload_fn(|_| async {})).settings(&settings).shards(1).run().await.expect("runs");
    let lag = report.dispatch_lag.p50.value().expect("measured");
    assert!(lag * 2 < control, "{lag:?} late in the middle, tokio's timer {control:?}\n{report}");
}

#[tokio::test(start_paused = true)]
async fn nobody_rests_beyond_the_end_of_the_run() {
    let closed = Arc::new(AtomicU64::new(0));
    struct Closing(Arc<AtomicU64>);
    impl Workload for Closing {
        type Session = ();
        async fn open(&self, _: &ShardCtx) -> Result<(), TargetError> {
            Ok(())
        }
        async fn call(&self, (): &mut (), _: &mut Op) -> Outcome {
            Outcome::ok()
        }
        async fn close(&self, (): ()) {
            self.0.fetch_add(1, SeqCst);
        }
    }
    let begun = Instant::now();
    let test = LoadTest::new(Closing(Arc::clone(&closed))).rate(rate(10.0, 5)).warm_sessions(1);
    let report = test.think_time(Duration::from_secs(60)).run_here().await.expect("runs");
    assert_eq!((report.total.ok, closed.load(SeqCst)), (50, 50), "{report}");
    assert!(begun.elapsed() < Duration::from_secs(6), "{:?}", begun.elapsed());
}

#[tokio::test(start_paused = true)]
async fn workers_ramp_up_and_down() {
    let busiest = Arc::new(Mutex::new(Vec::new()));
    struct Busy(Arc<Mutex<Vec<u64>>>);
    impl Reporter for Busy {
        fn on_window(&mut self, window: &Window) {
            self.0.lock().expect("lock").push(window.ok);
        }
    }
    let mut closed = Closed::default();
    (closed.workers, closed.duration) = (10, Duration::from_secs(10));
    (closed.ramp_up, closed.ramp_down) = (Duration::from_secs(10), Duration::from_secs(10));
    let test = LoadTest::new(workload_fn(|_| sleep(ms(100)))).executor(Executor::Closed(closed));
    test.reporter(Busy(Arc::clone(&busiest))).run_here().await.expect("runs");
    let done = busiest.lock().expect("lock").clone();
    assert!((28..=31).contains(&done.len()), "a window a second: {done:?}");
    assert!(done[0] < 20 && (90..=110).contains(&done[15]) && done[28] < 30, "{done:?}");
}

#[tokio::test(start_paused = true)]
async fn windows_add_up_to_the_whole() {
    #[derive(Clone, Default)]
    struct Sum(Arc<Mutex<(u64, u64, Duration)>>);
    impl Reporter for Sum {
        fn on_window(&mut self, window: &Window) {
            let mut sum = self.0.lock().expect("lock");
            assert_eq!(window.from, sum.2, "without a gap");
            *sum = (sum.0 + window.ok + window.failed, sum.1 + window.offered.expect("open loop"), window.to);
        }
    }
    let sum = Sum::default();
    let test = LoadTest::new(workload_fn(|_| sleep(ms(70)))).rate(rate(123.0, 7)).reporter(sum.clone());
    let report = test.run_here().await.expect("runs");
    let (ended, offered, _) = *sum.0.lock().expect("lock");
    assert_eq!((ended, offered), (report.total.ok, report.offered));
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

/// `Duration::MAX` for "never" would overflow a clock half-way through the run.
#[test]
fn what_is_longer_than_any_run_is_refused() {
    let test = || LoadTest::new(workload_fn(|_| async {})).rate(rate(10.0, 1));
    let field = |test: LoadTest<_>| test.validate().expect_err("refused").field;
    assert_eq!(field(test().timeout(Duration::MAX)), "timeout");
    assert_eq!(field(test().deadline(Duration::MAX, offgridflow_loadtest::Overload::Shed)), "deadline");
    type Change = fn(&mut Settings);
    let cases: [(&str, Change); 6] = [
        ("duration", |s| s.duration = Duration::MAX),
        ("timeout", |s| s.timeout = Duration::MAX),
        ("ramp_up", |s| s.ramp_up = Duration::MAX),
        ("ramp_down", |s| s.ramp_down = Duration::MAX),
        ("think_time", |s| s.think_time = Duration::MAX),
        ("expected_latency", |s| s.expected_latency = Duration::MAX),
    ];
    for (name, change) in cases {
        for per_sec in [None, Some(1.0)] {
            let mut settings = Settings { requests_per_second: per_sec, ..Settings::default() };
            change(&mut settings);
            assert_eq!(settings.validate().expect_err(name).field, name);
            assert_eq!(field(test().settings(&settings)), name);
        }
    }
    let mut closed = Closed::default();
    closed.ramp_up = Duration::MAX;
    assert_eq!(field(test().executor(Executor::Closed(closed))), "duration");
}

/// A timer rings up to a millisecond late: what was answered meanwhile was answered too late all the same.
#[tokio::test]
async fn an_answer_after_the_time_out_is_none_however_coarse_the_timer() {
    let work = workload_fn(|_| async { std::thread::sleep(Duration::from_micros(300)) });
    let report = LoadTest::new(work).rate(rate(50.0, 1)).timeout(Duration::from_micros(100)).run_here();
    let report = report.await.expect("runs");
    assert_eq!((report.total.ok, &*report.errors[0].cause), (0, "timeout"), "{report}");
}

#[test]
fn plans_that_cannot_work_out_are_refused_with_the_field_to_change() {
    let test = || LoadTest::new(workload_fn(|_| async {}));
    let field = |test: LoadTest<_>| test.validate().expect_err("refused").field;
    assert_eq!(field(test().rate(Rate::constant(0.0, ms(10)))), "rate");
    let long = |per_sec| test().rate(rate(per_sec, 99 * 86_400));
    let refused = long(1e8).validate().expect_err("no process sends that").hint;
    assert!(refused.starts_with("855360000000000 operations are planned"), "{refused}");
    assert!(long(1e6).validate().is_ok());
    assert_eq!(field(test().rate(rate(10.0, 1)).timeout(Duration::ZERO)), "timeout");
    assert_eq!(field(test().rate(rate(10.0, 1)).max_in_flight(0, OnCap::Queue)), "concurrent_workers");
    assert_eq!(
        field(test().rate(rate(10.0, 1)).max_in_flight(2_000_000, OnCap::Queue)),
        "concurrent_workers"
    );
    assert_eq!(field(test().executor(Executor::closed(0, ms(10)))), "concurrent_workers");
    assert_eq!(field(test().executor(Executor::closed(1, ms(0)))), "duration");
    assert_eq!(field(test().rate(rate(10.0, 1)).threshold("fast please")), "thresholds");
    assert_eq!(field(test().threshold("achieved_rate > 99%")), "thresholds");
    assert_eq!(field(test().rate(rate(10.0, 1)).threshold("failure_ratio <= 200%")), "thresholds");
    assert_eq!(field(test().rate(rate(10.0, 1)).threshold("answered >= 11")), "thresholds");
    let routed = workload_fn(|_| async {}).routed(["read"], |_| 0);
    let error = LoadTest::new(routed).threshold("p95(response){reed} < 1s").validate().expect_err("refused");
    assert!(error.field == "thresholds" && error.hint.contains("there are `read`"), "{error}");
    let crowded =
        Settings { requests_per_second: Some(100.0), concurrent_workers: 10, ..Settings::default() };
    let slow = Settings { expected_latency: ms(200), ..crowded.clone() };
    assert!(test().settings(&crowded).validate().is_ok());
    assert_eq!(field(test().settings(&slow)), "concurrent_workers");
    for wrong in [f64::NAN, -1.0, 0.0, 1e12] {
        assert_eq!(
            field(test().settings(&Settings { requests_per_second: Some(wrong), ..crowded.clone() })),
            "requests_per_second"
        );
    }
    let share = Settings { failure_threshold: Some(2.0), ..crowded };
    assert_eq!(field(test().settings(&share)), "failure_threshold");
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
    let each = |report: &offgridflow_loadtest::Report| {
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
    assert_eq!(report.thresholds[0].status, offgridflow_loadtest::ThresholdStatus::Broken, "{report}");
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
    let test = test.deadline(ms(300), offgridflow_loadtest::Overload::Shed);
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
