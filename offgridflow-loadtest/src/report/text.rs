//! A report on one screen.

use std::{fmt, time::Duration};

use super::{
    Ending, Intervals, Report, Summary, ThresholdStatus,
    gates::ratio,
    width::{column, fit, one_line, width as columns_of},
};
use crate::{
    control::{Annotation, Event},
    executor::Model,
    histogram::{Interval, Quantile},
    stats::BandReason,
    units::measured_rate,
};

/// What response times are called that are nobody's wait.
pub(super) const SATURATED: &str = "closed-loop response";
/// How many lines of the error ledger are shown; JSON has all.
const ERRORS_SHOWN: usize = 10;
/// How much of what was done and said while it ran is shown; JSON has all.
const ANNOTATIONS_SHOWN: usize = 20;
/// How many of the slowest operations are named with their traces.
const TRACES_SHOWN: usize = 5;
/// Columns of the ledger: a cause, a route, what was said.
const CAUSE: (usize, usize) = (12, 24); // at least, at most
const ROUTE: (usize, usize) = (14, 40);
const MESSAGE: usize = 100;

pub(crate) fn write(report: &Report, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    head(report, f)?;
    if report.ending != Ending::NotStarted {
        tables(report, f)?;
    }
    generator(report, f)?;
    errors(report, f)?;
    traces(report, f)?;
    thresholds(report, f)?;
    for note in &report.notes {
        writeln!(f, "note: {}", one_line(note))?;
    }
    if report.ending == Ending::Interrupted {
        writeln!(
            f,
            "interrupted after {}: the report is partial, thresholds were not judged",
            short(report.elapsed)
        )?;
    }
    if let Some(aborted) = &report.aborted {
        writeln!(
            f,
            "aborted after {}: {}; the report is partial, thresholds were not judged",
            short(aborted.at),
            one_line(&aborted.to_string())
        )?;
    }
    writeln!(f, "verdict: {}", one_line(&report.verdict.to_string()))
}

fn head(report: &Report, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    writeln!(f, "target      {}", one_line(&report.target))?;
    writeln!(f, "load        {}", report.load)?;
    let total = &report.total;
    let longer = report.elapsed.saturating_sub(report.planned);
    let drained = if longer > report.planned / 100 {
        format!(", then {} of draining", short(longer))
    } else {
        String::new()
    };
    if let Some(share) = report.achieved_share {
        writeln!(
            f,
            "rate        offered {}/s, answered {}/s over {}, {:.2}% by the end of the schedule{drained}",
            measured_rate(report.offered_per_sec()),
            measured_rate(total.rate_per_sec),
            short(report.measured_window()),
            share * 100.0
        )?;
    } else {
        writeln!(
            f,
            "rate        answered {}/s over {}{drained}",
            measured_rate(total.rate_per_sec),
            short(report.measured_window())
        )?;
    }
    if report.warm_up[0] > 0 {
        let [begun, failed] = report.warm_up;
        writeln!(
            f,
            "warm-up     {} in the first {}, {failed} failed, not measured",
            operations(begun),
            short(report.measured_from)
        )?;
    }
    steering(report, f)?;
    let unsent = if report.unsent > 0 { format!(", {} never sent", report.unsent) } else { String::new() };
    let unanswered = (total.ok + total.failed).saturating_sub(total.answered);
    let failed = total.failure_ratio().map_or(String::new(), |ratio| format!(" ({:.3}%)", ratio * 100.0));
    writeln!(
        f,
        "operations  {} begun{unsent}, {} ok, {} failed{failed}, {} unanswered, {} received",
        report.dispatched,
        total.ok,
        total.failed,
        unanswered,
        bytes(total.bytes)
    )?;
    if let Some(deadline) = report.deadline {
        let all = total.ok + total.failed;
        let missed =
            ratio(report.late + unanswered, all).map_or_else(|| "-".into(), |share| format!("{share:.3}%"));
        let shed = if report.shed > 0 { format!(" ({} of them shed)", report.shed) } else { String::new() };
        writeln!(
            f,
            "deadline    {}: {} answered after it, {unanswered} never answered{shed}: late_ratio {missed}",
            short(deadline),
            report.late,
        )?;
    }
    Ok(())
}

