//! What comes too late is shed or counted, as the plan says, and never lost.

use std::time::Duration;

use offgridflow_loadtest::{LoadTest, OnCap, Overload, Rate, Report, workload_fn};

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
