//! The figures: at a glance, by route, and what failed.

use super::words::{count, grouped, interval, name, percent, quantile, rate, safe, time};
use crate::{
    control::Annotation,
    executor::Model,
    histogram::{Interval, Quantile, as_f64},
    report::{Report, Row, StepRow, Summary, text},
};

/// How many lines of the error ledger are shown; the data has all.
const ERRORS: usize = 50;
/// How much of what was done and said is shown.
const ANNOTATIONS: usize = 200;

/// What everybody asks first.
pub(super) fn cards(report: &Report) -> String {
    let seen = &report.total.response;
    let all = [
        ("p50", seen.p50, seen.intervals.p50),
        ("p95", seen.p95, seen.intervals.p95),
        ("p99", seen.p99, seen.intervals.p99),
        ("p999", seen.p999, seen.intervals.p999),
    ];
    let response = response(report);
    let mut cards: String =
        all.into_iter().map(|(key, at, sure)| time_card(response, key, at, sure)).collect();
    let offered = match report.achieved_share {
        Some(share) => format!(
            "of {}/s offered; {} by the end",
            crate::units::measured_rate(report.offered_per_sec()),
            percent("/achieved_share", share)
        ),
        None => String::new(),
    };
    cards += &card("answered", &rate("/total/rate_per_sec", report.total.rate_per_sec), &offered);
    let total = &report.total;
    let failed = total.failure_ratio().map_or_else(|| "–".into(), |share| format!("{:.3} %", share * 100.0));
    let of = format!("{} of {}", count("/total/failed", total.failed), grouped(total.ok + total.failed));
    cards += &card("failed", &failed, &of);
    format!("<dl class=\"cards\">{cards}</dl>")
}

/// What response times are called: at saturation they are nobody's wait.
fn response(report: &Report) -> &'static str {
    if report.model == Model::Saturation { text::SATURATED } else { "response" }
}

fn time_card(response: &str, key: &str, at: Quantile, sure: Interval) -> String {
    let name = if key == "p999" { "p99.9" } else { key };
    let sure = match sure {
        Interval::Stated { .. } => interval(&format!("/total/response/intervals/{key}"), sure),
        Interval::Refused { .. } => format!("no interval: {}", text::lower(sure).replace('-', "none")),
    };
    card(&format!("{response} {name}"), &quantile(&format!("/total/response/{key}"), at), &sure)
}

fn card(name: &str, value: &str, beside: &str) -> String {
    let beside = if beside.is_empty() { String::new() } else { format!("<small>{beside}</small>") };
    format!("<div><dt>{name}</dt><dd>{value}{beside}</dd></div>")
}

/// The five clocks.
pub(super) fn clocks(report: &Report) -> String {
    let rows = [
        (response(report), "/total/response", &report.total.response),
        ("service", "/total/service", &report.total.service),
        ("admission wait", "/admission_wait", &report.admission_wait),
        ("dispatch lag", "/dispatch_lag", &report.dispatch_lag),
        ("first byte", "/first_byte", &report.first_byte),
    ];
    let rows = rows.into_iter().filter(|(.., seen)| seen.count > 0);
    let rows: String = rows
        .map(|(title, at, seen)| format!("<tr><th scope=\"row\">{title}</th>{}</tr>", times(at, seen)))
        .collect();
    if rows.is_empty() {
        return String::new();
    }
    format!(
        "<section><h2>Where the time went</h2><p class=\"small\">Response is what a user would have waited, from the moment the request was due. For each operation it is dispatch lag (the generator’s own) and \
         admission wait (for a connection or the cap) and service (the target).</p><div class=\"wide\"><table><thead><tr><th></th>{TIMES}</tr></thead><tbody>{rows}</tbody></table></div></section>"
    )
}

const TIMES: &str = "<th class=\"n\">operations</th><th class=\"n\">p50</th><th class=\"n\">p90</th><th class=\"n\">p95</th><th class=\"n\">p99</th><th class=\"n\">p99.9</th><th class=\"n\">longest</th>";

fn times(at: &str, seen: &Summary) -> String {
    let cell = |key: &str, value: Quantile| {
        format!("<td class=\"n\">{}</td>", quantile(&format!("{at}/{key}"), value))
    };
    let longest = seen.max.map_or_else(|| "<td class=\"n\">–</td>".into(), |max| cell("max", max));
    format!(
        "<td class=\"n\">{}</td>{}{}{}{}{}{longest}",
        count(&format!("{at}/count"), seen.count),
        cell("p50", seen.p50),
        cell("p90", seen.p90),
        cell("p95", seen.p95),
        cell("p99", seen.p99),
        cell("p999", seen.p999)
    )
}