/// What was done to it while it ran, and said about it.
fn steering(report: &Report, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    if !report.paused.is_zero() {
        writeln!(f, "paused      {} in all, in which nothing was offered", short(report.paused))?;
    }
    for (nth, said) in report.annotations.iter().take(ANNOTATIONS_SHOWN).enumerate() {
        let title = if nth == 0 { "while it ran" } else { "" };
        writeln!(f, "{title:<12} {}", one_line(&annotation(said)))?;
    }
    match report.annotations.len().checked_sub(ANNOTATIONS_SHOWN) {
        Some(more) if more > 0 => writeln!(f, "{:<12} and {more} more", ""),
        _ => Ok(()),
    }
}

/// When, who, what and why.
fn annotation(said: &Annotation) -> String {
    let Annotation { at, by, what, text } = said;
    let text = fit(text, MESSAGE);
    match (what, &*text) {
        (Event::Note, text) => format!("{:>9}  {by}: {text}", short(*at)),
        (what, "") => format!("{:>9}  {by}: {what}", short(*at)),
        (what, text) => format!("{:>9}  {by}: {what} ({text})", short(*at)),
    }
}

fn tables(report: &Report, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let names = report.routes.iter().map(|row| &row.route).chain(report.steps.iter().map(|row| &row.step));
    let longest = names.map(|name| columns_of(&one_line(name))).max();
    let response = if report.model == Model::Saturation { SATURATED } else { "response" };
    let width = longest.unwrap_or(0).max(response.len()).clamp(ROUTE.0, ROUTE.1);
    let columns = |f: &mut fmt::Formatter<'_>, title: &str| {
        writeln!(
            f,
            "\n{title:<width$} {:>9} {:>9} {:>9} {:>9} {:>9} {:>9}",
            "n", "p50", "p95", "p99", "p99.9", "max"
        )
    };
    columns(f, "")?;
    line(f, width, response, &report.total.response)?;
    intervals(f, width, &report.total.response.intervals)?;
    line(f, width, "service", &report.total.service)?;
    line(f, width, "admission wait", &report.admission_wait)?;
    line(f, width, "dispatch lag", &report.dispatch_lag)?;
    if report.first_byte.count > 0 {
        line(f, width, "first byte", &report.first_byte)?;
    }
    if !report.routes.is_empty() {
        columns(f, &format!("{response} by route"))?;
        for row in &report.routes {
            line(f, width, &row.route, &row.response)?;
            failed_of(f, width, row.failed, row.ok)?;
        }
    }
    if !report.steps.is_empty() {
        columns(f, "service by step")?;
        for row in &report.steps {
            line(f, width, &row.step, &row.service)?;
            failed_of(f, width, row.failed, row.ok)?;
        }
    }
    Ok(())
}

fn failed_of(f: &mut fmt::Formatter<'_>, width: usize, failed: u64, ok: u64) -> fmt::Result {
    if failed > 0 {
        writeln!(f, "{:width$}   {failed} of {} failed", "", ok + failed)?;
    }
    Ok(())
}

fn line(f: &mut fmt::Formatter<'_>, width: usize, name: &str, seen: &Summary) -> fmt::Result {
    let max = seen.max.map_or("-".into(), quantile);
    let [p50, p95, p99, p999] = [seen.p50, seen.p95, seen.p99, seen.p999].map(quantile);
    let name = column(name, width);
    writeln!(f, "{name} {:>9} {p50:>9} {p95:>9} {p99:>9} {p999:>9} {max:>9}", seen.count)
}

