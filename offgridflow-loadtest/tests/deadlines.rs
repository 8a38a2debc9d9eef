//! What comes too late is shed or counted, as the plan says, and never lost.

use std::time::Duration;

use offgridflow_loadtest::{LoadTest, OnCap, Overload, Rate, Report, ThresholdStatus, workload_fn};

const MS: Duration = Duration::from_millis(1);

/// One worker's place, 200 operations a second, each 10 ms: half can be served.
async fn overloaded(overload: Overload) -> Report {
    let work = workload_fn(|op| async move {
        assert_eq!(op.deadline(), op.intended() + MS * 100);
        tokio::time::sleep(MS * 10).await;
    });
    let test = LoadTest::new(work).rate(Rate::constant(200.0, MS * 10_000)).max_in_flight(1, OnCap::Queue);
    test.deadline(MS * 100, overload).run_here().await.expect("runs")
}

#[tokio::test(start_paused = true)]
async fn what_is_late_is_shed_and_counts_as_unanswered() {
    let report = overloaded(Overload::Shed).await;
    assert_eq!(report.dispatched + report.shed, 2_000, "conserved\n{report}");
    assert!((950..1_000).contains(&report.shed), "{report}");
    let slowest = report.total.response.p50.value().expect("half were answered");
    assert!(slowest <= MS * 112, "what was begun had not passed its deadline\n{report}");
    assert!(report.errors.iter().any(|line| line.cause == "shed" && line.count == report.shed), "{report}");
    assert_eq!((report.verdict.name(), report.exit_code()), ("CapBound", 3), "{report}");
    assert!(report.verdict.cause().is_some_and(|cause| cause.contains("were shed")), "{report}");
}

#[tokio::test(start_paused = true)]
async fn what_is_late_is_run_all_the_same_if_the_plan_says_so() {
    let report = overloaded(Overload::Queue).await;
    assert_eq!((report.dispatched, report.shed, report.total.ok), (2_000, 0, 2_000), "{report}");
    assert!(report.late > 1_900, "{report}");
    assert!(report.held > 1_900, "{report}");
    assert_eq!(report.verdict.name(), "CapBound", "{report}");
}

/// 400 operations: half take 50 ms, every tenth is never answered, and the deadline is 10 ms.
fn slow_half() -> LoadTest<impl offgridflow_loadtest::Workload> {
    let work = workload_fn(|op| async move {
        match op.index() % 10 {
            9 => std::future::pending().await,
            n if n % 2 == 0 => tokio::time::sleep(MS * 50).await,
            _ => {}
        }
    });
    let test = LoadTest::new(work).rate(Rate::constant(200.0, MS * 2_000)).timeout(MS * 500);
    test.default_failure_gate(false).deadline(MS * 10, Overload::Queue)
}

#[tokio::test(start_paused = true)]
async fn a_deadline_is_judged_by_what_missed_it() {
    let test = slow_half().threshold("late_ratio <= 60%").threshold("late_ratio < 60%");
    let report = test.run_here().await.expect("runs");
    assert_eq!((report.late, report.total.failed), (200, 40), "{report}");
    let [met, broken] = &report.thresholds[..] else { panic!("{report}") };
    assert_eq!((met.status, broken.status), (ThresholdStatus::Met, ThresholdStatus::Broken), "{report}");
    assert_eq!((&*met.measured, report.exit_code()), ("60.000%", 1), "{report}");
    let text = report.to_string();
    assert!(text.contains("10.0ms: 200 answered after it, 40 never answered: late_ratio 60.000%"), "{text}");
    assert!(text.contains("90.00% by the end of the schedule") && !text.contains("in time"), "{text}");
}

#[tokio::test(start_paused = true)]
async fn each_route_is_judged_by_its_own_lateness_and_throughput() {
    let work = workload_fn(|op| async move {
        op.route(if op.index() % 4 == 0 { "slow" } else { "fast" });
        tokio::time::sleep(MS * if op.index() % 8 == 0 { 50 } else { 2 }).await;
    });
    let test = LoadTest::new(work).rate(Rate::constant(200.0, MS * 4_000)).deadline(MS * 10, Overload::Queue);
    let (met, broken) = (ThresholdStatus::Met, ThresholdStatus::Broken);
    let judged = [
        ("late_ratio{slow} <= 50%", met),
        ("late_ratio{slow} < 50%", broken),
        ("late_ratio{fast} <= 0%", met),
        ("late_ratio < 13%", met),
        ("throughput{slow} > 45/s", met),
        ("throughput{slow} > 55/s", broken),
        ("throughput >= 190/s", met),
        ("throughput{none} > 0/s", broken),
    ];
    let report = judged.iter().fold(test, |test, (threshold, _)| test.threshold(threshold)).run_here().await;
    let report = report.expect("runs");
    let found: Vec<_> = report.thresholds.iter().map(|result| result.status).collect();
    assert_eq!(found[..8], judged.map(|(_, status)| status), "{report}");
    assert!(report.thresholds[4].measured.ends_with("/s"), "{report}");
}

#[tokio::test(start_paused = true)]
async fn a_deadline_that_nothing_judges_is_noted() {
    let report = slow_half().run_here().await.expect("runs");
    let said = "60.0 % of operations were answered after their deadline of 10.0ms, or never, and no threshold judges that: `late_ratio <= 1%` would";
    assert!(report.notes.iter().any(|note| note == said), "{report}");
    let without = LoadTest::new(workload_fn(|_| async {})).threshold("late_ratio <= 1%").validate();
    assert!(without.expect_err("refused").hint.contains("late_ratio needs a deadline"));
}
