//! How often the verdict errs: every family of series whose truth is known, so many seeds each; then how often the alarm is
//! raised in so many months of quiet half hours, and how soon on a leak. Two rules that are in use stand beside.
//!
//! `cargo run --release -p offgridflow-profile --features families --example rates -- [SEEDS] [FIRST] [MONTHS]`

use std::time::Duration;

use offgridflow_profile::families::{Family, five_rises, plain_mann_kendall};
use offgridflow_profile::{LeakAlarm, Series, Shape, TrendOptions};

const WINDOW: Duration = Duration::from_secs(1_800);
const WINDOWS_A_MONTH: u64 = 1_440;

fn main() {
    let mut numbers = std::env::args().skip(1).filter_map(|argument| argument.parse().ok());
    let mut next = |default| numbers.next().unwrap_or(default);
    let (seeds, first, months) = (next(200), next(0), next(2));
    println!("family\ttruth\tleak\twarm-up\tstep\tstable\tunknown\tplain Mann-Kendall\tfive rises");
    for family in Family::all() {
        let series: Vec<Series> = (first..first + seeds).map(|seed| family.series(seed)).collect();
        let shapes: Vec<&str> = series.iter().map(|series| word(judge(series))).collect();
        let count = |word: &str| shapes.iter().filter(|shape| **shape == word).count();
        let [leak, warm_up, step, stable, unknown] =
            ["leak", "warm-up", "step", "stable", "unknown"].map(count);
        let rule = |rule: fn(&Series) -> bool| series.iter().filter(|series| rule(series)).count();
        let (kendall, rises) = (rule(plain_mann_kendall), rule(five_rises));
        println!(
            "{}\t{:?}\t{leak}\t{warm_up}\t{step}\t{stable}\t{unknown}\t{kendall}\t{rises}",
            family.name, family.truth
        );
    }
    for family in Family::all().iter().filter(|family| !family.truth.leaks()) {
        let alarms = alarms(family, first, months * WINDOWS_A_MONTH);
        println!("alarms\t{}\t{alarms}\tin {months} months", family.name);
    }
    for family in Family::all().iter().filter(|family| family.truth.leaks()) {
        let soon = (0..seeds).filter(|seed| alarms(family, first + 3 * seed, 2) > 0).count();
        println!("soon\t{}\t{soon}\tof {seeds} leaks in two windows", family.name);
    }
}

fn judge(series: &Series) -> Shape {
    series.verdict(&TrendOptions::default()).shape
}

/// How often the alarm is raised when one window follows the other.
fn alarms(family: &Family, first: u64, windows: u64) -> usize {
    let mut alarm = LeakAlarm::new(WINDOW, TrendOptions::default());
    let verdicts = (first..first + windows).map(|seed| family.series(seed).verdict(&TrendOptions::default()));
    verdicts.filter(|verdict| alarm.judge(verdict.clone()).is_some()).count()
}

fn word(shape: Shape) -> &'static str {
    match shape {
        Shape::Leak => "leak",
        Shape::WarmUp => "warm-up",
        Shape::Step => "step",
        Shape::Stable => "stable",
        _ => "unknown",
    }
}
