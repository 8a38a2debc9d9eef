//! Each verdict can be provoked, and no gate passes on a run that is not valid.

use std::{sync::Arc, time::Duration};

use offgridflow_loadtest::{
    Ending, Executor, FailKind, Limit, LoadTest, OnCap, Op, Outcome, Quantile, Rate, Report, Settings,
    ShardCtx, Spin, TargetError, ThresholdStatus, Validity, Workload, workload_fn,
};
use tokio::time::sleep;

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn rate(per_sec: f64, seconds: u64) -> Rate {
    Rate::constant(per_sec, Duration::from_secs(seconds))
}

#[tokio::test(start_paused = true)]
async fn healthy_is_valid() {
    let work = workload_fn(|_| sleep(ms(5)));
    let test = LoadTest::new(work)
        .rate(rate(100.0, 10))
        .threshold("p95(response) < 100ms")
        .threshold("achieved_rate >= 99%");
    let report = test.run_here().await.expect("runs");
    assert_eq!((report.verdict.name(), report.exit_code()), ("Valid", 0), "{report}");
    assert!(report.passed());
}

#[tokio::test(start_paused = true)]
async fn too_few_samples_are_inconclusive() {
    let report =
        LoadTest::new(workload_fn(|_| sleep(ms(5)))).rate(rate(29.8, 10)).run_here().await.expect("runs");
    assert_eq!(report.total.answered, 298);
    assert_eq!((report.verdict.name(), report.exit_code()), ("Inconclusive", 3), "{report}");
}

#[tokio::test(start_paused = true)]
async fn a_threshold_that_lacks_samples_is_inconclusive() {
    let test =
        LoadTest::new(workload_fn(|_| sleep(ms(5)))).rate(rate(100.0, 10)).threshold("p99.9(response) < 1s");
    let report = test.run_here().await.expect("runs");
    assert!(matches!(report.verdict.validity, Validity::Inconclusive(_)), "{report}");
    assert_eq!(report.thresholds[0].status, ThresholdStatus::NotJudged);
    assert!(!report.passed());
}

#[tokio::test(start_paused = true)]
async fn a_target_that_never_answers_is_down_and_its_operations_count() {
    let work = workload_fn(|_| std::future::pending::<()>());
    let test = LoadTest::new(work).rate(rate(100.0, 10)).timeout(ms(500)).threshold("p95(response) < 100ms");
    let report = test.run_here().await.expect("runs");
    assert_eq!((report.verdict.name(), report.exit_code()), ("TargetDown", 1), "{report}");
    assert_eq!((report.total.response.unanswered, report.total.failed), (1_000, 1_000));
    assert_eq!((&*report.errors[0].cause, report.errors[0].count), ("timeout", 1_000));
    assert_eq!(report.thresholds[0].status, ThresholdStatus::Broken);
}

/// What falls due within the slack is sent at its end, and each is as late as it is: the response time holds it.
#[tokio::test(start_paused = true)]
async fn slack_is_lag_that_every_report_shows_and_more_of_it_than_a_generator_may_have_is_no_measurement() {
    let run = async |slack: u64| {
        let test = LoadTest::new(workload_fn(|_| sleep(ms(5)))).rate(rate(1_000.0, 10)).shards(1);
        test.spin(Spin::Slack(ms(slack))).run_here().await.expect("runs")
    };
    let report = run(2).await;
    assert_eq!(
        (report.verdict.name(), report.offered, report.total.ok),
        ("Valid", 10_000, 10_000),
        "{report}"
    );
    let mean = |report: &Report| report.dispatch_lag.mean.and_then(Quantile::value).expect("a mean");
    assert!(
        (ms(0)..=ms(2)).contains(&mean(&report)) && mean(&report) >= Duration::from_micros(400),
        "{report}"
    );
    let late = run(50).await;
    assert!((ms(23)..ms(27)).contains(&mean(&late)), "{late}");
    assert!(matches!(late.verdict.validity, Validity::GeneratorBound(_)), "{late}");

    let refused = |test: LoadTest<_>| test.validate().map(drop).expect_err("refused").hint;
    let test = || LoadTest::new(workload_fn(|_| sleep(ms(5)))).rate(rate(1_000.0, 10));
    assert!(refused(test().spin(Spin::Slack(ms(101)))).contains("not from 1µs to 100ms"));
    assert!(refused(test().spin(Spin::Slack(ms(0)))).contains("not from"));
    let closed = test().executor(Executor::closed(3, ms(1_000)));
    assert!(refused(closed.spin(Spin::Slack(ms(1)))).contains("a closed loop has none"));
}

