//! Two reports that were saved: what can be said of them, and what cannot.

use std::fmt::Write;

use crate::{
    histogram::Interval,
    report::{
        Report,
        text::{quantile, short},
    },
};

/// Two reports beside each other, in words: their percentiles with intervals, what else differs between the runs, and what nobody can know from
/// them. There is no verdict: two runs at two times differ by what their machines did then, and no statistics of theirs tells that from
/// what the targets did. [`Compare`](super::Compare) runs both in turn, which does.
#[must_use]
pub fn compare_saved(a: &Report, b: &Report) -> String {
    let mut text = String::new();
    let _ = writeln!(text, "              {:>24}  {:>24}", "A", "B");
    let (one, two) = (&a.total.response, &b.total.response);
    let rows = [
        ("p50", (one.p50, one.intervals.p50), (two.p50, two.intervals.p50)),
        ("p95", (one.p95, one.intervals.p95), (two.p95, two.intervals.p95)),
        ("p99", (one.p99, one.intervals.p99), (two.p99, two.intervals.p99)),
    ];
    for (name, (a, of_a), (b, of_b)) in rows {
        let cell = |at, interval| format!("{}{}", quantile(at), between(interval));
        let change = a.value().zip(b.value()).map_or_else(String::new, |(a, b)| {
            format!("  {:+.1} %", (b.as_secs_f64() / a.as_secs_f64().max(1e-9) - 1.0) * 100.0)
        });
        let _ = writeln!(text, "{name:<12}  {:>24}  {:>24}{change}", cell(a, of_a), cell(b, of_b));
    }
    let rate = |report: &Report| format!("{:.1}/s", report.total.rate_per_sec);
    let failed = |report: &Report| format!("{:.2} %", report.total.failure_ratio().unwrap_or(0.0) * 100.0);
    let _ = writeln!(text, "answered      {:>24}  {:>24}", rate(a), rate(b));
    let _ = writeln!(text, "failed        {:>24}  {:>24}", failed(a), failed(b));
    let _ = writeln!(text, "verdict       {:>24}  {:>24}", a.verdict.name(), b.verdict.name());
    for difference in differences(a, b) {
        let _ = writeln!(text, "differs       {difference}");
    }
    text + "finding       none: an interval tells where another run like that one would lie, at that time and on that machine. These ran at two times, and what changed \
            between them beside the target is in neither report. `compare` with two targets runs them in turn, which can tell\n"
}

fn between(interval: Interval) -> String {
    match interval {
        Interval::Stated { low, high } => {
            format!(" ({}…{})", short(low), high.map_or_else(|| "?".into(), short))
        }
        Interval::Refused { .. } => " (no interval)".into(),
    }
}

/// What is not the same in both runs, beside what was measured.
fn differences(a: &Report, b: &Report) -> Vec<String> {
    let place = |report: &Report| match &report.environment {
        Some(found) => format!("{}, {}", found.system, found.processor.as_deref().unwrap_or("?")),
        None => "virtual time".into(),
    };
    let pairs = [
        ("target", a.target.clone(), b.target.clone()),
        ("load", a.load.clone(), b.load.clone()),
        ("seed", a.seed.to_string(), b.seed.to_string()),
        ("tool", a.version.clone(), b.version.clone()),
        ("machine", place(a), place(b)),
    ];
    let differ = pairs.into_iter().filter(|(_, one, two)| one != two);
    let mut all: Vec<_> = differ.map(|(name, one, two)| format!("{name}: {one} against {two}")).collect();
    if let Some((one, two)) = a.environment.as_ref().zip(b.environment.as_ref()) {
        let apart = one.started_unix_seconds.abs_diff(two.started_unix_seconds);
        all.push(format!("time: they began {apart} s apart"));
    }
    all
}
