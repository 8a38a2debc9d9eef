//! What is warm-up is run, counted, and in none of the numbers.

use std::time::Duration;

use offgridflow_loadtest::{Executor, LoadTest, OpRng, Quantile, Rate, Report, WarmUp, workload_fn};

const SECOND: Duration = Duration::from_secs(1);

/// Answers take 20 to 80 ms longer at first, decaying by half every two seconds.
async fn warming(warm_up: WarmUp, seed: u64) -> Report {
    let work = workload_fn(|op| async move {
        let cold = 80.0 * 0.5_f64.powf(op.intended().as_secs_f64() / 2.0);
        let noise = 5.0 - 2.0 * (1.0 - op.rng().unit()).ln();
        tokio::time::sleep(Duration::from_secs_f64((cold + noise) / 1_000.0)).await;
    });
    let test = LoadTest::new(work).rate(Rate::constant(200.0, SECOND * 120)).seed(seed);
    test.warm_up(warm_up).run_here().await.expect("runs")
}

#[tokio::test(start_paused = true)]
async fn an_explicit_warm_up_is_not_measured() {
    let report = warming(WarmUp::For(SECOND * 20), 1).await;
    assert_eq!((report.warm_up, report.offered, report.dispatched), ([4_000, 0], 20_000, 20_000));
    assert_eq!(report.total.ok + report.total.failed, 20_000);
    assert_eq!((report.measured_from, report.achieved_share), (SECOND * 20, Some(1.0)));
    assert!((report.total.rate_per_sec - 200.0).abs() < 1.0, "{report}");
    assert!((report.offered_per_sec() - 200.0).abs() < 1e-9);
    let all = warming(WarmUp::None, 1).await;
    assert!(
        all.total.response.p99.value() > Some(Duration::from_millis(60)),
        "the control sees the warm-up\n{all}"
    );
    assert!(report.total.response.p99.value() < Some(Duration::from_millis(20)), "{report}");
}

#[tokio::test(start_paused = true)]
async fn an_automatic_warm_up_ends_when_the_run_is_steady() {
    for seed in 0..5 {
        let report = warming(WarmUp::Auto, seed).await;
        let from = report.measured_from;
        assert!((SECOND * 12..SECOND * 50).contains(&from), "{from:?}\n{report}");
        let [begun, failed] = report.warm_up;
        assert_eq!((begun + report.dispatched, failed), (24_000, 0), "conserved");
        assert_eq!(report.offered, report.dispatched);
        let Quantile::Value(p99) = report.total.response.p99 else { panic!("{report}") };
        assert!(p99 < Duration::from_millis(18), "{report}");
    }
}

/// What never becomes steady is measured from half of the plan on, and the report says so.
#[tokio::test(start_paused = true)]
async fn an_endless_warm_up_ends_at_half_time() {
    let work = workload_fn(|op| async move {
        let rising = 1.0 + op.intended().as_secs_f64();
        tokio::time::sleep(Duration::from_secs_f64((rising + OpRng::new(7, op.index()).unit()) / 1_000.0))
            .await;
    });
    let test = LoadTest::new(work).executor(Executor::closed(4, SECOND * 60)).warm_up(WarmUp::Auto);
    let report = test.run_here().await.expect("runs");
    assert!((SECOND * 25..=SECOND * 33).contains(&report.measured_from), "{report}");
    assert!(report.notes.iter().any(|note| note.contains("did not become steady")), "{report}");
    assert_eq!(report.trend, Some(true), "{report}");
}

#[test]
fn a_warm_up_that_leaves_nothing_is_refused() {
    let test = |seconds, warm_up| {
        let rate = Rate::constant(1.0, SECOND * seconds);
        LoadTest::new(workload_fn(|_op| async {})).rate(rate).warm_up(warm_up).validate().map(drop)
    };
    assert!(test(20, WarmUp::For(SECOND * 20)).unwrap_err().hint.contains("nothing"));
    assert!(test(19, WarmUp::Auto).unwrap_err().hint.contains("at least 20s"));
    assert!(test(20, WarmUp::For(SECOND * 19)).is_ok());
}
