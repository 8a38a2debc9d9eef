use std::fmt::Write as _;

use offgridflow_loadtest::{Quantile, Report, Row, Summary};
use serde_json::Value;

use super::{Outcome, Paths};

/// Statements shown.
const STATEMENTS: usize = 4;
/// Longest statement text shown.
const TEXT: usize = 62;

/// One screen: what was sent, what came back, what the stack says of itself, and where the rest is.
pub(super) fn draw(outcome: &Outcome, paths: &Paths) -> String {
    let mut screen = String::from("\n");
    load(&mut screen, &outcome.report);
    stack(&mut screen, &outcome.performance);
    let path = |taken: &Option<std::path::PathBuf>, failed: &Result<Vec<u8>, String>| {
        let reason = failed.as_ref().err().cloned().unwrap_or_default();
        taken.as_ref().map_or(format!("none: {reason}"), |path| path.display().to_string())
    };
    let _ = writeln!(screen, "\nreport       {}", paths.report.display());
    let _ = writeln!(screen, "flame graph  {}", path(&paths.flamegraph, &outcome.flamegraph));
    let _ = writeln!(screen, "profile      {}", path(&paths.profile, &outcome.profile));
    let _ = writeln!(
        screen,
        "data         {} activities of {} tenants",
        outcome.ingested.activities,
        outcome.ingested.tenants.len()
    );
    let cause = outcome.report.verdict.cause().map(|cause| format!(" ({cause})")).unwrap_or_default();
    let _ = writeln!(screen, "verdict: {}{cause}", outcome.report.verdict.name());
    screen
}

fn load(screen: &mut String, report: &Report) {
    let achieved =
        report.achieved_share.map(|share| format!(", achieved {:.2} %", share * 100.0)).unwrap_or_default();
    let _ = writeln!(
        screen,
        "throughput   {:.1}/s answered of {:.1}/s offered{achieved}, {} requests",
        report.total.rate_per_sec,
        report.offered_per_sec(),
        report.offered
    );
    let _ = writeln!(screen, "{:34} {:>9} {:>10} {:>10} {:>10}", "", "samples", "p50", "p95", "p99");
    row(screen, "response (from the intended start)", &report.total.response);
    row(screen, "service", &report.total.service);
    row(screen, "dispatch lag (the generator's own)", &report.dispatch_lag);
    for Row { route, response, .. } in &report.routes {
        row(screen, &format!("  {route}"), response);
    }
    let failed = report.total.failed;
    let _ = writeln!(screen, "errors       {failed} of {} requests", report.total.ok + failed);
    for error in &report.errors {
        let _ = writeln!(screen, "  {} x {} on {}: {}", error.count, error.cause, error.route, error.message);
    }
}

fn row(screen: &mut String, name: &str, summary: &Summary) {
    let [p50, p95, p99] = [summary.p50, summary.p95, summary.p99].map(shown);
    let _ = writeln!(screen, "{name:34} {:>9} {p50:>10} {p95:>10} {p99:>10}", summary.count);
}

fn shown(quantile: Quantile) -> String {
    match quantile {
        Quantile::Value(time) => format!("{:.2} ms", time.as_secs_f64() * 1e3),
        Quantile::AtLeast(time) => format!("≥ {:.0} ms", time.as_secs_f64() * 1e3),
        Quantile::Needs(samples) => format!("needs {samples}"),
    }
}

fn stack(screen: &mut String, performance: &Value) {
    for (name, title) in [("totals", "cache        totals"), ("factors", "             factors")] {
        let figures = &performance["cache"][name];
        let ratio = figures["hit_ratio"]
            .as_f64()
            .map_or("nothing asked".to_owned(), |ratio| format!("{:.2} % hits", ratio * 100.0));
        let _ = writeln!(screen, "{title:20} {ratio} of {} reads", figures["asked"]);
    }
    let (pool, writer) = (&performance["pool"], &performance["writer"]);
    let wait = &pool["wait"];
    let _ = writeln!(
        screen,
        "pool         {} acquired, waits p50 {} p95 {} p99 {}, {} timeouts",
        pool["acquired"],
        nanos(&wait["p50_ns"]),
        nanos(&wait["p95_ns"]),
        nanos(&wait["p99_ns"]),
        pool["timeouts"]
    );
    let _ = writeln!(
        screen,
        "writer       {} rows committed in {} flushes, {} rejected, {} returned",
        writer["committed"], writer["flushes"], writer["rejected"], writer["returned"]
    );
    let _ = writeln!(screen, "statements, slowest by total time");
    for statement in performance["statements"].as_array().into_iter().flatten().take(STATEMENTS) {
        let text: String = statement["text"].as_str().unwrap_or_default().chars().take(TEXT).collect();
        let latency = &statement["latency"];
        let _ = writeln!(
            screen,
            "  {:>7} x  p50 {:>9}  p95 {:>9}  {text}",
            statement["calls"],
            nanos(&latency["p50_ns"]),
            nanos(&latency["p95_ns"])
        );
    }
    let reading = &performance["memory"]["reading"];
    let resident = reading["rss_bytes"].as_f64().unwrap_or(0.0) / 1_048_576.0;
    let verdict = performance["memory"]["verdict"]["why"].as_str().unwrap_or("none");
    let _ = writeln!(screen, "memory       {resident:.1} MiB resident; {verdict}");
}

fn nanos(value: &Value) -> String {
    value.as_f64().map_or("–".to_owned(), |nanos| format!("{:.3} ms", nanos / 1e6))
}