/// The 95 % confidence intervals under their percentiles; where there is none, the samples it would take.
fn intervals(f: &mut fmt::Formatter<'_>, width: usize, of: &Intervals) -> fmt::Result {
    let all = [of.p50, of.p95, of.p99, of.p999];
    let [low, high] = [all.map(lower), all.map(upper)];
    writeln!(
        f,
        "{:<width$} {:>9} {:>9} {:>9} {:>9} {:>9}",
        "  95 % from", "", low[0], low[1], low[2], low[3]
    )?;
    writeln!(
        f,
        "{:<width$} {:>9} {:>9} {:>9} {:>9} {:>9}",
        "       to", "", high[0], high[1], high[2], high[3]
    )?;
    for (word, sentence) in [UNSTEADY, ONE_SPELL] {
        if low.iter().any(|low| low == word) {
            writeln!(f, "  {word}: {sentence}")?;
        }
    }
    Ok(())
}

/// Why there is no interval, where no count of operations would be a promise: in a column, and in a sentence.
const UNSTEADY: (&str, &str) = (
    "unsteady",
    "parts of the run resemble their neighbours (drift, queues, a busy machine); a longer run may tell",
);
const ONE_SPELL: (&str, &str) =
    ("one spell", "a single stretch holds most of that tail; whether it comes again, one run cannot tell");

/// The lower end of an interval, or why there is none.
pub(super) fn lower(interval: Interval) -> String {
    match interval {
        Interval::Stated { low, .. } => short(low),
        Interval::Refused { why: Some(BandReason::Correlated), .. } => UNSTEADY.0.into(),
        Interval::Refused { why: Some(BandReason::OneEpisode), .. } => ONE_SPELL.0.into(),
        Interval::Refused { needs: Some(need), .. } => format!("n≥{}", thousands(need)),
        Interval::Refused { needs: None, .. } => "-".into(),
    }
}

fn upper(interval: Interval) -> String {
    match interval {
        Interval::Stated { high: Some(high), .. } => short(high),
        Interval::Stated { high: None, .. } => "open".into(),
        Interval::Refused { .. } => "-".into(),
    }
}

/// A count in at most six characters.
fn thousands(count: u64) -> String {
    match count {
        0..10_000 => count.to_string(),
        10_000..10_000_000 => format!("{}k", count.div_ceil(1_000)),
        _ => format!("{}M", count.div_ceil(1_000_000)),
    }
}

fn generator(report: &Report, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let used = &report.generator;
    let Some((cpu, waited)) = used.cpu_share.zip(used.waited_share) else { return Ok(()) };
    write!(f, "\ngenerator   {:.1} % of a core, waited for one {:.1} %", cpu * 100.0, waited * 100.0)?;
    if let Some(headroom) = used.headroom().filter(|_| report.achieved_share.is_some()) {
        write!(f, ", could have sent {headroom:.1}×")?;
    }
    if let Some(inflation) = used.inflation_p95 {
        write!(f, ", raised p95 by {} on the way out", short(inflation))?;
    }
    if let Some(unseen) = used.unseen_p95 {
        write!(f, " and up to {} on the way back", short(unseen))?;
    }
    if let Some(floor) = used.timer_lag_p50 {
        write!(f, ", timer alone lags {}", short(floor))?;
    }
    writeln!(f)
}

/// The slowest operations that can be looked up.
fn traces(report: &Report, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let traced = report.slowest.iter().filter_map(|slow| Some((slow, slow.trace.as_ref()?)));
    for (nth, (slow, trace)) in traced.take(TRACES_SHOWN).enumerate() {
        let title = if nth == 0 { "slowest" } else { "" };
        if nth == 0 {
            writeln!(f)?;
        }
        let bound = if slow.answered { "" } else { "≥" };
        writeln!(
            f,
            "{title:<12}{:>9}  trace {trace}  {}",
            format!("{bound}{}", short(slow.response)),
            one_line(&slow.route)
        )?;
    }
    Ok(())
}

