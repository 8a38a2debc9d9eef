//! How often the verdict errs, on series whose truth is known. Seeds are fixed: the counts are the same on every machine of one kind.
#![cfg(feature = "families")]

use std::time::Duration;

use offgridflow_profile::families::{Family, Stream, Truth, five_rises, plain_mann_kendall};
use offgridflow_profile::{
    Alarm, LeakAlarm, Sample, Series, Shape, TrendDetector, TrendOptions, Verdict, WindowDetector,
};
use proptest::prelude::*;

const SEEDS: u64 = 60; // `scripts/verify/P5.sh` takes a thousand

fn judge(series: &Series) -> Verdict {
    series.verdict(&TrendOptions::default())
}

fn family(name: &str) -> &'static Family {
    Family::all().iter().find(|family| family.name == name).unwrap()
}

fn count(family: &Family, is: impl Fn(Shape) -> bool) -> u64 {
    (0..SEEDS).map(|seed| u64::from(is(judge(&family.series(seed)).shape))).sum()
}

/// Where the truth is 1 %, more than 4 of 60 come once in two thousand families; where it is 3 %, more than 7.
#[test]
fn p5_quiet_families_are_not_called_leaks() {
    for family in Family::all().iter().filter(|family| family.truth.is_quiet()) {
        let wrong = count(family, |shape| shape == Shape::Leak);
        let most = if family.truth == Truth::Wandering { 7 } else { 4 };
        assert!(wrong <= most, "{}: {wrong} of {SEEDS} called leaks", family.name);
    }
}

#[test]
fn p5_leaks_are_found_even_beneath_a_season_or_a_sawtooth() {
    for family in Family::all().iter().filter(|family| family.truth.leaks()) {
        let found = count(family, |shape| shape == Shape::Leak);
        let least = if family.truth == Truth::HiddenLeak { 49 } else { 53 };
        assert!(found >= least, "{}: {found} of {SEEDS} found", family.name);
    }
}

#[test]
fn p5_warm_ups_and_steps_have_their_names() {
    for (name, shape) in
        [("warm-up, 200 s", Shape::WarmUp), ("warm-up, 600 s", Shape::WarmUp), ("step", Shape::Step)]
    {
        let named = count(family(name), |found| found == shape);
        assert!(named >= 55, "{name}: {named} of {SEEDS}");
    }
}

/// The controls: what others do calls most of these quiet series leaks.
#[test]
fn p5_rules_in_use_are_wrong_nearly_always() {
    let wrong = |name: &str, rule: fn(&Series) -> bool| {
        (0..10).filter(|seed| rule(&family(name).series(*seed))).count()
    };
    assert!(wrong("autoregression 0.5", five_rises) >= 9);
    assert!(wrong("sawtooth 300 s", plain_mann_kendall) >= 9);
    assert!(wrong("step", plain_mann_kendall) >= 9);
}

#[test]
fn a_verdict_names_what_it_saw_through() {
    let why = |name| judge(&family(name).series(1)).why;
    assert!(why("leak, sawtooth 60 s").contains("cycles of a sawtooth"), "{}", why("leak, sawtooth 60 s"));
    let season = why("leak, season of 3 periods");
    assert!(season.contains("beneath a season of 10 min"), "{season}");
}

#[test]
fn the_alarm_is_silent_through_quiet_months_and_quick_on_a_leak() {
    let raised = |name: &str, windows: u64| {
        let mut alarm = LeakAlarm::new(Duration::from_secs(1_800), TrendOptions::default());
        (0..windows).filter(|seed| alarm.judge(judge(&family(name).series(*seed))).is_some()).count()
    };
    assert_eq!(raised("random walk", 400), 0);
    assert_eq!(raised("autoregression 0.9", 200), 0);
    assert_eq!(raised("leak, 5 MB every 2 min", 3), 1);
    assert!(raised("leak", 7) >= 1, "6 MiB a window: after 32 MiB");
}

fn stream(name: &str) -> &'static Stream {
    Stream::all().iter().find(|stream| stream.name == name).unwrap()
}

/// The first alarm of a stream, and when.
fn alarmed(name: &str, seed: u64, hours: u64) -> Option<(Alarm, Duration)> {
    let mut alarm = LeakAlarm::new(Duration::from_secs(1_800), TrendOptions::default());
    let mut readings =
        stream(name).readings(seed).take_while(|sample| sample.at < Duration::from_secs(3_600 * hours));
    readings.find_map(|sample| alarm.push(sample.at, sample.bytes).map(|alarm| (alarm, sample.at)))
}

/// A cache that is compacted, a collector: ramps whose resets give back what they took.
#[test]
fn a_long_cycle_raises_no_alarm_in_a_day() {
    for name in ["sawtooth 780 s", "sawtooth 1200 s", "sawtooth 1700 s", "season 1 h"] {
        for seed in 0..2 {
            assert_eq!(alarmed(name, seed, 24), None, "{name}");
        }
    }
}