/// Opening always fails.
struct Closed;

impl Workload for Closed {
    type Session = ();
    async fn open(&self, _: &ShardCtx) -> Result<(), TargetError> {
        Err(TargetError::unanswered(FailKind::Connect, "refused"))
    }
    async fn call(&self, (): &mut (), _: &mut Op) -> Outcome {
        Outcome::ok()
    }
}

#[tokio::test(start_paused = true)]
async fn a_target_that_cannot_be_reached_ends_the_run_before_it_begins() {
    let test = LoadTest::new(Closed).rate(rate(100.0, 10)).threshold("failure_ratio < 1%");
    let report = test.run_here().await.expect("runs");
    assert!(
        matches!(&report.verdict.limit, Limit::TargetDown(cause) if cause.contains("refused")),
        "{report}"
    );
    assert_eq!((report.ending, report.exit_code()), (Ending::NotStarted, 1));
    assert_eq!(report.thresholds[0].status, ThresholdStatus::Broken, "no data is not met");
}

#[tokio::test(start_paused = true)]
async fn a_cap_that_binds_counts_failures_and_invalidates_the_run() {
    let work = workload_fn(|_| sleep(ms(1_000)));
    let test = LoadTest::new(work).rate(rate(100.0, 10)).max_in_flight(50, OnCap::CountAsFailure);
    let report = test.threshold("failure_ratio < 60%").run_here().await.expect("runs");
    assert_eq!((report.verdict.name(), report.exit_code()), ("CapBound", 3), "{report}");
    let capped = report.errors.iter().find(|line| line.cause == "cap").expect("in the ledger");
    assert_eq!(capped.count + report.total.ok, 1_000, "nothing is dropped in silence");
    assert_eq!(report.thresholds[0].status, ThresholdStatus::NotJudged);
}

#[tokio::test(start_paused = true)]
async fn a_queue_at_the_cap_is_admission_wait_not_the_generator() {
    // 100/s for 4 s against 50 at a time of 1 s each: half is served in time.
    let work = workload_fn(|_| sleep(ms(1_000)));
    let test = LoadTest::new(work).rate(rate(100.0, 4)).max_in_flight(50, OnCap::Queue).timeout(ms(60_000));
    let report = test.run_here().await.expect("runs");
    assert_eq!(report.total.ok, 400, "{report}");
    assert!(report.dispatch_lag.max.and_then(Quantile::value) < Some(ms(5)), "{report}");
    assert!(report.total.response.p95.value() > Some(ms(4_000)), "{report}");
    assert_eq!((report.verdict.name(), report.exit_code()), ("CapBound", 3), "{report}");
    let cause = report.verdict.cause().unwrap_or_default();
    assert!(cause.contains("the cap of 50 in flight") && cause.contains("keeps 100 in flight"), "{cause}");
    assert!(
        matches!(&report.verdict.limit, Limit::TargetBound(_)),
        "and what was seen of the target: {report}"
    );
    // With as many as the rate keeps in flight the same target keeps up.
    let test = LoadTest::new(workload_fn(|_| sleep(ms(1_000)))).rate(rate(100.0, 4));
    let report = test.max_in_flight(101, OnCap::Queue).run_here().await.expect("runs");
    assert_eq!(report.verdict.name(), "Valid", "{report}");
}

/// A burst that the cap makes wait and that is worked off by the end is no fault of the plan.
#[tokio::test(start_paused = true)]
async fn a_queue_that_empties_again_leaves_the_run_valid() {
    let burst = rate(20.0, 2).then(200.0, ms(1_000)).then(20.0, Duration::from_secs(20));
    let work = workload_fn(|_| sleep(ms(100)));
    let report =
        LoadTest::new(work).rate(burst).max_in_flight(10, OnCap::Queue).run_here().await.expect("runs");
    assert!(report.held > 50 && report.verdict.name() == "Valid", "{report}");
}

