//! A run that is not worth going on with ends itself, and says why.

use std::{sync::Arc, time::Duration};

use offgridflow_loadtest::{
    Ending, Executor, LoadTest, Overload, Rate, Report, ThresholdStatus, WarmUp, Workload, workload_fn,
};
use tokio::time::{Instant, sleep};

const SECOND: Duration = Duration::from_secs(1);

fn rate(per_sec: f64, seconds: u64) -> Rate {
    Rate::constant(per_sec, Duration::from_secs(seconds))
}

/// 100 operations a second for a minute, all well but those whose number is in `broken`.
fn failing(broken: std::ops::Range<u64>) -> LoadTest<impl Workload> {
    let work = workload_fn(move |op| {
        let fails = broken.contains(&op.index());
        async move {
            sleep(Duration::from_millis(5)).await;
            if fails { Err("broken") } else { Ok(()) }
        }
    });
    LoadTest::new(work).rate(rate(100.0, 60))
}

fn aborted(report: &Report) -> (&str, &str, Duration) {
    let aborted = report.aborted.as_ref().unwrap_or_else(|| panic!("{report}"));
    (&aborted.rule, &aborted.measured, aborted.at)
}

#[tokio::test(start_paused = true)]
async fn a_rule_that_holds_ends_the_run_and_nothing_is_judged() {
    let begun = Instant::now();
    let test = failing(500..6_000).threshold("p95(response) < 1s").abort_if("failure_ratio[3s] > 50%");
    let report = test.run_here().await.expect("runs");
    assert!(begun.elapsed() < SECOND * 10, "{:?}", begun.elapsed());
    assert_eq!((report.ending, report.exit_code(), report.passed()), (Ending::Aborted, 5, false), "{report}");
    // Up to the seventh second two of three fail; up to the sixth it is one.
    let (rule, measured, at) = aborted(&report);
    assert_eq!((rule, at), ("failure_ratio[3s] > 50%", SECOND * 7));
    assert!(measured.starts_with("66."), "{measured}");
    assert!(report.total.ok == 500 && (700..750).contains(&report.offered), "{report}");
    assert!(report.thresholds.iter().all(|result| result.status == ThresholdStatus::NotJudged), "{report}");
    let said = "aborted after 7.00s: `failure_ratio[3s] > 50%` held, with 66.";
    assert!(report.to_string().contains(said), "{report}");
}

#[tokio::test(start_paused = true)]
async fn a_rule_is_not_asked_before_its_grace_is_over() {
    let early = failing(0..1_000).default_failure_gate(false).abort_if("failure_ratio[2s] > 50% after 20s");
    let report = early.run_here().await.expect("runs");
    assert_eq!((report.ending, report.offered), (Ending::Completed, 6_000), "{report}");
    let always = failing(0..6_000).abort_if("failure_ratio[2s] > 50% after 20s");
    assert_eq!(aborted(&always.run_here().await.expect("runs")).2, SECOND * 22);
}

#[tokio::test(start_paused = true)]
async fn a_warm_up_ends_no_run() {
    let report = failing(0..1_000).warm_up(WarmUp::For(SECOND * 10)).abort_if("failure_ratio[2s] > 1%");
    let report = report.run_here().await.expect("runs");
    assert_eq!((report.ending, report.total.failed), (Ending::Completed, 0), "{report}");
    let report = failing(0..6_000).warm_up(WarmUp::For(SECOND * 10)).abort_if("failure_ratio[2s] > 1%");
    assert_eq!(aborted(&report.run_here().await.expect("runs")).2, SECOND * 12);
}

/// Silence is no failure: it is a count of its own.
#[tokio::test(start_paused = true)]
async fn a_stretch_without_data_holds_for_counts_only() {
    let work = workload_fn(|op| async move {
        if op.index() >= 500 {
            std::future::pending::<()>().await;
        }
    });
    let test = LoadTest::new(work).rate(rate(100.0, 30)).timeout(SECOND * 60);
    let rules = ["failure_ratio[3s] > 1%", "p50(response)[3s] > 1s", "answered[3s] < 1"];
    let report = rules.iter().fold(test, LoadTest::abort_if).run_here().await.expect("runs");
    assert_eq!(aborted(&report), ("answered[3s] < 1", "0", SECOND * 8), "{report}");
}

