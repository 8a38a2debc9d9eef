//! The figures one looks at first.

use std::fmt::Write;

use super::html::{bytes, count, ms_or_dash, percent, rate, text};
use crate::overview::Overview;

pub(super) fn draw(overview: &Overview) -> String {
    let now = &overview.traffic.now;
    let p95_note = if now.p95_ms.is_some() {
        format!("of {} requests", count(now.requests))
    } else {
        format!("needs 59 requests, has {}", count(now.requests))
    };
    let (hits, asked) = overview
        .caches
        .iter()
        .fold((0, 0), |(hits, asked), cache| (hits + cache.near + cache.shared, asked + cache.asked));
    let hit_ratio = (asked > 0).then(|| hits as f64 / asked as f64);
    let gate = &overview.gate;
    let queue = overview.queue.map_or_else(|| "?".to_owned(), |queue| count(queue.depth));
    let memory = &overview.memory;
    let cards = [
        ("Requests a second", rate(now.rate_per_sec), "over 10 s".to_owned()),
        ("p95", ms_or_dash(now.p95_ms), p95_note),
        ("Cache hits", percent(hit_ratio), format!("of {} reads", count(asked))),
        (
            "Connections",
            format!("{} / {}", gate.in_use, gate.max_open),
            format!("in use, {} wait", gate.waiting),
        ),
        ("Memory", bytes(memory.resident_bytes), text(&memory.shape)),
        ("Jobs", queue, "wait or are under way".to_owned()),
    ];
    let mut html = String::new();
    for (name, figure, note) in cards {
        let _ = write!(html, "<div><dt>{name}</dt><dd>{figure} <small>{note}</small></dd></div>");
    }
    html
}