#[test]
fn a_detector_over_hours_does_not_call_a_long_cycle_a_leak() {
    for name in ["sawtooth 900 s", "sawtooth 1700 s", "season 1800 s"] {
        let mut detector = WindowDetector::default();
        for sample in stream(name).readings(7).take(6 * 3_600) {
            detector.push(sample.at, sample.bytes);
            if sample.at.as_secs() % 600 == 599 {
                let verdict = detector.verdict();
                assert_ne!(verdict.shape, Shape::Leak, "{name} after {:?}: {verdict}", sample.at);
            }
        }
    }
}

#[test]
fn a_cycle_that_is_longer_than_the_series_is_known_again() {
    let mut detector = WindowDetector::default();
    let mut said = Vec::new();
    for sample in stream("sawtooth 2 h").readings(3).take(10 * 3_600) {
        detector.push(sample.at, sample.bytes);
        if sample.at.as_secs() % 600 == 599 && detector.verdict().shape == Shape::Leak {
            said.push(sample.at.as_secs() / 3_600);
        }
    }
    assert!(said.iter().all(|hour| *hour < 4), "of the first rise alone: {said:?}");
}

#[test]
fn a_leak_in_few_large_steps_or_beneath_a_long_cycle_shows_in_longer_windows() {
    for (name, hours) in [("leak, 64 MiB every 15 min", 7), ("leak, sawtooth 900 s", 7)] {
        let (alarm, at) = alarmed(name, 5, hours).unwrap_or_else(|| panic!("{name}: no alarm in {hours} h"));
        assert!(at > Duration::from_secs(3 * 1_800) && alarm.windows >= 3, "{name}: {alarm:?}");
    }
}

#[test]
fn before_half_an_hour_growth_is_a_leak_only_if_the_limit_will_not_wait() {
    let ramp: Series =
        (0..900).map(|s| Sample { at: Duration::from_secs(s), bytes: (200 << 20) + (s << 16) }).collect();
    let verdict = |limit_bytes| ramp.verdict(&TrendOptions { limit_bytes, ..TrendOptions::default() });
    assert!(matches!(verdict(None).shape, Shape::Unknown { .. }), "{}", verdict(None));
    assert!(matches!(verdict(Some(1 << 40)).shape, Shape::Unknown { .. }));
    assert_eq!(verdict(Some(300 << 20)).shape, Shape::Leak, "12 min are left");
}

/// A cache that fills at a steady pace and is full: two thirds of the window fit a line well.
#[test]
fn what_grew_for_twenty_minutes_and_stands_still_for_ten_is_no_leak() {
    let noise = |s: u64, seed: u64| (s ^ seed << 20).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 44;
    let filled = |until: u64, seed: u64| -> Series {
        let bytes = |s: u64| 200_000_000 + 200_000 * s.min(until) + noise(s, seed);
        (0..1_800).map(|s| Sample { at: Duration::from_secs(s), bytes: bytes(s) }).collect()
    };
    let leaks = |until| (0..20).filter(|seed| judge(&filled(until, *seed)).shape == Shape::Leak).count();
    assert_eq!(leaks(1_200), 0);
    assert_eq!(leaks(1_800), 20, "the control: it goes on");
}

#[test]
fn the_slope_of_a_leak_is_right() {
    let grow = 6.0 * 1_048_576.0 / 1_800.0;
    let covered = (0..SEEDS).filter(|seed| {
        let slope = judge(&family("leak").series(*seed)).slope.unwrap();
        (slope.low..=slope.high).contains(&grow)
    });
    assert!(covered.count() >= 56);
}

#[test]
fn a_short_series_is_unknown_and_says_how_much_longer() {
    let series: Series = (0..20).map(|s| Sample { at: Duration::from_secs(s), bytes: s << 30 }).collect();
    let verdict = judge(&series);
    assert_eq!(verdict.shape, Shape::Unknown { needs: Duration::from_secs(581) });
    assert!(verdict.why.starts_with("unknown (needs 10 min more)"), "{}", verdict.why);
}

#[test]
fn a_leak_with_a_limit_has_a_time_to_it() {
    let series = family("leak").series(1); // 6 MiB in half an hour
    let last = series.last().unwrap().bytes;
    let options = TrendOptions { limit_bytes: Some(last + (6 << 20)), ..TrendOptions::default() };
    let (soonest, latest) = series.verdict(&options).time_to_limit.unwrap();
    let half_hour = Duration::from_secs(1_800);
    assert!(soonest < half_hour && half_hour < latest && latest < half_hour * 2, "{soonest:?} to {latest:?}");
}

#[test]
fn a_window_mostly_without_readings_is_unknown() {
    let sample = |s| Sample { at: Duration::from_secs(s), bytes: 1 << 30 };
    let series: Series = (0..60).chain([1_800]).map(sample).collect();
    assert!(matches!(judge(&series).shape, Shape::Unknown { .. }));
}

