//! How often the verdict errs: every family of series whose truth is known, so many seeds each; then how often the alarm is
//! raised in so many months of quiet half hours; then what verdict and alarm say of memory over hours and days. Two rules that are in use stand
//! beside.
//!
//! `cargo run --release -p offgridflow-profile --features families --example rates -- [SEEDS] [FIRST] [MONTHS] [STREAMS] [HOURS] [MINUTES]`
//! MINUTES is how long growth is watched before it is called a leak (`TrendOptions::leak_window`), of streams.

use std::time::Duration;

use offgridflow_profile::families::{Family, Stream, five_rises, plain_mann_kendall};
use offgridflow_profile::{LeakAlarm, Series, Shape, TrendDetector, TrendOptions, WindowDetector};

const WINDOW: Duration = Duration::from_secs(1_800);
const WINDOWS_A_MONTH: u64 = 1_440;

fn main() {
    let mut numbers = std::env::args().skip(1).filter_map(|argument| argument.parse().ok());
    let mut next = |default| numbers.next().unwrap_or(default);
    let (seeds, first, months, streams, hours) = (next(200), next(0), next(2), next(2), next(24));
    let options = TrendOptions { leak_window: Duration::from_secs(60 * next(30)), ..TrendOptions::default() };
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
    for family in Family::all().iter().filter(|family| family.truth.is_quiet()) {
        let alarms = alarms(family, first, months * WINDOWS_A_MONTH);
        println!("alarms\t{}\t{alarms}\tin {months} months", family.name);
    }
    for stream in Stream::all() {
        let runs: Vec<Run> =
            (first..first + streams).map(|seed| run(stream, seed, hours, &options)).collect();
        let asked: u64 = runs.iter().map(|run| run.asked).sum();
        let said: u64 = runs.iter().map(|run| run.said).sum();
        let mut alarmed: Vec<f64> = runs.iter().filter_map(|run| run.alarmed).collect();
        alarmed.sort_by(f64::total_cmp);
        println!(
            "stream\t{}\t{:?}\t{}\t{said}\tof {asked}\talarm in {}\tof {streams} runs of {hours} h\tafter {}",
            stream.name,
            stream.truth,
            stream.period,
            alarmed.len(),
            alarmed.get(alarmed.len() / 2).map_or("-".to_owned(), |hours| format!("{hours:.1} h"))
        );
    }
}

/// What was said of one stream.
struct Run {
    asked: u64,
    said: u64,            // "leak"
    alarmed: Option<f64>, // hours until the first alarm
}

/// Asks the detector every ten minutes, and lets the alarm run.
fn run(stream: &Stream, seed: u64, hours: u64, options: &TrendOptions) -> Run {
    let mut alarm = LeakAlarm::new(WINDOW, options.clone());
    let mut detector = WindowDetector::new(Series::default(), options.clone());
    let mut run = Run { asked: 0, said: 0, alarmed: None };
    for (sample, second) in stream.readings(seed).zip(0..hours * 3_600) {
        detector.push(sample.at, sample.bytes);
        if alarm.push(sample.at, sample.bytes).is_some() {
            run.alarmed.get_or_insert(sample.at.as_secs_f64() / 3_600.0);
        }
        if second % 600 == 599 {
            run.asked += 1;
            run.said += u64::from(detector.verdict().shape == Shape::Leak);
        }
    }
    run
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