fn errors(report: &Report, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    if !report.errors.is_empty() {
        writeln!(f, "\nerrors")?;
    }
    for error in report.errors.iter().take(ERRORS_SHOWN) {
        let message = fit(&error.message, MESSAGE);
        let message = if message.is_empty() { message } else { format!("  ({message})") };
        let cause = column(&error.cause, columns_of(&one_line(&error.cause)).clamp(CAUSE.0, CAUSE.1));
        writeln!(f, "{:>9}  {cause} {}{message}", error.count, fit(&error.route, ROUTE.1))?;
    }
    match report.errors.len().checked_sub(ERRORS_SHOWN) {
        Some(more) if more > 0 => writeln!(f, "           and {more} more kinds"),
        _ => Ok(()),
    }
}

fn thresholds(report: &Report, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    writeln!(f)?;
    for result in &report.thresholds {
        let status = match result.status {
            ThresholdStatus::Met => "met",
            ThresholdStatus::Broken => "BROKEN",
            ThresholdStatus::NotJudged => "not judged",
        };
        let measured = if result.measured.starts_with("no ") { "" } else { "measured " };
        writeln!(f, "{status:<10}  {}  ({measured}{})", one_line(&result.threshold), result.measured)?;
    }
    Ok(())
}

/// A quantile in at most nine characters.
pub(crate) fn quantile(quantile: Quantile) -> String {
    match quantile {
        Quantile::Value(value) => short(value),
        Quantile::AtLeast(value) => format!("≥{}", short(value)),
        Quantile::Needs(need) => format!("n≥{need}"),
    }
}

/// A count with its noun.
pub(crate) fn operations(count: u64) -> String {
    format!("{count} operation{}", if count == 1 { "" } else { "s" })
}

/// Three digits and a unit.
pub(crate) fn short(duration: Duration) -> String {
    let ns = duration.as_secs_f64() * 1e9;
    let (value, unit) = match ns {
        ns if ns < 999.5 => return format!("{ns:.0}ns"),
        ns if ns < 999.5e3 => (ns / 1e3, "µs"),
        ns if ns < 999.5e6 => (ns / 1e6, "ms"),
        ns => (ns / 1e9, "s"),
    };
    let digits = if value < 9.995 {
        2
    } else if value < 99.95 {
        1
    } else {
        0
    };
    format!("{value:.digits$}{unit}")
}

fn bytes(count: u64) -> String {
    let value = crate::histogram::as_f64(count);
    match value {
        value if value < 1024.0 => format!("{count} B"),
        value if value < 1024.0 * 1024.0 => format!("{:.1} KiB", value / 1024.0),
        value if value < 1024.0 * 1024.0 * 1024.0 => format!("{:.1} MiB", value / 1024.0 / 1024.0),
        value => format!("{:.2} GiB", value / 1024.0 / 1024.0 / 1024.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_keep_three_digits() {
        let cases = [
            (42, "42ns"),
            (1_234, "1.23µs"),
            (999_499, "999µs"),
            (999_600, "1.00ms"),
            (12_345_678, "12.3ms"),
        ];
        for (ns, text) in cases {
            assert_eq!(short(Duration::from_nanos(ns)), text);
        }
        assert_eq!(short(Duration::from_secs(90)), "90.0s");
    }

    /// A count of operations would be no promise there: a run as long as that asks for more.
    #[test]
    fn an_interval_that_no_count_would_give_says_why_there_is_none() {
        let refused = |why, needs| Interval::Refused { why: Some(why), needs: Some(needs) };
        assert_eq!(lower(refused(BandReason::Correlated, 47_000)), "unsteady");
        assert_eq!(lower(refused(BandReason::OneEpisode, 47_000)), "one spell");
        assert_eq!(lower(refused(BandReason::ThinTail, 26_000)), "n≥26k");
        assert_eq!(lower(Interval::NONE), "-");
    }
}