pub(super) fn routes(report: &Report) -> String {
    if report.routes.is_empty() {
        return String::new();
    }
    let row = |(at, row): (usize, &Row)| {
        let at = format!("/routes/{at}");
        format!(
            "<tr><th scope=\"row\">{}</th><td class=\"n\">{}</td><td class=\"n\">{}</td>{}</tr>",
            name(&row.route),
            rate(&format!("{at}/rate_per_sec"), row.rate_per_sec),
            count(&format!("{at}/failed"), row.failed),
            times(&format!("{at}/response"), &row.response)
        )
    };
    format!(
        "<section><h2>Routes</h2><div class=\"wide\"><table><thead><tr><th>route</th><th class=\"n\">answered</th><th class=\"n\">failed</th>{TIMES}</tr></thead><tbody>{}</tbody></table></div></section>",
        report.routes.iter().enumerate().map(row).collect::<String>()
    )
}

/// What flows consist of.
pub(super) fn steps(report: &Report) -> String {
    if report.steps.is_empty() {
        return String::new();
    }
    let row = |(at, row): (usize, &StepRow)| {
        let at = format!("/steps/{at}");
        format!(
            "<tr><th scope=\"row\">{}</th><td class=\"n\">{}</td>{}</tr>",
            name(&row.step),
            count(&format!("{at}/failed"), row.failed),
            times(&format!("{at}/service"), &row.service)
        )
    };
    format!(
        "<section><h2>Steps</h2><p class=\"small\">Service times of the requests that flows consist of: a step that begins late because the one before it was slow is late in its flow’s response time.</p><div class=\"wide\"><table><thead><tr><th>step</th><th class=\"n\">failed</th>{TIMES}</tr></thead><tbody>{}</tbody></table></div></section>",
        report.steps.iter().enumerate().map(row).collect::<String>()
    )
}

pub(super) fn errors(report: &Report) -> String {
    let most = as_f64(report.errors.iter().map(|line| line.count).max().unwrap_or(0));
    let shown = report.errors.iter().enumerate().take(ERRORS).map(|(at, line)| {
        format!(
            "<tr><td class=\"n\">{}</td><td><span class=\"bar\" style=\"width:{:.2}rem\"></span></td><th scope=\"row\">{}</th><td>{}</td><td class=\"said\"><bdi>{}</bdi></td></tr>",
            count(&format!("/errors/{at}/count"), line.count),
            8.0 * as_f64(line.count) / most,
            safe(&line.cause),
            name(&line.route),
            safe(&line.message)
        )
    });
    let shown: String = shown.collect();
    if shown.is_empty() {
        return String::new();
    }
    let more = report.errors.len().saturating_sub(ERRORS);
    let more = if more > 0 { format!("<p class=\"small\">and {more} more kinds</p>") } else { String::new() };
    format!(
        "<section><h2>Errors</h2><div class=\"wide\"><table><thead><tr><th class=\"n\">count</th><th></th><th>cause</th><th>route</th><th>the first one said</th></tr></thead><tbody>{shown}</tbody></table></div>{more}</section>"
    )
}

/// What was done to it, and said about it, while it ran.
pub(super) fn steering(report: &Report) -> String {
    if report.annotations.is_empty() {
        return String::new();
    }
    let row = |said: &Annotation| {
        format!(
            "<tr><td class=\"n\">{}</td><th scope=\"row\">{}</th><td>{}</td><td class=\"said\"><bdi>{}</bdi></td></tr>",
            text::short(said.at),
            safe(&said.by),
            safe(&said.what.to_string()),
            safe(&said.text)
        )
    };
    let paused = if report.paused.is_zero() {
        String::new()
    } else {
        format!(" Paused for {} in all: nothing was offered then.", time("/paused_ns", report.paused))
    };
    format!(
        "<section><h2>While it ran</h2><p class=\"small\">Who did and said what.{paused}</p><div class=\"wide\"><table><thead><tr><th class=\"n\">at</th><th>who</th><th>what</th><th>said</th></tr></thead><tbody>{}</tbody></table></div></section>",
        report.annotations.iter().take(ANNOTATIONS).map(row).collect::<String>()
    )
}

pub(super) fn notes(report: &Report) -> String {
    if report.notes.is_empty() {
        return String::new();
    }
    let notes = report.notes.iter().take(ERRORS).map(|note| {
        let chars: Vec<_> = note.chars().collect();
        let parts = chars.chunks(150).take(4).map(|part| safe(&part.iter().collect::<String>()));
        format!("<li class=\"said\">{}</li>", parts.collect::<String>())
    });
    format!("<section><h2>Notes</h2><ul>{}</ul></section>", notes.collect::<String>())
}
