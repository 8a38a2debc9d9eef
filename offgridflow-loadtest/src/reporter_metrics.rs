//! A reporter that feeds the `metrics` facade.

use metrics::{counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};

use crate::{error::ReportError, plan::Plan, report::Report, reporter::Reporter, window::Window};

/// Publishes each window; labels hold nothing but the outcome. [`describe`](Self::describe) has the help texts.
///
/// | | |
/// |---|---|
/// | `offgridflow_loadtest_request_duration_seconds` | histogram, from the intended start, of what was answered |
/// | `offgridflow_loadtest_requests_total` | `outcome`: ok, failed (which counts what was never answered) |
/// | `offgridflow_loadtest_offered_total` | what the schedule wanted; stands still in a closed loop |
/// | `offgridflow_loadtest_in_flight` | gauge |
/// | `offgridflow_loadtest_behind_schedule_seconds` | gauge: the 99th percentile of the generator's own lag in the newest window |
/// | `offgridflow_loadtest_valid` | gauge, from the end of a run: 1 or 0 |
#[derive(Debug, Clone, Copy, Default)]
pub struct MetricsReporter;

impl MetricsReporter {
    /// Tells the recorder what each figure means. Once a process, after the recorder was installed.
    pub fn describe() {
        describe_histogram!(
            "offgridflow_loadtest_request_duration_seconds",
            "From the intended start to the end of operations that were answered."
        );
        describe_counter!("offgridflow_loadtest_requests_total", "Operations that ended, by outcome.");
        describe_counter!("offgridflow_loadtest_offered_total", "Operations that the schedule wanted.");
        describe_gauge!("offgridflow_loadtest_in_flight", "Operations under way.");
        describe_gauge!(
            "offgridflow_loadtest_behind_schedule_seconds",
            "How late the generator itself was, 99th percentile of the newest window."
        );
        describe_gauge!("offgridflow_loadtest_valid", "1 where the numbers of the last run can be believed.");
    }
}

impl Reporter for MetricsReporter {
    fn on_start(&mut self, _: &Plan) {
        for outcome in ["ok", "failed"] {
            counter!("offgridflow_loadtest_requests_total", "outcome" => outcome).increment(0);
        }
        counter!("offgridflow_loadtest_offered_total").increment(0);
    }

    fn on_window(&mut self, window: &Window) {
        let response = histogram!("offgridflow_loadtest_request_duration_seconds");
        for (took, times) in window.responses().answered().buckets() {
            response.record_many(took.as_secs_f64(), usize::try_from(times).unwrap_or(usize::MAX));
        }
        counter!("offgridflow_loadtest_requests_total", "outcome" => "ok").increment(window.ok);
        counter!("offgridflow_loadtest_requests_total", "outcome" => "failed").increment(window.failed);
        counter!("offgridflow_loadtest_offered_total").increment(window.offered.unwrap_or(0));
        gauge!("offgridflow_loadtest_in_flight").set(crate::histogram::as_f64(window.in_flight));
        let lag = window.lag_p99.unwrap_or_default();
        gauge!("offgridflow_loadtest_behind_schedule_seconds").set(lag.as_secs_f64());
    }

    fn on_end(&mut self, report: &Report) -> Result<(), ReportError> {
        gauge!("offgridflow_loadtest_valid").set(f64::from(u8::from(report.verdict.is_valid())));
        Ok(())
    }
}