/// Who knows that a program has a cycle of hours says so: growth is then called a leak once that long has been watched, by a detector that holds
/// less than it as well.
#[test]
fn a_detector_waits_for_as_long_as_it_was_told_and_no_longer() {
    let hours = |hours: u64| Duration::from_secs(3_600 * hours);
    let options = TrendOptions { leak_window: hours(8), ..TrendOptions::default() };
    let first_said = |name: &str, options: &TrendOptions| {
        let mut detector = WindowDetector::new(Series::default(), options.clone());
        stream(name).readings(3).take(14 * 3_600).find_map(|sample| {
            detector.push(sample.at, sample.bytes);
            let asked = sample.at.as_secs() % 600 == 599;
            (asked && detector.verdict().shape == Shape::Leak).then_some(sample.at)
        })
    };
    let waited = first_said("leak", &options).expect("a leak that goes on is one");
    assert!((hours(7)..hours(9)).contains(&waited), "{waited:?}");
    assert!(first_said("leak", &TrendOptions::default()).unwrap() < hours(2), "the control");
    assert_eq!(first_said("sawtooth 4 h", &options), None);
    assert!(first_said("sawtooth 4 h", &TrendOptions::default()).is_some(), "the control: its first rise");
}

#[test]
fn the_alarm_waits_for_as_long_as_it_was_told() {
    let first = |name: &str, leak_window: Duration| {
        let options = TrendOptions { leak_window, ..TrendOptions::default() };
        let mut alarm = LeakAlarm::new(Duration::from_secs(1_800), options);
        let mut readings = stream(name).readings(5).take(30 * 3_600);
        readings.find_map(|sample| alarm.push(sample.at, sample.bytes).map(|_| sample.at.as_secs() / 3_600))
    };
    let (half_an_hour, half_a_day) = (Duration::from_secs(1_800), Duration::from_secs(12 * 3_600));
    assert!(first("leak", half_an_hour).unwrap() < 6, "the control");
    assert!((12..14).contains(&first("leak", half_a_day).unwrap()));
}

/// Of a cycle longer than all that was watched nobody can know.
#[test]
fn a_leak_of_a_detector_says_what_it_may_be_instead() {
    let mut detector = WindowDetector::default();
    stream("leak").readings(1).take(2 * 3_600 + 1).for_each(|sample| detector.push(sample.at, sample.bytes));
    let verdict = detector.verdict();
    assert!(verdict.shape == Shape::Leak && verdict.why.starts_with("leak: grows by "), "{verdict}");
    assert!(verdict.why.ends_with("; a cycle longer than the 2 h watched would look the same"), "{verdict}");
}

/// Nothing overflows: the last of these is 580 thousand million years after the first.
#[test]
fn readings_far_apart_are_judged_without_a_panic() {
    for readings in [2_u32, 24, 60, 3_000] {
        let step = Duration::MAX / readings;
        let mut detector = WindowDetector::default();
        let mut alarm = LeakAlarm::new(Duration::from_secs(1_800), TrendOptions::default());
        for reading in 0..=readings {
            let (at, bytes) = (step * reading, u64::from(reading) * (u64::MAX / u64::from(readings)));
            detector.push(at, bytes);
            alarm.push(at, bytes);
        }
        for limit_bytes in [None, Some(0), Some(u64::MAX)] {
            detector.set_limit(limit_bytes);
            let options = TrendOptions { limit_bytes, leak_window: Duration::MAX, ..TrendOptions::default() };
            let _ = (detector.verdict().to_string(), detector.series().verdict(&options).to_string());
        }
    }
}

proptest! {
    #[test]
    fn arbitrary_readings_never_panic(readings in proptest::collection::vec((0_u64..100_000, any::<u64>()), 0..300), capacity in 0_usize..300) {
        let mut series = Series::with_capacity(capacity);
        for (at, bytes) in readings {
            series.push(Sample { at: Duration::from_secs(at), bytes });
            prop_assert!(series.len() <= capacity.max(2));
        }
        prop_assert!(series.iter().zip(series.iter().skip(1)).all(|(a, b)| a.at < b.at));
        let verdict = judge(&series);
        prop_assert!((0.0..=1.0).contains(&verdict.p), "{}", verdict.p);
    }

    /// What memory is counted in does not change what is said of it.
    #[test]
    fn a_verdict_does_not_depend_on_the_level_of_the_clock(shift in 0_u64..1_000_000, seed in 0_u64..50) {
        let here = family("leak, autoregression 0.5").series(seed);
        let there: Series = here.iter().map(|sample| Sample { at: sample.at + Duration::from_secs(shift), ..sample }).collect();
        prop_assert_eq!(judge(&here).shape, judge(&there).shape);
    }
}
