//! What the run is worth, in plain words, and what decided it.

use super::words::{name, safe};
use crate::{
    report::{Ending, Report, ThresholdResult, ThresholdStatus, text::short},
    verdict::{Limit, Validity},
};

/// How the run came out, in two words, and the colour for it.
pub(super) fn headline(report: &Report) -> (&'static str, &'static str) {
    let broken = report.thresholds.iter().any(|result| result.status == ThresholdStatus::Broken);
    match report.ending {
        Ending::Interrupted => ("interrupted", "open"),
        Ending::Aborted => ("ended by its rule", "bad"),
        _ if !report.verdict.is_valid() => ("not valid", "open"),
        _ if is_down(report) => ("target down", "bad"),
        _ if report.verdict.altered.is_some() => ("plan altered", "open"),
        _ if broken => ("threshold broken", "bad"),
        _ if report.exit_code() == 0 => ("passed", "good"),
        _ => ("not judged", "open"),
    }
}

fn is_down(report: &Report) -> bool {
    report.ending == Ending::NotStarted || matches!(report.verdict.limit, Limit::TargetDown(_))
}

pub(super) fn header(report: &Report) -> String {
    let (word, class) = headline(report);
    let limit = match &report.verdict.limit {
        Limit::NotReached => String::new(),
        Limit::TargetBound(cause) => sentence("The target did not keep up with what was offered", cause),
        Limit::TargetDown(cause) => sentence("The target did not answer, or answered too little", cause),
    };
    let altered = report.verdict.altered.as_ref().map_or_else(String::new, |how| {
        sentence("Its plan was altered while it ran, so no threshold was judged", how)
    });
    let begun = report.environment.as_ref().map_or_else(String::new, |environment| {
        format!(" Begun {}.", super::environment::utc(environment.started_unix_seconds))
    });
    format!(
        "<header class=\"{class}\"><h1>Load test: <span>{word}</span></h1><p>{}</p><p class=\"small\">{}</p>{}{limit}{altered}{}</header>",
        name(&report.target),
        safe(&report.load) + "." + &begun,
        validity(&report.verdict.validity),
        ending(report)
    )
}

fn sentence(said: &str, cause: &str) -> String {
    format!("<p>{said}: <span class=\"said\">{}</span></p>", safe_cause(cause))
}

/// A cause may be a long sentence; it is the reason for the page.
fn safe_cause(cause: &str) -> String {
    let parts: Vec<_> = cause.chars().collect();
    parts.chunks(150).take(4).map(|part| safe(&part.iter().collect::<String>())).collect()
}

fn validity(validity: &Validity) -> String {
    match validity {
        Validity::Valid => "<p>The numbers are the target’s: the generator kept its own schedule.</p>".into(),
        Validity::GeneratorBound(cause) => sentence(
            "The load generator did not keep its own schedule, so these numbers are in part its own and nothing was judged by them",
            cause,
        ),
        Validity::CapBound(cause) => sentence(
            "The cap on operations in flight refused or held back a part of the plan, so what the target does under the whole of it is unknown",
            cause,
        ),
        Validity::Inconclusive(cause) => sentence("Too little happened to judge", cause),
    }
}

fn ending(report: &Report) -> String {
    match (report.ending, &report.aborted) {
        (Ending::Interrupted, _) => format!(
            "<p>It was interrupted after {}: the report is partial, and no threshold was judged.</p>",
            short(report.elapsed)
        ),
        (Ending::Aborted, Some(aborted)) => format!(
            "<p>Its own rule ended it after {}: {}; the report is partial, and no threshold was judged.</p>",
            short(aborted.at),
            safe(&aborted.to_string())
        ),
        (Ending::NotStarted, _) => "<p>The run did not begin.</p>".into(),
        _ => String::new(),
    }
}

/// Everything that has a say in the exit code.
pub(super) fn gates(report: &Report) -> String {
    let valid = report.verdict.is_valid();
    let mut rows = vec![
        row("the run is valid", if valid { MET } else { ("no", "open") }, report.verdict.name()),
        row(
            "the plan was run as it was",
            if report.verdict.altered.is_some() { ("no", "open") } else { MET },
            "",
        ),
        row("its target is up", if is_down(report) { ("no", "bad") } else { MET }, ""),
    ];
    if let Some(aborted) = &report.aborted {
        rows.push(row(&name(&aborted.rule), ("ended the run", "bad"), &safe(&aborted.measured)));
    }
    rows.extend(report.thresholds.iter().take(THRESHOLDS).map(threshold));
    let more = report.thresholds.len().saturating_sub(THRESHOLDS);
    let more =
        if more > 0 { format!("<p class=\"small\">and {more} more thresholds</p>") } else { String::new() };
    format!(
        "<section><h2>Gates</h2><p class=\"small\">What decides the exit code, which is {}.</p><div class=\"wide\"><table><thead><tr><th>gate</th><th>outcome</th><th>measured</th></tr></thead>\
         <tbody>{}</tbody></table></div>{more}</section>",
        report.exit_code(),
        rows.concat()
    )
}

const MET: (&str, &str) = ("met", "good");
const THRESHOLDS: usize = 200;

fn threshold(result: &ThresholdResult) -> String {
    let outcome = match result.status {
        ThresholdStatus::Met => MET,
        ThresholdStatus::Broken => ("broken", "bad"),
        ThresholdStatus::NotJudged => ("not judged", "open"),
    };
    row(&name(&result.threshold), outcome, &safe(&result.measured))
}

fn row(gate: &str, (word, class): (&str, &str), measured: &str) -> String {
    format!(
        "<tr><th scope=\"row\">{gate}</th><td><span class=\"chip {class}\">{word}</span></td><td>{measured}</td></tr>"
    )
}