#[tokio::test(start_paused = true)]
async fn a_target_slower_than_the_offered_rate_is_the_limit() {
    let server = Arc::new(tokio::sync::Mutex::new(()));
    let work = workload_fn(move |_| {
        let server = Arc::clone(&server);
        async move {
            let _turn = server.lock().await;
            sleep(ms(20)).await; // 50 a second
        }
    });
    let test =
        LoadTest::new(work).rate(rate(100.0, 10)).timeout(ms(60_000)).threshold("achieved_rate >= 99%");
    let report = test.run_here().await.expect("runs");
    assert_eq!((report.verdict.name(), report.exit_code()), ("TargetBound", 1), "{report}");
    assert!(report.achieved_share.is_some_and(|share| (0.45..0.56).contains(&share)), "{report}");
}

/// Every tenth is reset at once: no backlog, nothing late, so its failures decide and not its pace.
#[tokio::test(start_paused = true)]
async fn a_target_that_fails_fast_keeps_up_and_its_failures_are_named() {
    struct Resets;
    impl Workload for Resets {
        type Session = ();
        async fn open(&self, _: &ShardCtx) -> Result<(), TargetError> {
            Ok(())
        }
        async fn call(&self, (): &mut (), op: &mut Op) -> Outcome {
            sleep(ms(2)).await;
            if op.index() % 10 == 3 {
                return TargetError::unanswered(FailKind::Reset, "connection reset").into();
            }
            Outcome::ok()
        }
    }
    let test = LoadTest::new(Resets).rate(rate(100.0, 10)).threshold("failure_ratio <= 1%");
    let report = test.run_here().await.expect("runs");
    assert_eq!((report.verdict.name(), report.exit_code()), ("Valid", 1), "{report}");
    assert_eq!(report.achieved_share, Some(0.9), "what was not answered was not achieved");
    let named = "10.0 % of operations failed, mostly: reset (connection reset)";
    assert!(report.notes.iter().any(|note| note == named), "{report}");
}

#[tokio::test]
async fn a_generator_that_is_blocked_says_so() {
    let work = workload_fn(|op| async move {
        if op.index() % 50 == 0 {
            std::thread::sleep(ms(30)); // what no workload should do: it holds the shard's thread
        }
    });
    let test = LoadTest::new(work).rate(rate(400.0, 1)).shards(1).threshold("failure_ratio < 1%");
    let report = test.run().await.expect("runs");
    assert_eq!((report.verdict.name(), report.exit_code()), ("GeneratorBound", 3), "{report}");
    assert_eq!(report.thresholds[0].status, ThresholdStatus::NotJudged);
}

#[tokio::test]
async fn a_frozen_generator_leaves_the_service_time_alone() {
    let work = workload_fn(|op| async move {
        if op.index() == 100 {
            std::thread::sleep(ms(300)); // the generator, not the target, stands still
        }
    });
    let report = LoadTest::new(work).rate(rate(400.0, 1)).shards(1).run().await.expect("runs");
    assert_eq!(report.verdict.name(), "GeneratorBound", "{report}");
    assert!(report.dispatch_lag.p95.value() > Some(ms(200)), "{report}");
    assert!(report.total.response.p95.value() > Some(ms(200)), "users would have waited\n{report}");
    assert!(report.total.service.p99.value() < Some(ms(50)), "the target did not stall\n{report}");
}

#[tokio::test(start_paused = true)]
async fn an_interrupted_run_is_partial_and_passes_nothing() {
    let test =
        LoadTest::new(workload_fn(|_| sleep(ms(5)))).rate(rate(100.0, 60)).threshold("failure_ratio < 1%");
    let stop = test.stop_handle();
    tokio::spawn(async move {
        sleep(Duration::from_secs(10)).await;
        stop.stop();
    });
    let report = test.run_here().await.expect("runs");
    assert_eq!((report.ending, report.exit_code()), (Ending::Interrupted, 130), "{report}");
    assert!((990..=1_030).contains(&report.total.ok), "{report}");
    assert_eq!(report.thresholds[0].status, ThresholdStatus::NotJudged);
    assert!(report.to_string().contains("interrupted after"));
}

#[tokio::test(start_paused = true)]
async fn what_is_in_flight_at_an_interrupt_is_counted() {
    let test = LoadTest::new(workload_fn(|_| std::future::pending::<()>()))
        .rate(rate(10.0, 60))
        .timeout(ms(300_000));
    let stop = test.stop_handle();
    tokio::spawn(async move {
        sleep(ms(5_050)).await;
        stop.stop();
    });
    let report = test.run_here().await.expect("runs");
    assert_eq!(&*report.errors[0].cause, "stopped");
    assert_eq!(report.errors[0].count, report.dispatched);
    assert_eq!((report.offered, report.dispatched), (51, 51), "without the grace: {report}");
    assert!(report.elapsed <= ms(5_050), "{report}");
}

