use std::fmt::Write;

use super::answer::{Answer, Refusal, html};
use super::query::Query;
use super::service::Shared;
use crate::incident::text;

/// Addresses and what they give.
const ADDRESSES: [(&str, &str); 18] = [
    ("profile?seconds=10", "CPU time, in pprof's format; <code>hz=</code>"),
    ("flamegraph?seconds=10", "the same as a flame graph; <code>profile=heap</code>, …"),
    (
        "heap",
        "what holds memory, by site; <code>seconds=</code>: what was added in that time; <code>debug=1</code>: text",
    ),
    ("allocs", "what was allocated, by site"),
    ("goroutine?debug=1", "tasks by the place that started them; <code>debug=2</code>: with polls and ages"),
    ("block?debug=1", "waits by the place that waited"),
    ("mutex?debug=1", "those that were for a lock"),
    ("threadcreate?debug=1", "threads by name"),
    ("trace", "501: says why"),
    ("cmdline", "the program"),
    ("symbol", "names of addresses"),
    ("memory", "readings, the verdict, and what stands behind them"),
    ("windows", "profiles that were kept; <code>profile=cpu&amp;seconds=120</code>: one of them all"),
    ("diff?debug=1", "what changed in CPU time: <code>recent=60&amp;before=600</code>"),
    ("incidents", "captures"),
    ("health", "what works here, and why triggers do not fire"),
    ("goroutine", "tasks, in pprof's format"),
    ("block", "waits, in pprof's format"),
];

/// `/`: the addresses. Links are whole paths, which hold where the service is nested at `/debug/pprof`.
pub(super) fn show(shared: &Shared, query: Option<&str>) -> Result<Answer, Refusal> {
    Query::read(query, &["debug"])?;
    let mut page = "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>/debug/pprof/</title></head><body><h1>/debug/pprof/</h1><table>".to_owned();
    for (address, words) in ADDRESSES {
        let link = text(address);
        let _ = write!(page, "<tr><td><a href=\"/debug/pprof/{link}\">{link}</a></td><td>{words}</td></tr>");
    }
    let caps = text(&shared.profiler.caps().to_string());
    let _ = write!(page, "</table><p>{}</p><pre>{caps}</pre>", text(&shared.profiler.memory().verdict.why));
    for incident in shared.profiler.incidents() {
        let (id, why) = (text(&incident.id), text(&incident.why));
        let _ = write!(page, "<p><a href=\"/debug/pprof/incidents/{id}\">{id}</a> {why}</p>");
    }
    page.push_str("</body></html>\n");
    Ok(html(page))
}
