//! Where the run took place, with what settings, and how the generator fared.

use super::words::{count, optional, percent, safe, time};
use crate::{
    clock::ClockSource,
    report::{Environment, Report},
};

pub(super) fn section(report: &Report) -> String {
    let rows: String = generator(report)
        .into_iter()
        .chain(settings(report))
        .chain(report.environment.iter().flat_map(machine))
        .filter(|(_, value)| value != "–")
        .map(|(name, value)| format!("<tr><th scope=\"row\">{name}</th><td>{value}</td></tr>"))
        .collect();
    format!(
        "<section><h2>Environment</h2><div class=\"wide\"><table><tbody>{rows}</tbody></table></div></section>"
    )
}

type Line = (&'static str, String);

fn generator(report: &Report) -> Vec<Line> {
    let used = &report.generator;
    let share = |at: &str, share: Option<f64>| {
        share.map_or_else(|| "–".into(), |share| percent(&format!("/generator/{at}"), share))
    };
    let headroom = used.headroom().filter(|_| report.achieved_share.is_some());
    vec![
        ("the busiest thread of the generator was at work", share("cpu_share", used.cpu_share)),
        ("… and waited for a core", share("waited_share", used.waited_share)),
        (
            "it could have sent",
            headroom.map_or_else(|| "–".into(), |times| format!("{times:.1} times the load")),
        ),
        ("it raised the p95 by, on the way out", optional("/generator/inflation_p95_ns", used.inflation_p95)),
        ("… and on the way back by at most (assumed)", optional("/generator/unseen_p95_ns", used.unseen_p95)),
        ("the timer alone lags", optional("/generator/timer_lag_p50_ns", used.timer_lag_p50)),
        (
            "operations a second that do nothing, a thread",
            used.null_rate_per_sec.map_or_else(|| "–".into(), |rate| format!("{rate:.0}")),
        ),
        (
            "the process stood still at the longest",
            optional("/generator/longest_pause_ns", used.longest_pause),
        ),
        ("held back by a CPU quota", share("throttled_share", used.throttled_share)),
        ("CPU time the host took away", share("stolen_share", used.stolen_share)),
        ("difference from Little’s law", share("littles_residual", used.littles_residual)),
    ]
}

fn settings(report: &Report) -> Vec<Line> {
    let clock = match report.clock {
        ClockSource::Virtual => "virtual: no time passed".into(),
        _ => "–".into(),
    };
    vec![
        ("planned", time("/planned_ns", report.planned)),
        ("took", time("/elapsed_ns", report.elapsed)),
        ("measured from", time("/measured_from_ns", report.measured_from)),
        ("clock", clock),
        ("threads that sent", count("/shards", report.shards)),
        ("in flight at most", count("/max_in_flight", report.max_in_flight)),
        ("time-out", time("/timeout_ns", report.timeout)),
        ("deadline", optional("/deadline_ns", report.deadline)),
        ("seed", count("/seed", report.seed)),
    ]
}

fn machine(environment: &Environment) -> Vec<Line> {
    let Environment { started_unix_seconds, system, architecture, processor, cores } = environment;
    vec![
        ("begun", utc(*started_unix_seconds)),
        ("system", format!("{}, {}", safe(system), safe(architecture))),
        ("processor", processor.as_deref().map_or_else(|| "–".into(), safe)),
        ("cores", cores.map_or_else(|| "–".into(), |cores| count("/environment/cores", cores))),
    ]
}

/// A date and a time of day. The algorithm is Howard Hinnant's `civil_from_days`.
pub(super) fn utc(unix_seconds: u64) -> String {
    let (days, second) = (unix_seconds / 86_400 + 719_468, unix_seconds % 86_400);
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let (day, month) = (day - (153 * month + 2) / 5 + 1, if month < 10 { month + 3 } else { month - 9 });
    let year = year + era * 400 + u64::from(month <= 2);
    format!("{year}-{month:02}-{day:02} {:02}:{:02} UTC", second / 3_600, second % 3_600 / 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_the_calendar() {
        let dates = [0, 951_782_400, 1_709_164_799, 4_102_444_800].map(utc);
        assert_eq!(
            dates,
            ["1970-01-01 00:00 UTC", "2000-02-29 00:00 UTC", "2024-02-28 23:59 UTC", "2100-01-01 00:00 UTC"]
        );
    }
}
