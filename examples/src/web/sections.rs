//! The sections of the page.

use std::fmt::Write;

use super::html::{ago, bytes, chip, count, ms, ms_or_dash, percent, rate, text};
use super::plot::Plot;
use crate::overview::{
    CacheView, GateView, IncidentView, Judgement, LoadTestView, MemoryView, ProbeView, QueueView,
    StatementView, TrafficView, WriterView,
};

/// A table that scrolls by itself, with its caption; `rows` are whole rows.
fn table(caption: &str, heads: &[(&str, bool)], rows: &str) -> String {
    let mut html = format!(
        "<div class=\"wide\" tabindex=\"0\" role=\"region\" aria-label=\"{caption}\"><table><caption>{caption}</caption><thead><tr>"
    );
    for (head, number) in heads {
        let class = if *number { " class=\"n\"" } else { "" };
        let _ = write!(html, "<th scope=\"col\"{class}>{head}</th>");
    }
    let _ = write!(html, "</tr></thead><tbody>{rows}</tbody></table></div>");
    html
}

pub(super) fn traffic(traffic: &TrafficView) -> String {
    let at = |index: usize| 2.0 * index as f64;
    let rates: Vec<_> = traffic
        .course
        .iter()
        .enumerate()
        .map(|(index, point)| (at(index), Some(point.rate_per_sec)))
        .collect();
    let p95s: Vec<_> =
        traffic.course.iter().enumerate().map(|(index, point)| (at(index), point.p95_ms)).collect();
    let ends = || [format!("{} ago", ago(2 * traffic.course.len() as u64)), "now".to_owned()];
    let rate_plot = Plot {
        name: "Requests a second",
        sentence: format!("{} now", rate(traffic.now.rate_per_sec)),
        points: &rates,
        marks: &[],
        unit: rate,
        ends: ends(),
        from_zero: true,
    };
    let p95_plot = Plot {
        name: "95th percentile of the response time",
        sentence: format!("{} now", ms_or_dash(traffic.now.p95_ms)),
        points: &p95s,
        marks: &[(100.0, "100 ms: the objective")],
        unit: ms,
        ends: ends(),
        from_zero: true,
    };
    format!(
        "<h3>Requests a second</h3>{}<h3>p95 of the response time</h3>{}",
        rate_plot.svg(),
        p95_plot.svg()
    )
}

pub(super) fn memory(memory: &MemoryView) -> String {
    let judged = match memory.shape.as_str() {
        "leak" => Judgement::Bad("leak".to_owned()),
        "unknown" => Judgement::Open("unknown".to_owned()),
        shape => Judgement::Good(shape.to_owned()),
    };
    let points: Vec<_> = memory.course.iter().map(|(at, bytes)| (*at, Some(*bytes as f64))).collect();
    let span = memory.course.last().map_or(0.0, |(at, _)| *at);
    let limit: Vec<(f64, &str)> = memory.limit_bytes.iter().map(|limit| (*limit as f64, "limit")).collect();
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "seconds, and bytes that were whole numbers before"
    )]
    let (seconds, unit) = (span as u64, |value: f64| bytes(value as u64));
    let plot = Plot {
        name: "Memory in use",
        sentence: format!("{} resident now", bytes(memory.resident_bytes)),
        points: &points,
        marks: &limit,
        unit,
        ends: [format!("{} ago", ago(seconds)), "now".to_owned()],
        from_zero: false,
    };
    let limit =
        memory.limit_bytes.map_or_else(|| "no limit".to_owned(), |limit| format!("limit {}", bytes(limit)));
    format!(
        "<p>{} {}</p>{}<p class=\"note\">Plotted is what is in use, without files' pages, over the span that was seen. {} resident, {limit}.</p>",
        chip(&judged),
        text(
            memory
                .why
                .strip_prefix(memory.shape.as_str())
                .unwrap_or(&memory.why)
                .trim_start_matches([':', ' '])
        ),
        plot.svg(),
        bytes(memory.resident_bytes)
    )
}

