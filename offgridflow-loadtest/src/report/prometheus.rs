//! A report in Prometheus' text format.

use std::fmt::{Display, Write};

use super::{Report, Row, Summary, ThresholdStatus};
use crate::histogram::{Quantile, as_f64};

const PREFIX: &str = "offgridflow_loadtest";

impl Report {
    /// The report in Prometheus' text format (0.0.4), for a textfile collector or a push gateway. Times are seconds, `route=""` is all of them. A percentile that falls among
    /// operations that were never answered is `+Inf`, one that is refused for want of samples is left out, and so is a threshold that was not judged.
    #[must_use]
    pub fn to_prometheus(&self) -> String {
        let mut text = Text::default();
        text.family("valid", "gauge", "Whether the numbers can be believed.");
        text.sample("valid", &[], f64::from(u8::from(self.verdict.is_valid())));
        text.family(
            "exit_code",
            "gauge",
            "0 passed, 1 red, 3 not valid or altered, 5 ended by a rule, 130 interrupted.",
        );
        text.sample("exit_code", &[], f64::from(self.exit_code()));
        text.family("verdict", "gauge", "1 for the verdict on the run.");
        text.sample("verdict", &[("is", self.verdict.name())], 1.0);
        text.family("plan_altered", "gauge", "Whether the plan was altered while it ran.");
        text.sample("plan_altered", &[], f64::from(u8::from(self.verdict.altered.is_some())));
        text.family("offered", "gauge", "Operations that the plan wanted.");
        text.sample("offered", &[], as_f64(self.offered));
        if let Some(share) = self.achieved_share {
            text.family(
                "achieved_ratio",
                "gauge",
                "Answered by the end of the schedule, as a share of what was offered.",
            );
            text.sample("achieved_ratio", &[], share);
        }
        let rows: Vec<_> = [&self.total].into_iter().chain(&self.routes).collect();
        text.family("operations", "gauge", "Operations that ended, by route and outcome.");
        for row in &rows {
            text.sample("operations", &[("route", &row.route), ("outcome", "ok")], as_f64(row.ok));
            text.sample("operations", &[("route", &row.route), ("outcome", "failed")], as_f64(row.failed));
        }
        text.family("answers_per_second", "gauge", "Answers a second in the measured part of the plan.");
        rows.iter()
            .for_each(|row| text.sample("answers_per_second", &[("route", &row.route)], row.rate_per_sec));
        text.family("received_bytes", "gauge", "Bytes of payload received.");
        rows.iter()
            .for_each(|row| text.sample("received_bytes", &[("route", &row.route)], as_f64(row.bytes)));
        text.times("response_seconds", "From the intended start to the end.", &rows, |row| &row.response);
        text.times("service_seconds", "From the connection to the end.", &rows, |row| &row.service);
        self.write_steps(&mut text);
        text.all("dispatch_lag_seconds", "The generator's own lag.", &self.dispatch_lag);
        text.all("admission_wait_seconds", "Waiting for a connection or the cap.", &self.admission_wait);
        text.family("failures", "gauge", "Failures by cause and route.");
        for line in &self.errors {
            text.sample("failures", &[("cause", &line.cause), ("route", &line.route)], as_f64(line.count));
        }
        text.family("threshold_met", "gauge", "1 for a threshold that was met, 0 for one that was broken.");
        for result in &self.thresholds {
            let met = match result.status {
                ThresholdStatus::Met => 1.0,
                ThresholdStatus::Broken => 0.0,
                ThresholdStatus::NotJudged => continue,
            };
            text.sample("threshold_met", &[("threshold", &result.threshold)], met);
        }
        text.0
    }

    /// Nothing where operations have no steps.
    fn write_steps(&self, text: &mut Text) {
        if self.steps.is_empty() {
            return;
        }
        text.family("step_operations", "gauge", "Steps of operations that ended, by step and outcome.");
        for row in &self.steps {
            text.sample("step_operations", &[("step", &row.step), ("outcome", "ok")], as_f64(row.ok));
            text.sample("step_operations", &[("step", &row.step), ("outcome", "failed")], as_f64(row.failed));
        }
        text.family("step_service_seconds", "summary", "From the connection to the end of a step.");
        for row in &self.steps {
            text.quantiles("step_service_seconds", Some(("step", &row.step)), &row.service);
        }
    }
}

/// Text in Prometheus' format.
#[derive(Default)]
pub(crate) struct Text(pub(crate) String);

impl Text {
    pub(crate) fn family(&mut self, name: &str, kind: &str, help: &str) {
        let _ = writeln!(self.0, "# HELP {PREFIX}_{name} {help}\n# TYPE {PREFIX}_{name} {kind}");
    }

    pub(crate) fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: f64) {
        let _ = write!(self.0, "{PREFIX}_{name}");
        for (at, (label, value)) in labels.iter().enumerate() {
            let _ = write!(self.0, "{}{label}=\"{}\"", if at == 0 { '{' } else { ',' }, escaped(value));
        }
        let close = if labels.is_empty() { "" } else { "}" };
        let _ = writeln!(self.0, "{close} {}", number(value));
    }

    /// A summary by route.
    fn times(&mut self, name: &str, help: &str, rows: &[&Row], of: fn(&Row) -> &Summary) {
        self.family(name, "summary", help);
        rows.iter().for_each(|row| self.quantiles(name, Some(("route", &row.route)), of(row)));
    }

    /// A summary of all routes together.
    fn all(&mut self, name: &str, help: &str, summary: &Summary) {
        self.family(name, "summary", help);
        self.quantiles(name, None, summary);
    }

    fn quantiles(&mut self, name: &str, label: Option<(&str, &str)>, summary: &Summary) {
        let all = [
            ("0.5", summary.p50),
            ("0.9", summary.p90),
            ("0.95", summary.p95),
            ("0.99", summary.p99),
            ("0.999", summary.p999),
        ];
        let with =
            |more: Option<(&'static str, &'static str)>| label.into_iter().chain(more).collect::<Vec<_>>();
        for (q, quantile) in all {
            let seconds = match quantile {
                Quantile::Value(time) => time.as_secs_f64(),
                Quantile::AtLeast(_) => f64::INFINITY,
                Quantile::Needs(_) => continue,
            };
            self.sample(name, &with(Some(("quantile", q))), seconds);
        }
        self.sample(&format!("{name}_count"), &with(None), as_f64(summary.count));
    }
}

fn escaped(value: &str) -> String {
    value.replace('\\', r"\\").replace('"', r#"\""#).replace('\n', r"\n")
}

fn number(value: f64) -> impl Display {
    if value == f64::INFINITY { "+Inf".to_owned() } else { value.to_string() }
}
