//! What is counted, timed and judged of a workload.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use offgridflow_loadtest::{
    LoadTest, Phase, Quantile, Report, Reporter, ThresholdStatus, Window, workload_fn,
};
use tokio::time::sleep;

use super::{ms, rate};

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
    let judged =
        |report: &Report| report.thresholds.iter().map(|result| result.threshold.clone()).collect::<Vec<_>>();
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
async fn marks_move_the_borders_between_the_parts() {
    let work = workload_fn(|op| async move {
        sleep(ms(20)).await; // waiting for a permit of its own
        op.mark(Phase::Admitted);
        sleep(ms(30)).await;
        op.mark(Phase::FirstByte);
        sleep(ms(10)).await;
    });
    let report = LoadTest::new(work).rate(rate(100.0, 5)).run_here().await.expect("runs");
    let near = |measured: Quantile, ms: f64| {
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
    let met: Vec<_> = report.thresholds.iter().map(|result| result.status == ThresholdStatus::Met).collect();
    assert_eq!(met, [false, true, false], "a route without data is not met");
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
