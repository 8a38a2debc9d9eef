//! Watches two pieces of an application's work; `cargo run -p offgridflow-bench --features service --example watch`.
use std::time::Duration;

use offgridflow_bench::service::{BenchService, Objective, ProbeError, probe_fn};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let quick = probe_fn("sort 10 000 numbers", || async {
        let mut numbers: Vec<u32> = (0..10_000_u32).map(|n| n.wrapping_mul(2_654_435_761)).collect();
        numbers.sort_unstable();
        numbers.is_sorted().then_some(()).ok_or_else(|| ProbeError::new("not sorted"))
    });
    let slow = probe_fn("wait 5 ms", || async {
        tokio::time::sleep(Duration::from_millis(5)).await;
        Ok(())
    });
    let service = BenchService::builder()
        .interval(Duration::from_millis(20))
        .busy_share(0.5) // a demonstration may be busy; the default is 1 %
        .probe(quick, Objective::p95(Duration::from_millis(10)))
        .probe(slow, Objective::p95(Duration::from_millis(2)))
        .start()?;
    let mut reports = service.watch();
    reports.wait_for(|reports| reports.iter().all(|report| report.samples >= 70)).await?;
    for report in service.snapshot() {
        println!(
            "{:20} p50 {:>9.3?}  p95 {:>9.3?}  limit {:?}: {:?}",
            report.name,
            report.p50.unwrap_or_default(),
            report.at_quantile.unwrap_or_default(),
            report.objective.limit,
            report.verdict
        );
    }
    service.shutdown().await;
    Ok(())
}
