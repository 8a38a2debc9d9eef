//! A reporter that feeds the `metrics` facade.

use metrics::{counter, gauge};

use crate::{error::ReportError, report::Report, reporter::Reporter, window::Window};

/// Publishes each window: `offgridflow_loadtest_operations_total{outcome}`,
/// `offgridflow_loadtest_offered_total`, and the gauges `offgridflow_loadtest_in_flight`,
/// `offgridflow_loadtest_response_p95_seconds` and `offgridflow_loadtest_dispatch_lag_p99_seconds`; at the end
/// `offgridflow_loadtest_valid` (1 or 0). Labels hold nothing but the outcome.
#[derive(Debug, Clone, Copy, Default)]
pub struct MetricsReporter;

impl Reporter for MetricsReporter {
    fn on_window(&mut self, window: &Window) {
        counter!("offgridflow_loadtest_operations_total", "outcome" => "ok").increment(window.ok);
        counter!("offgridflow_loadtest_operations_total", "outcome" => "failed").increment(window.failed);
        counter!("offgridflow_loadtest_offered_total").increment(window.offered.unwrap_or(0));
        gauge!("offgridflow_loadtest_in_flight").set(crate::histogram::as_f64(window.in_flight));
        if let Some(p95) = window.p95.and_then(crate::histogram::Quantile::value) {
            gauge!("offgridflow_loadtest_response_p95_seconds").set(p95.as_secs_f64());
        }
        if let Some(lag) = window.lag_p99 {
            gauge!("offgridflow_loadtest_dispatch_lag_p99_seconds").set(lag.as_secs_f64());
        }
    }

    fn on_end(&mut self, report: &Report) -> Result<(), ReportError> {
        gauge!("offgridflow_loadtest_valid").set(f64::from(u8::from(report.verdict.is_valid())));
        Ok(())
    }
}