pub(super) fn caches(caches: &[CacheView]) -> String {
    let share = |part: u64, asked: u64| percent((asked > 0).then(|| part as f64 / asked as f64));
    let mut rows = String::new();
    for cache in caches {
        let _ = write!(
            rows,
            "<tr><th scope=\"row\">{}</th><td class=\"n\">{}</td><td class=\"n\">{}</td><td class=\"n\">{}</td><td class=\"n\">{}</td><td class=\"n\">{}</td></tr>",
            text(&cache.name),
            count(cache.asked),
            percent(cache.hit_ratio),
            share(cache.near, cache.asked),
            share(cache.shared, cache.asked),
            count(cache.loads)
        );
    }
    let heads =
        [("Cache", false), ("Reads", true), ("Hits", true), ("Near", true), ("Redis", true), ("Loads", true)];
    let mut html = table("Reads by the tier that answered them", &heads, &rows);
    for cache in caches {
        let _ = write!(html, "{}", bars(cache));
    }
    if let Some(outage) = caches.iter().find_map(|cache| cache.outage.as_ref()) {
        let _ = write!(html, "<p>{} {}</p>", chip(&Judgement::Bad("Redis".to_owned())), text(outage));
    }
    html
}

/// The shares as one bar, whose parts differ in their pattern too.
fn bars(cache: &CacheView) -> String {
    if cache.asked == 0 {
        return String::new();
    }
    let share = |part: u64| 100.0 * part as f64 / cache.asked as f64;
    let (near, shared) = (share(cache.near), share(cache.shared));
    let name = text(&cache.name);
    format!(
        "<figure class=\"share\"><svg viewBox=\"0 0 100 6\" preserveAspectRatio=\"none\" role=\"img\" aria-label=\"{name}: {near:.0} % near, {shared:.0} % Redis, {0:.0} % loaded or waited for\">\
         <rect class=\"rest\" width=\"100\" height=\"6\"/><rect class=\"near\" width=\"{near:.2}\" height=\"6\"/><rect class=\"redis\" x=\"{near:.2}\" width=\"{shared:.2}\" height=\"6\"/></svg>\
         <figcaption>{name}: <span class=\"key near\"></span>near {near:.0} % <span class=\"key redis\"></span>Redis {shared:.0} % <span class=\"key rest\"></span>loaded or waited for {0:.0} %</figcaption></figure>",
        (100.0 - near - shared).max(0.0)
    )
}

pub(super) fn database(gate: &GateView, writer: &WriterView) -> String {
    let figures = [
        ("In use", format!("{} of {}", gate.in_use, gate.max_open)),
        ("Idle", gate.idle.to_string()),
        ("Callers that wait", gate.waiting.to_string()),
        ("Wait, p95", ms(gate.wait_p95_ms)),
        ("Gave up", count(gate.timeouts)),
        ("Rows committed", count(writer.committed)),
        ("Rows queued", count(writer.queued)),
        ("Rows rejected", count(writer.rejected)),
        ("Flushes", count(writer.flushes)),
    ];
    let mut html = "<dl class=\"figures\">".to_owned();
    for (name, figure) in figures {
        let _ = write!(html, "<div><dt>{name}</dt><dd>{figure}</dd></div>");
    }
    html + "</dl>"
}

pub(super) fn statements(statements: &[StatementView]) -> String {
    if statements.is_empty() {
        return "<p class=\"empty\">None yet.</p>".to_owned();
    }
    let mut rows = String::new();
    for one in statements {
        let _ = write!(
            rows,
            "<tr><th scope=\"row\"><code>{}</code></th><td class=\"n\">{}</td><td class=\"n\">{}</td><td class=\"n\">{}</td><td class=\"n\">{}</td><td class=\"n\">{}</td></tr>",
            text(&one.text),
            count(one.calls),
            ms(one.p50_ms),
            ms(one.p95_ms),
            ms(one.total_ms),
            count(one.errors)
        );
    }
    let heads = [
        ("Statement", false),
        ("Calls", true),
        ("p50", true),
        ("p95", true),
        ("In all", true),
        ("Failed", true),
    ];
    table("Statements without their values", &heads, &rows)
}

