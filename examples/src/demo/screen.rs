use std::fmt::Write as _;

use serde_json::Value;

use super::{Outcome, Paths};

/// Statements shown.
const STATEMENTS: usize = 4;
/// Longest statement text shown.
const TEXT: usize = 62;

/// One screen: what was sent, what came back, what the stack says of itself, and where the rest is.
pub(super) fn draw(outcome: &Outcome, paths: &Paths) -> String {
    // The load test's own report, whose last line is kept for the end.
    let report = outcome.report.to_string();
    let (report, verdict) = report.trim_end().rsplit_once('\n').unwrap_or_default();
    let mut screen = format!("\n{report}\n\n");
    stack(&mut screen, &outcome.performance);
    let path = |taken: &Option<std::path::PathBuf>, failed: &Result<Vec<u8>, String>| {
        let reason = failed.as_ref().err().cloned().unwrap_or_default();
        taken.as_ref().map_or(format!("none: {reason}"), |path| path.display().to_string())
    };
    let _ = writeln!(screen, "\nreport       {}", paths.page.display());
    let _ = writeln!(screen, "as JSON      {}", paths.report.display());
    let _ = writeln!(screen, "flame graph  {}", path(&paths.flamegraph, &outcome.flamegraph));
    let _ = writeln!(screen, "profile      {}", path(&paths.profile, &outcome.profile));
    let _ = writeln!(
        screen,
        "data         {} activities of {} tenants",
        outcome.ingested.activities,
        outcome.ingested.accounts.len()
    );
    let _ = writeln!(screen, "{verdict}");
    screen
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
