//! The page as a whole, and the parts of it that change.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::html::{ago, text};
use super::source::Failure;
use super::{cards, sections};
use crate::overview::{Judgement, Overview};

/// Sections: name, heading, and the class of how much room it takes.
const SECTIONS: [(&str, &str, &str); 9] = [
    ("traffic", "Requests", "tall"),
    ("memory", "Memory", ""),
    ("queue", "Worker queue", ""),
    ("cache", "Cache", ""),
    ("database", "Database connections", ""),
    ("statements", "Statements that took longest in all", "across"),
    ("load", "Last load test", "tall"),
    ("probes", "Probes against their objectives", ""),
    ("incidents", "Incidents", ""),
];
/// How long the oldest job may wait before it is worth a word, in seconds.
const OLD: u64 = 300;
/// How long an incident is news, in seconds.
const RECENT: u64 = 600;

/// The page.
pub(super) fn whole(overview: &Overview) -> String {
    let parts = parts(overview);
    let part = |name: &str| parts.get(name).map_or("", String::as_str);
    let mut page = head("OffGridFlow");
    let _ = write!(
        page,
        "<a class=\"skip\" href=\"#main\">Skip to the figures</a>\n<header><div class=\"title\"><h1>OffGridFlow</h1>\
         <button type=\"button\" id=\"pause\" aria-pressed=\"false\" hidden>Pause updates</button></div>\
         <div id=\"state\">{}</div><p id=\"news\" class=\"unseen\" role=\"status\" aria-live=\"polite\">{}</p>\
         <p id=\"link\" class=\"note\" role=\"status\" aria-live=\"polite\"></p>\
         <noscript><p class=\"note\">Without scripts this page stands still: load it anew for newer figures.</p></noscript></header>\n\
         <main id=\"main\"><section aria-label=\"At a glance\"><dl class=\"cards\" id=\"cards\">{}</dl></section>\n<div class=\"grid\">\n",
        part("state"),
        part("news"),
        part("cards"),
    );
    for (name, heading, class) in SECTIONS {
        let _ = writeln!(
            page,
            "<section class=\"{class}\" aria-labelledby=\"{name}-heading\"><h2 id=\"{name}-heading\">{heading}</h2><div id=\"{name}\">{}</div></section>",
            part(name)
        );
    }
    page.push_str(
        "</div></main>\n<footer><p>More: <a href=\"/debug/pprof/flamegraph?seconds=5\">processor time as a flame graph</a> (takes 5 s) · \
         <a href=\"/api/v1/insight\">every statement, with plans</a></p></footer>\n</body></html>\n",
    );
    page
}

/// What changes, by the name of its place.
pub(super) fn parts(overview: &Overview) -> BTreeMap<&'static str, String> {
    let troubles = troubles(overview);
    BTreeMap::from([
        ("state", state(overview, &troubles)),
        ("news", text(&news(&troubles))),
        ("cards", cards::draw(overview)),
        ("traffic", sections::traffic(&overview.traffic)),
        ("memory", sections::memory(&overview.memory)),
        ("cache", sections::caches(&overview.caches)),
        ("database", sections::database(&overview.gate, &overview.writer)),
        ("statements", sections::statements(&overview.statements)),
        ("probes", sections::probes(&overview.probes)),
        ("queue", sections::queue(overview.queue)),
        ("load", sections::load_test(overview.load_test.as_ref())),
        ("incidents", sections::incidents(&overview.incidents)),
    ])
}

/// What somebody should look at.
fn troubles(overview: &Overview) -> Vec<String> {
    let mut troubles = Vec::new();
    for probe in &overview.probes {
        if matches!(probe.verdict, Judgement::Bad(_)) {
            troubles.push(format!("{} misses its objective", probe.name));
        }
    }
    if overview.memory.shape == "leak" {
        troubles.push("memory leaks".to_owned());
    }
    if overview.caches.iter().any(|cache| cache.outage.is_some()) {
        troubles.push("Redis does not answer".to_owned());
    }
    if let Some(incident) = overview.incidents.iter().find(|incident| incident.age_secs < RECENT) {
        troubles.push(format!("an incident: {}", incident.kind));
    }
    match overview.queue {
        None => troubles.push("the database does not answer".to_owned()),
        Some(queue) if queue.oldest_secs > OLD => {
            troubles.push(format!("the oldest job waits for more than {} minutes", OLD / 60));
        }
        Some(_) => {}
    }
    troubles
}

/// For who listens: changes only when something begins or ends to be amiss.
fn news(troubles: &[String]) -> String {
    if troubles.is_empty() {
        "All is well.".to_owned()
    } else {
        format!("Needs attention: {}.", troubles.join(", "))
    }
}

fn state(overview: &Overview, troubles: &[String]) -> String {
    let (class, sign, word) =
        if troubles.is_empty() { ("good", "✓", "All is well") } else { ("bad", "✗", "Needs attention") };
    let shared = if overview.shared_cache { "cache shared through Redis" } else { "cache in this process" };
    let mut html = format!(
        "<p class=\"line\"><span class=\"chip {class}\"><span aria-hidden=\"true\">{sign}</span> {word}</span> <span>{} · {shared} · up {}</span></p>",
        text(&overview.database),
        ago(overview.uptime_secs)
    );
    if !troubles.is_empty() {
        html.push_str("<ul class=\"troubles\">");
        for trouble in troubles {
            let _ = write!(html, "<li>{}</li>", text(trouble));
        }
        html.push_str("</ul>");
    }
    if overview.development {
        html.push_str(
            "<p class=\"banner\"><strong>Development start: no API keys.</strong> Everybody on this machine is administrator. \
             <code>offgridflow keys issue --admin</code> ends this.</p>",
        );
    }
    html
}

/// A page that says why there is none.
pub(super) fn failure(failure: &Failure) -> String {
    let (title, sentence) = match failure {
        Failure::Refused(status) if status.as_u16() == 401 => (
            "A key is needed",
            "This page shows the whole server. Load it anew, and give any name and an administrator's key as password. Without keys it is served to this machine only.",
        ),
        Failure::Refused(_) => (
            "Not for this key",
            "This page shows the whole server: an administrator's key opens it, a tenant's does not.",
        ),
        Failure::Silent => {
            ("No answer", "The server behind this page does not answer. Load this page anew in a moment.")
        }
    };
    format!("{}<main class=\"failure\"><h1>{title}</h1><p>{sentence}</p></main></body></html>\n", head(title))
}

fn head(title: &str) -> String {
    format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
         <meta name=\"color-scheme\" content=\"light dark\"><title>{title}</title><link rel=\"icon\" href=\"data:,\">\
         <link rel=\"stylesheet\" href=\"/page.css\"><script src=\"/page.js\" defer></script></head>\n<body>\n"
    )
}
