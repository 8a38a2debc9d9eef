use std::fmt::Write;

use super::{BurnAlert, DeployVerdict, ProbeReport, SloVerdict};

/// Reports in Prometheus' text format, version 0.0.4: each metric with its help, its type, and a line a probe. What is not known has no line.
///
/// ```
/// # use std::time::Duration;
/// # use offgridflow_bench::service::{BenchService, Objective, probe_fn, prometheus};
/// # #[tokio::main(flavor = "current_thread", start_paused = true)] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let lookup = probe_fn("look \"up\"", || async { Ok(()) });
/// let service = BenchService::builder().probe(lookup, Objective::p95(Duration::from_millis(2))).start()?;
/// let text = prometheus(&service.snapshot());
/// assert!(text.contains("offgridflow_bench_probe_limit_seconds{probe=\"look \\\"up\\\"\",percentile=\"95\"} 0.002\n"));
/// assert!(text.contains("offgridflow_bench_probe_verdict{probe=\"look \\\"up\\\"\",verdict=\"not-enough-data\"} 1\n"));
/// # Ok(()) }
/// ```
#[must_use]
pub fn prometheus(reports: &[ProbeReport]) -> String {
    let mut text = String::new();
    metric(&mut text, reports, ("runs_total", "counter", "Runs since the start."), |report, line| {
        line("", report.runs as f64);
    });
    metric(
        &mut text,
        reports,
        ("failures_total", "counter", "Runs that failed, panicked or were given up."),
        |report, line| line("", report.failures as f64),
    );
    metric(
        &mut text,
        reports,
        ("seconds", "gauge", "Percentiles of the runs in the window."),
        |report, line| {
            let quantile = report.objective.quantile;
            let known = [(0.5, report.p50), (quantile, report.at_quantile)];
            for (quantile, took) in known.into_iter().filter_map(|(of, took)| Some((of, took?))) {
                line(&percentile(quantile), took.as_secs_f64());
            }
        },
    );
    metric(
        &mut text,
        reports,
        ("limit_seconds", "gauge", "What the objective's percentile should not exceed."),
        |report, line| {
            line(&percentile(report.objective.quantile), report.objective.limit.as_secs_f64());
        },
    );
    metric(
        &mut text,
        reports,
        ("verdict", "gauge", "1 for what the window says of the objective, 0 for what it does not."),
        |report, line| {
            for word in ["met", "breached", "inconclusive", "not-enough-data"] {
                line(&format!("verdict=\"{word}\""), f64::from(u8::from(word == verdict(report.verdict))));
            }
        },
    );
    metric(
        &mut text,
        reports,
        ("burn_rate", "gauge", "How fast the budget of slow runs is spent; 1 is as the objective allows."),
        |report, line| {
            let of = report.burn;
            let windows =
                [("5m", of.minutes_5), ("30m", of.minutes_30), ("1h", of.hours_1), ("6h", of.hours_6)];
            for (window, rate) in windows.into_iter().filter_map(|(window, rate)| Some((window, rate?))) {
                line(&format!("window=\"{window}\""), rate);
            }
        },
    );
    metric(
        &mut text,
        reports,
        ("burn_alert", "gauge", "1 where two windows agree that the budget goes too fast."),
        |report, line| {
            for (word, alert) in [("fast", BurnAlert::Fast), ("slow", BurnAlert::Slow)] {
                let raised = report.burn.alert == Some(alert);
                line(&format!("speed=\"{word}\""), f64::from(u8::from(raised)));
            }
        },
    );
    metric(
        &mut text,
        reports,
        (
            "slower_than_last_build",
            "gauge",
            "1 where this build is slower than the one that the reference is of.",
        ),
        |report, line| match report.deploy {
            DeployVerdict::NotSlower { .. } => line("", 0.0),
            DeployVerdict::Slower { .. } => line("", 1.0),
            DeployVerdict::NoReference | DeployVerdict::EnvironmentSuspect => {}
        },
    );
    metric(
        &mut text,
        reports,
        ("put_off_total", "counter", "Rounds that came later because the machine was busy."),
        |report, line| line("", report.put_off as f64),
    );
    text
}

/// One metric: name, kind and help, and what `lines` has to say of each report: further labels and a value.
fn metric(
    text: &mut String,
    reports: &[ProbeReport],
    (name, kind, help): (&str, &str, &str),
    lines: impl Fn(&ProbeReport, &mut dyn FnMut(&str, f64)),
) {
    let name = format!("offgridflow_bench_probe_{name}");
    let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}"); // a String takes all
    for report in reports {
        let probe = escaped(&report.name);
        lines(report, &mut |labels, value| {
            let comma = if labels.is_empty() { "" } else { "," };
            let _ = writeln!(text, "{name}{{probe=\"{probe}\"{comma}{labels}}} {value}");
        });
    }
}

/// Not `quantile`: that label is a summary's.
fn percentile(quantile: f64) -> String {
    format!("percentile=\"{}\"", (quantile * 1e5).round() / 1e3)
}

fn verdict(verdict: SloVerdict) -> &'static str {
    match verdict {
        SloVerdict::Met => "met",
        SloVerdict::Breached => "breached",
        SloVerdict::Inconclusive => "inconclusive",
        SloVerdict::NotEnoughData { .. } => "not-enough-data",
    }
}

/// A label's value, as the format asks.
fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}