#[tokio::test(start_paused = true)]
async fn what_waits_for_its_turn_at_an_interrupt_is_counted_and_the_target_is_not_blamed() {
    let test =
        LoadTest::new(workload_fn(|_| sleep(ms(4_000)))).rate(rate(10.0, 60)).max_in_flight(5, OnCap::Queue);
    let stop = test.stop_handle();
    tokio::spawn(async move {
        sleep(ms(2_550)).await;
        stop.stop();
    });
    let report = test.run_here().await.expect("runs");
    assert_eq!(report.verdict.name(), "Inconclusive", "{report}");
    assert_eq!((report.dispatched, report.total.ok), (5, 0), "{report}");
    assert_eq!(
        (report.total.failed, report.offered),
        (26, 26),
        "each of those due is in the books: {report}"
    );
}

/// A queue that the target cannot empty in time: what it did counts, and what waited in vain as well.
#[tokio::test(start_paused = true)]
async fn a_backlog_that_drains_too_slowly_is_counted_and_no_shard_is_called_stuck() {
    let test = LoadTest::new(workload_fn(|_| sleep(ms(300))))
        .rate(rate(100.0, 2))
        .timeout(ms(1_000))
        .max_in_flight(4, OnCap::Queue);
    let report = test.run_here().await.expect("runs");
    assert_eq!((report.ending, report.verdict.name()), (Ending::Completed, "CapBound"), "{report}");
    assert!((80..=140).contains(&report.total.ok), "some eight seconds at thirteen a second: {report}");
    assert_eq!(report.total.ok + report.total.failed, 200, "{report}");
}

#[tokio::test(start_paused = true)]
async fn a_closed_loop_is_judged_too() {
    let executor = Executor::closed(10, Duration::from_secs(5));
    let test =
        LoadTest::new(workload_fn(|_| sleep(ms(10)))).executor(executor).threshold("p99(service) <= 12ms");
    let report = test.run_here().await.expect("runs");
    assert_eq!(report.verdict.name(), "Valid", "{report}");
    assert!((4_000..=5_000).contains(&report.total.ok), "{report}");
    assert_eq!(report.achieved_share, None);
}

/// Two operations, and then a rest beyond the end: the shares are of the second that was planned.
#[tokio::test]
async fn a_run_that_is_done_early_used_no_more_of_a_core_than_there_is() {
    let settings = Settings {
        concurrent_workers: 2,
        duration: ms(1_000),
        think_time: Duration::from_secs(3_600),
        ..Settings::default()
    };
    let report =
        LoadTest::new(workload_fn(|_| async {})).settings(&settings).shards(1).run().await.expect("runs");
    assert_eq!((report.total.ok, report.elapsed), (2, ms(1_000)), "{report}");
    let used = report.generator;
    let shares = [used.cpu_share, used.waited_share, used.throttled_share, used.stolen_share];
    assert!(shares.iter().flatten().all(|share| (0.0..0.5).contains(share)), "{shares:?}");
}

/// What is assumed of the way back never claims the target's own part.
#[tokio::test]
async fn the_generators_share_of_p95_leaves_the_target_its_own() {
    let work = workload_fn(|op| async move {
        if op.index() % 20 < 2 {
            std::thread::sleep(Duration::from_micros(1_200)); // lag for those behind it
        }
        sleep(ms(1)).await;
    });
    let report = LoadTest::new(work).rate(rate(1_000.0, 1)).shards(1).run().await.expect("runs");
    let used = &report.generator;
    let share = used.inflation_p95.expect("measured") + used.unseen_p95.expect("assumed");
    let (p95, own) = (report.total.response.p95.value(), report.total.service.p50.value());
    assert!(
        Some(share + own.expect("measured")) <= p95 || used.unseen_p95 == Some(Duration::ZERO),
        "{report}"
    );
}

