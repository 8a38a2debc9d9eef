//! Probes run, are bounded, and are judged only when there is enough to judge. Time is paused throughout.
#![cfg(feature = "service")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use offgridflow_bench::service::{
    BenchService, BenchServiceBuilder, BurnAlert, ConfigError, DeployVerdict, Objective, ProbeError,
    Reference, SloVerdict, probe_fn, prometheus,
};
use tokio::time::sleep;

const MS: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);

/// Settings that do not depend on how busy this machine is.
fn builder() -> BenchServiceBuilder {
    BenchService::builder().load(|| 0.0)
}

fn taking(name: &'static str, time: Duration) -> impl offgridflow_bench::service::Probe {
    probe_fn(name, move || async move {
        sleep(time).await;
        Ok(())
    })
}

#[tokio::test(start_paused = true)]
async fn too_few_samples_give_no_verdict() {
    let service = builder().interval(SECOND).probe(taking("p", MS), Objective::p95(2 * MS)).start().unwrap();
    let mut reports = service.watch();
    let report = reports.wait_for(|reports| reports[0].samples == 58).await.unwrap()[0].clone();
    assert_eq!(report.verdict, SloVerdict::NotEnoughData { have: 58, need: 59 });
    assert_eq!(report.at_quantile, None, "a percentile is refused below its minimum count");
    let report = reports.wait_for(|reports| reports[0].samples == 59).await.unwrap()[0].clone();
    assert_eq!((report.verdict, report.at_quantile), (SloVerdict::Met, Some(MS)));
}

#[tokio::test(start_paused = true)]
async fn a_breach_is_called_one() {
    let service =
        builder().interval(SECOND).probe(taking("p", 3 * MS), Objective::p95(2 * MS)).start().unwrap();
    let mut reports = service.watch();
    let report = reports.wait_for(|reports| reports[0].samples == 100).await.unwrap()[0].clone();
    assert_eq!(report.verdict, SloVerdict::Breached);
}

#[tokio::test(start_paused = true)]
async fn failures_panics_and_time_outs_count_against_the_objective() {
    let calls = Arc::new(AtomicU64::new(0));
    let probe = probe_fn("p", move || {
        let call = calls.fetch_add(1, Ordering::Relaxed);
        async move {
            match call % 3 {
                0 => Err(ProbeError::new("refused")),
                1 => panic!("a probe's own fault"),
                _ => std::future::pending().await,
            }
        }
    });
    let builder = builder().interval(SECOND).timeout(2 * MS).probe(probe, Objective::p95(SECOND));
    let service = builder.start().unwrap();
    let mut reports = service.watch();
    let report = reports.wait_for(|reports| reports[0].samples == 60).await.unwrap()[0].clone();
    assert_eq!((report.verdict, report.failures, report.p50), (SloVerdict::Breached, 60, None));
    assert_eq!(report.last_error.as_deref(), Some("given up after 2ms"));
}