#[tokio::test(start_paused = true)]
async fn percentiles_are_of_the_last_seconds_and_of_the_route() {
    let test = || {
        let work = workload_fn(|op| async move {
            let slow = op.index() % 4 == 0;
            op.route(if slow { "slow" } else { "fast" });
            sleep(Duration::from_millis(if slow && op.index() >= 1_000 { 300 } else { 5 })).await;
        });
        LoadTest::new(work).rate(rate(100.0, 30))
    };
    let report = test().abort_if("p90(response)[4s]{slow} > 200ms").run_here().await.expect("runs");
    let (_, measured, at) = aborted(&report);
    // From the eleventh second on a quarter of the last four are slow, which is more than a tenth.
    assert!(at == SECOND * 11 && measured.starts_with("30"), "{measured} {at:?}");
    let report = test().abort_if("p90(response)[4s]{fast} > 200ms").run_here().await.expect("runs");
    assert_eq!(report.ending, Ending::Completed, "{report}");
    let report = test().abort_if("p50(response)[4s] > 200ms").run_here().await.expect("runs");
    assert_eq!(report.ending, Ending::Completed, "a quarter is slow: {report}");
}

#[tokio::test(start_paused = true)]
async fn a_target_that_does_not_keep_up_can_end_the_run() {
    let server = Arc::new(tokio::sync::Mutex::new(()));
    let work = workload_fn(move |_| {
        let server = Arc::clone(&server);
        async move {
            let _turn = server.lock().await;
            sleep(Duration::from_millis(20)).await; // 50 a second
        }
    });
    let test = LoadTest::new(work).rate(rate(100.0, 60)).timeout(SECOND * 60);
    let report = test.abort_if("achieved_rate[5s] < 80%").run_here().await.expect("runs");
    let (_, measured, at) = aborted(&report);
    assert!(
        at == SECOND * 5 && (measured.starts_with("4") || measured.starts_with("50.")),
        "{measured} {at:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn the_shards_of_a_run_are_looked_at_together() {
    let test = || {
        let work =
            workload_fn(|op| async move { if op.index() % 3 == 0 { Err("one shard's") } else { Ok(()) } });
        LoadTest::new(work).shards(3).rate(rate(300.0, 3)).default_failure_gate(false)
    };
    // A third fails: all of one shard's, none of the others'.
    let report = test().abort_if("failure_ratio[1s] > 50%").run().await.expect("runs");
    assert_eq!(report.ending, Ending::Completed, "{report}");
    let report = test().abort_if("failure_ratio[1s] > 30%").run().await.expect("runs");
    assert_eq!(report.ending, Ending::Aborted, "{report}");
}

#[test]
fn rules_that_could_never_be_asked_are_refused() {
    let test = || LoadTest::new(workload_fn(|_| async {}).routed(["read"], |_| 0)).rate(rate(10.0, 30));
    let hint = |test: LoadTest<_>| {
        let error = test.validate().expect_err("refused");
        assert_eq!(error.field, "abort_if", "{error}");
        error.hint
    };
    assert!(hint(test().abort_if("failure_ratio > 5%")).contains("failure_ratio[10s]"));
    let late = hint(test().abort_if("failure_ratio[10s] > 5% after 25s"));
    assert!(late.contains("first asked after 35s, and the plan takes 30s"), "{late}");
    assert!(hint(test().abort_if("failure_ratio[10s]{reed} > 5%")).contains("there are `read`"));
    let never = hint(test().abort_if("failure_ratio[10s] > 200%"));
    assert!(never.starts_with("`failure_ratio[10s] > 200%`: no run could meet this"), "{never}");
    assert!(hint(test().abort_if("late_ratio[10s] > 5%")).contains("needs a deadline"));
    let closed = test().executor(Executor::closed(2, SECOND * 30)).abort_if("achieved_rate[10s] < 5%");
    assert!(hint(closed).contains("needs an open loop"));
    let many = (0..33).fold(test(), |test, _| test.abort_if("failures[1s] > 5"));
    assert!(hint(many).contains("at most 32 rules"));
    let plan = test().deadline(SECOND, Overload::Queue).abort_if("late_ratio[10s] > 5%").validate();
    assert!(plan.expect("fine").to_string().ends_with("\nabort if    late_ratio[10s] > 5%"));
}

#[cfg(feature = "serde")]
#[tokio::test(start_paused = true)]
async fn json_says_which_rule_ended_the_run() {
    let report = failing(0..6_000).abort_if("failures[1s] >= 10").run_here().await.expect("runs");
    let json = report.to_json().expect("plain data");
    assert_eq!(Report::from_json(&json).expect("its own text"), report);
    let json: serde_json::Value = serde_json::from_str(&json).expect("json");
    assert_eq!((&json["ending"], &json["aborted"]["at_ns"]), (&"aborted".into(), &1_000_000_000_u64.into()));
    assert_eq!(json["aborted"]["rule"], "failures[1s] >= 10");
}
