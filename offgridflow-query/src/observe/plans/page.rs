//! The page of an [`Insight`]. Everything that comes from outside is escaped; there is no script.

use super::insight::{Insight, ms};
use crate::observe::stats::StatementStats;
use std::fmt::{Display, Write as _};

const HEAD: &str = "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\">\
<title>Query insight</title><style>:root{color-scheme:light dark}body{font:15px/1.5 system-ui,sans-serif;max-width:75rem;margin:2rem auto;padding:0 1rem}\
table{border-collapse:collapse;width:100%}th,td{padding:.3rem .6rem;border-bottom:1px solid #8884;text-align:right;vertical-align:top}\
th:last-child,td:last-child{text-align:left;width:50%}code,pre{font:13px/1.45 ui-monospace,monospace;white-space:pre-wrap;overflow-wrap:anywhere}\
svg{height:1.4em;width:8em}polyline{fill:none;stroke:currentColor;stroke-width:1.5}summary{cursor:pointer}.bad{color:#c33}</style></head><body><h1>Query insight</h1>";

pub(super) fn of(insight: &Insight) -> String {
    let mut page = HEAD.to_owned();
    statements(&mut page, insight);
    section(&mut page, "Asked again and again (N+1)", &insight.findings, |one| {
        (format!("{} scopes", one.scopes), one.worst.to_string())
    });
    section(&mut page, "Slower with a new plan", &insight.regressions, |one| {
        let head = format!("{:.1} times slower (p = {:.1e}): {}", one.slower.times, one.slower.p, one.text);
        (head, one.diff.to_string())
    });
    section(&mut page, "Advice", &insight.advice, |one| (one.text.clone(), one.advice.to_string()));
    section(&mut page, "Slow executions", &insight.slow, |one| {
        let took = u64::try_from(one.took.as_nanos()).unwrap_or(u64::MAX);
        (format!("{} ms at {}", ms(took), one.at), one.text.clone())
    });
    section(&mut page, "Pools", &insight.pools, |pool| {
        let status = &pool.status;
        let (open, most, waiting) = (status.open, status.max_open, status.waiting);
        let text = format!(
            "{open} of {most} open, {waiting} waiting; waits: p50 {} ms, p95 {} ms",
            ms(status.wait.p50_ns),
            ms(status.wait.p95_ns)
        );
        (pool.name.clone(), text)
    });
    let spent = ms(insight.plans.spent_ns);
    let _ = write!(
        page,
        "<p>{} plans captured, {} refused, {} postponed; {spent} ms spent asking.</p></body></html>",
        insight.plans.captured, insight.plans.refused, insight.plans.postponed
    );
    page
}

fn statements(page: &mut String, insight: &Insight) {
    page.push_str("<h2>Statements by total time</h2><table><thead><tr><th>calls</th><th>total ms</th><th>p50 ms</th><th>p95 ms</th><th>p99 ms</th><th>errors</th><th>rows</th><th>latest</th><th>statement</th></tr></thead><tbody>");
    let other = (insight.statements.other.calls > 0).then_some(&insight.statements.other);
    for stats in insight.statements.statements.iter().take(100).chain(other) {
        row(page, insight, stats);
    }
    page.push_str("</tbody></table>");
}

fn row(page: &mut String, insight: &Insight, stats: &StatementStats) {
    let latency = &stats.latency;
    let figures = [ms(latency.sum_ns), ms(latency.p50_ns), ms(latency.p95_ns), ms(latency.p99_ns)];
    let _ = write!(page, "<tr><td>{}</td><td>{}</td>", stats.calls, figures.join("</td><td>"));
    let errors = if stats.errors > 0 { " class=\"bad\"" } else { "" };
    let detail = insight.detail(stats);
    let spark = detail.map(|detail| sparkline(&detail.recent_ns)).unwrap_or_default();
    let _ = write!(
        page,
        "<td{errors}>{}</td><td>{}</td><td>{spark}</td><td><code>{}</code>",
        stats.errors,
        stats.rows,
        escaped(&stats.text)
    );
    if let Some(plan) = detail.and_then(|detail| detail.plan.as_ref()) {
        let _ = write!(page, "<details><summary>plan</summary><pre>{}</pre></details>", escaped(plan));
    }
    page.push_str("</td></tr>");
}

/// A heading and its entries, each of one line and one text; nothing where there are none.
fn section<T>(page: &mut String, title: &str, entries: &[T], of: impl Fn(&T) -> (String, String)) {
    if entries.is_empty() {
        return;
    }
    let _ = write!(page, "<h2>{title}</h2>");
    for entry in entries {
        let (head, text) = of(entry);
        let _ = write!(
            page,
            "<details open><summary>{}</summary><pre>{}</pre></details>",
            escaped(&head),
            escaped(&text)
        );
    }
}

fn sparkline(recent_ns: &[u64]) -> String {
    let Some(most) = recent_ns.iter().max().filter(|_| recent_ns.len() > 1) else { return String::new() };
    let (across, most) = ((recent_ns.len() - 1) as f64, (*most).max(1) as f64);
    let point = |(at, ns): (usize, &u64)| {
        format!("{:.1},{:.1}", at as f64 / across * 100.0, 19.0 - *ns as f64 / most * 18.0)
    };
    let points: Vec<String> = recent_ns.iter().enumerate().map(point).collect();
    let label = format!(
        "latest {} durations, at most {} ms",
        recent_ns.len(),
        ms(*recent_ns.iter().max().unwrap_or(&0))
    );
    format!(
        "<svg viewBox=\"0 0 100 20\" preserveAspectRatio=\"none\" role=\"img\" aria-label=\"{label}\"><polyline points=\"{}\"/></svg>",
        points.join(" ")
    )
}

fn escaped(text: impl Display) -> String {
    text.to_string().replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