pub(super) fn probes(probes: &[ProbeView]) -> String {
    let mut rows = String::new();
    for probe in probes {
        let _ = write!(
            rows,
            "<tr><th scope=\"row\">{}</th><td>{}</td><td>{}</td><td class=\"n\">{}</td><td class=\"n\">{}</td><td class=\"n\">{}</td></tr>",
            text(&probe.name),
            text(&probe.objective),
            chip(&probe.verdict),
            ms_or_dash(probe.p50_ms),
            ms_or_dash(probe.at_quantile_ms),
            count(probe.failures)
        );
    }
    let heads = [
        ("Probe", false),
        ("Objective", false),
        ("Verdict", false),
        ("p50", true),
        ("At it", true),
        ("Failed", true),
    ];
    table("Probes that run beside the load", &heads, &rows)
}

pub(super) fn queue(queue: Option<QueueView>) -> String {
    match queue {
        None => "<p>The database did not say in time.</p>".to_owned(),
        Some(QueueView { depth: 0, .. }) => "<p>Empty: nothing is to be recalculated.</p>".to_owned(),
        Some(QueueView { depth, oldest_secs }) => format!(
            "<dl class=\"figures\"><div><dt>Jobs</dt><dd>{}</dd></div><div><dt>The oldest waits</dt><dd>{}</dd></div></dl>",
            count(depth),
            ago(oldest_secs)
        ),
    }
}

pub(super) fn load_test(load_test: Option<&LoadTestView>) -> String {
    let Some(load) = load_test else {
        return "<p class=\"empty\">No report yet. <code>--load-report FILE</code> names the one to show; <code>make demo</code> writes one.</p>".to_owned();
    };
    let mut rows = String::new();
    for (threshold, outcome, measured) in &load.thresholds {
        let _ = write!(
            rows,
            "<tr><th scope=\"row\"><code>{}</code></th><td>{}</td><td>{}</td></tr>",
            text(threshold),
            chip(outcome),
            text(measured)
        );
    }
    format!(
        "<p>{} {}</p><dl class=\"figures\"><div><dt>Answered</dt><dd>{} a second</dd></div><div><dt>p95 of the response</dt><dd>{}</dd></div>\
         <div><dt>Well, and failed</dt><dd>{} / {}</dd></div><div><dt>Ended</dt><dd>{} ago</dd></div></dl>{}<p class=\"note\">{}</p>",
        chip(&load.verdict),
        text(&load.load),
        rate(load.rate_per_sec),
        text(&load.p95),
        count(load.ok),
        count(load.failed),
        ago(load.age_secs),
        table("Its thresholds", &[("Threshold", false), ("Outcome", false), ("Measured", false)], &rows),
        text(&load.target)
    )
}

pub(super) fn incidents(incidents: &[IncidentView]) -> String {
    if incidents.is_empty() {
        return "<p class=\"empty\">None: no trigger has fired.</p>".to_owned();
    }
    let mut html = "<ul class=\"incidents\">".to_owned();
    for one in incidents {
        let id = text(&one.id);
        let _ = write!(
            html,
            "<li><a id=\"incident-{id}\" href=\"/debug/pprof/incidents/{id}\">{}, {} ago</a> · <a id=\"flame-{id}\" href=\"{}\">flame graph<span class=\"unseen\"> of {id}</span></a><br>{}</li>",
            text(&one.kind),
            ago(one.age_secs),
            text(&one.flame_graph),
            text(&one.why)
        );
    }
    html + "</ul><p class=\"note\">Each page has what was before, who may be to blame, and where the time went.</p>"
}