/// One sentence says what of the response times is the generator's, so that no two can contradict each other.
#[tokio::test]
async fn what_a_pause_of_the_generator_did_is_said_once() {
    let work = workload_fn(|op| async move {
        if op.index() % 100 == 0 {
            std::thread::sleep(ms(9)); // late: some nine of a hundred
        }
        sleep(ms(1)).await;
    });
    let report = LoadTest::new(work).rate(rate(1_000.0, 1)).shards(1).run().await.expect("runs");
    let own = |note: &&String| note.starts_with("the generator itself was up to");
    let said: Vec<_> = report.notes.iter().filter(own).collect();
    assert_eq!(said.len(), 1, "{report}");
    let raised = said[0].contains("it raised the p95 by");
    assert!(raised && said[0].contains("from the p95 on are more than a tenth its own"), "{report}");
    assert!(!report.notes.iter().any(|note| note.contains("the generator's own lag raised")), "{report}");
}

/// A reporter's panic costs nobody the run.
#[tokio::test]
async fn a_reporter_that_panics_is_dropped_and_the_run_goes_on() {
    struct Panics;
    impl offgridflow_loadtest::Reporter for Panics {
        fn on_window(&mut self, _: &offgridflow_loadtest::Window) {
            panic!("no terminal");
        }
    }
    let test = LoadTest::new(workload_fn(|_| sleep(ms(1)))).rate(rate(200.0, 3)).shards(1).reporter(Panics);
    let report = test.run().await.expect("the results are there");
    assert_eq!(report.total.ok, 600, "{report}");
    let notes: Vec<_> = report.notes.iter().filter(|note| note.contains("panicked")).collect();
    assert_eq!(notes, ["a reporter panicked and was told no more: no terminal"], "{report}");
}

/// Each operation holds the thread for 8 ms, four times what the rate leaves it: a part of the plan is never sent before it is given up.
#[tokio::test(start_paused = true)]
async fn what_the_generator_never_sent_is_in_the_books() {
    let test =
        LoadTest::new(workload_fn(|_| tokio::time::advance(ms(8)))).rate(rate(500.0, 3)).timeout(ms(1_000));
    let report = test.run_here().await.expect("runs");
    assert_eq!((report.offered, report.total.ok + report.total.failed), (1_500, 1_500), "{report}");
    assert_eq!(report.dispatched + report.unsent, 1_500, "{report}");
    assert!((200..600).contains(&report.unsent), "some nine seconds at 125 a second: {report}");
    let stopped = report.errors.iter().find(|line| line.cause == "stopped").expect("in the ledger");
    assert_eq!(
        (stopped.count, &*stopped.message),
        (report.unsent, "never sent: the generator was still behind when the run ended")
    );
    assert!(
        matches!(report.total.response.p95, Quantile::AtLeast(_)),
        "slower than all that was sent: {report}"
    );
    assert_eq!((report.verdict.name(), report.exit_code()), ("GeneratorBound", 3), "{report}");
    let text = report.to_string();
    assert!(text.contains(&format!("{} never sent", report.unsent)), "{text}");
}

/// From a third of the run on nobody is there; some lag on the way does not hide that.
#[tokio::test(start_paused = true)]
async fn a_target_that_dies_is_down_though_the_generator_was_a_little_late() {
    let work = workload_fn(|op| async move {
        if op.index() % 5 == 0 {
            tokio::time::advance(ms(8)).await; // lag for those behind it
        }
        if op.index() < 500 { Ok(()) } else { Err(TargetError::unanswered(FailKind::Connect, "refused")) }
    });
    let test = LoadTest::new(work).rate(rate(300.0, 5)).threshold("p95(response) < 1s");
    let report = test.run_here().await.expect("runs");
    let lag = report.dispatch_lag.p95.value().expect("measured");
    assert!(lag > ms(2) && report.dispatch_lag.p99.value() < Some(ms(10)), "{report}");
    assert_eq!((report.verdict.name(), report.exit_code()), ("TargetDown", 1), "{report}");
}

/// Most operations never left this machine: whatever the target does, it was not asked.
#[tokio::test(start_paused = true)]
async fn a_machine_that_runs_out_of_something_does_not_bring_the_target_down() {
    let work = workload_fn(|op| async move {
        match op.index() % 10 {
            0 => Ok(()),
            _ => Err(TargetError::unanswered(FailKind::Local("open files"), "too many open files")),
        }
    });
    let report = LoadTest::new(work).rate(rate(100.0, 10)).run_here().await.expect("runs");
    assert_eq!((report.verdict.name(), report.exit_code()), ("CapBound", 3), "{report}");
    let cause = report.verdict.cause().unwrap_or_default();
    assert!(
        cause.starts_with("900 of 1000 operations failed for want of something on this machine"),
        "{cause}"
    );
}