#[tokio::test(start_paused = true)]
async fn a_slow_probe_is_run_less_often() {
    let service = builder()
        .interval(SECOND)
        .busy_share(0.01)
        .probe(taking("p", 100 * MS), Objective::p95(SECOND))
        .start()
        .unwrap();
    sleep(Duration::from_secs(100)).await;
    assert_eq!(service.snapshot()[0].runs, 10, "100 ms at 1 % is once in 10 s");
    service.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn old_runs_leave_the_window() {
    let service = builder()
        .interval(SECOND)
        .window(10 * SECOND)
        .probe(taking("p", MS), Objective::p95(SECOND))
        .start()
        .unwrap();
    sleep(1_000 * SECOND).await;
    let report = service.snapshot()[0].clone();
    assert!((9..=12).contains(&report.samples) && report.runs > 900, "{report:?}");
}

#[tokio::test(start_paused = true)]
async fn shutdown_drops_the_run_under_way() {
    let (held, dropped) = (Arc::new(()), Arc::new(AtomicU64::new(0)));
    let (inside, runs) = (Arc::downgrade(&held), Arc::clone(&dropped));
    let probe = probe_fn("p", move || {
        let guard = inside.upgrade();
        runs.fetch_add(1, Ordering::Relaxed);
        async move {
            std::future::pending::<()>().await;
            drop(guard);
            Ok(())
        }
    });
    let builder = builder().timeout(1_000 * SECOND).probe(probe, Objective::p95(SECOND));
    let service = builder.start().unwrap();
    while dropped.load(Ordering::Relaxed) == 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(Arc::strong_count(&held), 2, "the run is under way");
    service.shutdown().await;
    while Arc::strong_count(&held) > 1 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(start_paused = true)]
async fn contradictions_surface_at_the_start() {
    let objective = Objective::p95(MS);
    assert_eq!(builder().start().unwrap_err(), ConfigError::NoProbe);
    let twice = builder().probe(taking("p", MS), objective).probe(taking("p", MS), objective);
    assert_eq!(twice.start().unwrap_err(), ConfigError::DuplicateName("p".to_owned()));
    let settings = [
        builder().interval(Duration::ZERO),
        builder().timeout(Duration::ZERO),
        builder().busy_share(0.0),
        builder().back_off_above(f64::NAN),
    ];
    for builder in settings {
        assert!(matches!(
            builder.probe(taking("p", MS), objective).start(),
            Err(ConfigError::Setting { .. })
        ));
    }
}

/// A build's own runs, stored, are the next build's reference. The controls: the same time, and a control probe that became slower too.
#[tokio::test(start_paused = true)]
async fn a_slower_deploy_is_told_unless_the_machine_is_slower_too() {
    let deployed = |time: Duration, machine: Duration, references: [Option<Reference>; 2]| async move {
        let limit = Objective::p95(SECOND);
        let mut builder = builder().interval(SECOND).probe(taking("p", time), limit);
        builder = builder.control(taking("arithmetic", machine), limit);
        for (name, reference) in ["p", "arithmetic"].into_iter().zip(references) {
            builder = reference.into_iter().fold(builder, |builder, one| builder.reference(name, one));
        }
        let service = builder.start().unwrap();
        let mut reports = service.watch();
        let report = reports.wait_for(|reports| reports[1].samples == 150).await.unwrap()[0].clone();
        (report.deploy, ["p", "arithmetic"].map(|name| service.reference(name)))
    };
    let (first, good) = deployed(10 * MS, 20 * MS, [None, None]).await;
    assert_eq!((first, good[0].as_ref().unwrap().runs()), (DeployVerdict::NoReference, 150));
    let (same, _) = deployed(10 * MS, 20 * MS, good.clone()).await;
    assert!(matches!(same, DeployVerdict::NotSlower { p } if p > 0.01), "{same:?}");
    let (slower, _) = deployed(12 * MS, 20 * MS, good.clone()).await;
    assert!(matches!(slower, DeployVerdict::Slower { at_run: ..100, .. }), "{slower:?}");
    let (both, _) = deployed(12 * MS, 24 * MS, good.clone()).await;
    assert_eq!(both, DeployVerdict::EnvironmentSuspect);
    let unknown =
        builder().probe(taking("p", MS), Objective::p95(SECOND)).reference("q", Reference::default());
    assert_eq!(unknown.start().unwrap_err(), ConfigError::UnknownProbe("q".to_owned()));
}

/// The control: the same probe on a calm machine.
#[tokio::test(start_paused = true)]
async fn a_busy_machine_is_probed_less_often_and_never_not_at_all() {
    let hour = |load: f64| async move {
        let busy = BenchService::builder().interval(SECOND).load(move || load);
        let service = busy.probe(taking("p", MS), Objective::p95(SECOND)).start().unwrap();
        sleep(800 * SECOND).await;
        let report = service.snapshot()[0].clone();
        (report.runs, report.put_off)
    };
    let ((calm, none), (busy, put_off)) = (hour(2.0).await, hour(2.1).await);
    assert!((760..840).contains(&calm) && none == 0, "{calm} {none}");
    assert!((95..115).contains(&busy) && put_off == busy, "{busy} {put_off}");
}

#[tokio::test(start_paused = true)]
async fn a_budget_that_burns_is_an_alert_in_reports_and_in_prometheus_words() {
    let builder = builder().interval(SECOND).timeout(SECOND);
    let slow = taking("slow \"p\"", 3 * MS);
    let service = builder
        .probe(slow, Objective::p95(2 * MS))
        .probe(taking("quick", MS), Objective::p95(2 * MS))
        .start()
        .unwrap();
    sleep(600 * SECOND).await;
    let reports = service.snapshot();
    assert_eq!(reports[0].burn.alert, Some(BurnAlert::Fast));
    assert!(
        (reports[0].burn.minutes_5.unwrap() - 20.0).abs() < 1e-9,
        "all of 5 of 100: {:?}",
        reports[0].burn
    );
    assert_eq!((reports[1].burn.alert, reports[1].burn.hours_6), (None, Some(0.0)));
    let text = prometheus(&reports);
    for line in [
        "# TYPE offgridflow_bench_probe_burn_rate gauge",
        "offgridflow_bench_probe_burn_alert{probe=\"slow \\\"p\\\"\",speed=\"fast\"} 1",
        "offgridflow_bench_probe_burn_rate{probe=\"quick\",window=\"6h\"} 0",
        "offgridflow_bench_probe_verdict{probe=\"quick\",verdict=\"met\"} 1",
        "offgridflow_bench_probe_seconds{probe=\"quick\",percentile=\"95\"} 0.001",
    ] {
        assert!(text.lines().any(|one| one == line), "{line}\n{text}");
    }
    assert!(!text.contains("slower_than_last_build{"), "without a reference nothing is said: {text}");
}
