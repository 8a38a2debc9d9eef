//! Schedules are exact: they never run backwards, lose nothing, and split without a trace.

use std::{sync::Arc, time::Duration};

use offgridflow_loadtest::{
    ArrivalProcess, Bursts, ConfigError, Executor, LoadTest, Rate, Schedule, Settings, workload_fn,
};
use proptest::prelude::*;

/// Rates in thousandths a second and spans in milliseconds, so that the integral is an integer below.
fn stages() -> impl Strategy<Value = Vec<(u64, u64, u64)>> {
    let rate = || prop_oneof![Just(0_u64), 1..2_000_000_u64];
    prop::collection::vec((rate(), rate(), 1..5_000_u64), 1..5)
}

fn build(stages: &[(u64, u64, u64)]) -> Rate {
    let per_sec = |thousandths: u64| thousandths as f64 / 1_000.0;
    stages.iter().fold(Rate::default(), |rate, &(from, to, ms)| {
        // A jump is a stretch of one nanosecond; its area is counted below.
        rate.then(per_sec(from), Duration::from_nanos(1)).then_ramp_to(per_sec(to), Duration::from_millis(ms))
    })
}

/// Twice the area, in thousandths of an operation a second × nanoseconds.
fn doubled_area(stages: &[(u64, u64, u64)]) -> u128 {
    let area = |&(from, to, ms): &(u64, u64, u64)| {
        2 * u128::from(from) + u128::from(from + to) * u128::from(ms) * 1_000_000
    };
    stages.iter().map(area).sum()
}

/// Any kind of stretch, from a thousandth of an operation a second to 2 000, for up to 5 s.
fn stretch() -> impl Strategy<Value = Stretch> {
    let rate = || prop_oneof![Just(0.0), 0.001..1.0, 1.0..2_000.0];
    let span = || (1..5_000_000_000_u64).prop_map(Duration::from_nanos);
    prop_oneof![
        (rate(), span()).prop_map(|(rate, span)| Stretch::Hold(rate, span)),
        (rate(), span()).prop_map(|(rate, span)| Stretch::Ramp(rate, span)),
        (rate(), rate(), 2..20_u32, 1..200_000_000_u64).prop_map(|(from, to, steps, ns)| Stretch::Steps(
            from,
            to,
            steps,
            Duration::from_nanos(ns)
        )),
        (rate(), 0.0..=1.0, 1_000_000..3_000_000_000_u64, span()).prop_map(|(mean, part, period, span)| {
            Stretch::Sine(mean, part, Duration::from_nanos(period), span)
        }),
    ]
}

/// Stretches of numbers that make no sense, and of the largest that do.
fn any_stretch() -> impl Strategy<Value = Stretch> {
    let rate = || prop_oneof![any::<f64>(), Just(1e8), Just(0.0), 0.0..1e8];
    let nanos = prop_oneof![any::<u64>(), Just(0), Just(8_640_000_000_000_000), 0..10_000_000_u64];
    let span = nanos.prop_map(Duration::from_nanos);
    (rate(), rate(), 0.0..1.2, any::<u32>(), span.clone(), span, 0..4).prop_map(
        |(one, other, part, steps, span, period, kind)| match kind {
            0 => Stretch::Hold(one, span),
            1 => Stretch::Ramp(one, span),
            2 => Stretch::Steps(one, other, steps % 20_000, span),
            _ => Stretch::Sine(one, part, period, span),
        },
    )
}

#[derive(Debug, Clone, Copy)]
enum Stretch {
    Hold(f64, Duration),
    Ramp(f64, Duration),
    Steps(f64, f64, u32, Duration),
    Sine(f64, f64, Duration, Duration), // mean, amplitude as a part of it, period, span
}

fn rate_of(stretches: &[Stretch]) -> Rate {
    stretches.iter().fold(Rate::default(), |rate, stretch| match *stretch {
        Stretch::Hold(per_sec, span) => rate.then(per_sec, span),
        Stretch::Ramp(per_sec, span) => rate.then_ramp_to(per_sec, span),
        Stretch::Steps(from, to, steps, each) => rate.then_steps(from, to, steps, each),
        Stretch::Sine(mean, part, period, span) => rate.then_sine(mean, mean * part, period, span),
    })
}

/// Every arrival process there is, over one rate.
fn processes(rate: &Rate, seed: u64) -> [Schedule; 6] {
    let bursts = |times, share| Bursts { times, share, length: Duration::from_millis(40) };
    [
        Schedule::steady(rate.clone()),
        Schedule::poisson(rate.clone(), seed),
        Schedule::gamma(rate.clone(), 0.3, seed),
        Schedule::gamma(rate.clone(), 5.0, seed),
        Schedule::bursty(rate.clone(), bursts(3.0, 0.2), seed),
        Schedule::bursty(rate.clone(), bursts(10.0, 0.1), seed), // nothing between them
    ]
}

proptest! {
    #[test]
    fn the_count_is_the_integral_with_a_begun_operation_whole(stages in stages()) {
        let area = doubled_area(&stages);
        prop_assert_eq!(u128::from(build(&stages).operations()), area.div_ceil(2 * 1_000 * 1_000_000_000));
    }

    #[test]
    fn instants_never_decrease_and_stay_inside(stretches in prop::collection::vec(stretch(), 1..5), seed: u64) {
        for schedule in processes(&rate_of(&stretches), seed) {
            let instants: Vec<_> = schedule.shard(0, 1).collect();
            prop_assert_eq!(u64::try_from(instants.len()).unwrap(), schedule.operations());
            prop_assert!(instants.is_sorted_by_key(|(_, at)| *at));
            prop_assert!(instants.iter().all(|(_, at)| *at <= schedule.duration()));
            prop_assert_eq!(schedule.intended(schedule.operations()), None);
        }
    }

    #[test]
    fn the_union_of_shards_is_bit_identical(
        stretches in prop::collection::vec(stretch(), 1..4),
        shards in prop_oneof![Just(1_u64), Just(2), Just(4), Just(8), Just(3), Just(7), 9..64_u64],
        seed: u64,
    ) {
        for schedule in processes(&rate_of(&stretches), seed) {
            let whole: Vec<_> = schedule.shard(0, 1).collect();
            let mut union: Vec<_> = (0..shards).flat_map(|index| schedule.shard(index, shards)).collect();
            union.sort_unstable();
            prop_assert_eq!(union, whole);
        }
    }

    /// At the instant of operation `k`, `k` operations lie under the sine, as its closed form has it.
    #[test]
    fn a_wave_is_followed_within_its_stated_error(
        mean in 1.0..100_000.0_f64, part in 0.0..=1.0_f64, period_ms in 1..20_000_u64, ms in 1..3_000_u64,
    ) {
        let (amplitude, period) = (mean * part, Duration::from_millis(period_ms));
        let rate = Rate::sine(mean, amplitude, period, Duration::from_millis(ms));
        let turn = std::f64::consts::TAU / period.as_secs_f64();
        let under = |at: f64| mean * at + amplitude / turn * (1.0 - (turn * at).cos());
        let schedule = Schedule::steady(rate.clone());
        // Half a period lacks π²/(3·1024²) of its swing; instants are whole nanoseconds, rates whole millionths.
        let allowed = 1.01e-6 * amplitude * period.as_secs_f64() + 4e-9 * (mean + amplitude) + 4e-6;
        for (k, at) in schedule.shard(0, 1 + schedule.operations() / 200) {
            let off = under(at.as_secs_f64()) - k as f64;
            prop_assert!(off.abs() <= allowed, "{} at {:?}: {} > {}", k, at, off, allowed);
        }
        prop_assert!(rate.peak() <= mean + amplitude + 1e-6);
    }

    /// Whatever numbers are put in: no panic, no overflow, and what validates is in order and inside.
    #[test]
    fn any_numbers_are_run_or_refused(parts in prop::collection::vec(any_stretch(), 0..5), k: u64) {
        let schedule = Schedule::steady(rate_of(&parts));
        let (operations, peak) = (schedule.operations(), schedule.peak_rate());
        let asked = [0, k % operations.max(1), operations.saturating_sub(1)].map(|k| schedule.intended(k));
        if schedule.validate().is_ok() {
            prop_assert!(asked.is_sorted());
            prop_assert!(asked[0].is_some() && asked[2] <= Some(schedule.duration()));
            prop_assert!(peak > 0.0 && peak <= 1e8);
        }
        prop_assert_eq!(schedule.intended(operations), None);
        prop_assert!(schedule.rate_at(Duration::from_nanos(k)) <= peak);
    }

    #[test]
    fn whole_periods_hold_the_mean_exactly(mean in 1..5_000_u32, part in 0.0..=1.0_f64, period in 1_000_000..9_999_999_999_u64, n in 1..50_u32) {
        let period = Duration::from_nanos(period);
        let mean = f64::from(mean);
        let wave = Rate::sine(mean, mean * part, period, period * n);
        prop_assert_eq!(wave.operations(), Rate::constant(mean, period * n).operations());
    }

    #[test]
    fn a_staircase_is_its_steps(from in 0..5_000_u32, to in 0..5_000_u32, steps in 2..40_u32, ms in 1..2_000_u64) {
        let each = Duration::from_millis(ms);
        let stairs = Rate::steps(from.into(), to.into(), steps, each);
        let mean = (f64::from(from) + f64::from(to)) / 2.0;
        let expected = mean * (each * steps).as_secs_f64();
        prop_assert!((stairs.operations() as f64 - expected).abs() <= 1.0);
        prop_assert_eq!(stairs.at(Duration::ZERO), f64::from(from));
        prop_assert_eq!(stairs.at(each * steps - Duration::from_nanos(1)), f64::from(to));
        prop_assert_eq!(stairs.peak(), f64::from(from.max(to)));
    }

    #[test]
    fn each_instant_has_its_operations_under_the_curve(per_sec in 1..100_000_u64, ms in 1..3_000_u64) {
        // Ramp from 0: k operations lie under the curve at sqrt(2 k T / R).
        let (rate, span) = (per_sec as f64, Duration::from_millis(ms));
        let schedule = Schedule::steady(Rate::ramp(0.0, rate, span));
        for (k, at) in schedule.shard(0, 97) {
            let expected = (2.0 * k as f64 * span.as_secs_f64() / rate).sqrt();
            prop_assert!((at.as_secs_f64() - expected).abs() < 2e-9, "{} {} {}", k, at.as_secs_f64(), expected);
        }
    }

    #[test]
    fn random_arrivals_depend_on_seed_and_index_only(seed: u64, k in 0..500_u64) {
        let short = processes(&Rate::constant(1_000.0, Duration::from_secs(1)), seed);
        let long = processes(&Rate::constant(1_000.0, Duration::from_secs(2)), seed);
        for (short, long) in short.iter().zip(&long) {
            let _ = long.intended(1_700); // asked in any order, by anyone
            prop_assert!(short.intended(k).is_none_or(|at| Some(at) == long.intended(k)));
        }
    }
}

#[test]
fn a_constant_rate_is_even_to_the_nanosecond() {
    let schedule = Schedule::steady(Rate::constant(3_000.0, Duration::from_secs(3_600)));
    assert_eq!(schedule.operations(), 10_800_000);
    assert_eq!(schedule.intended(3_000), Some(Duration::from_secs(1)));
    assert_eq!(schedule.intended(10_799_999), Some(Duration::from_nanos(3_599_999_666_667)));
}

#[test]
fn a_pause_holds_nothing() {
    let second = Duration::from_secs(1);
    let schedule = Schedule::steady(Rate::constant(10.0, second).then(0.0, second * 5).then(10.0, second));
    assert_eq!(schedule.operations(), 20);
    assert_eq!(schedule.intended(9), Some(Duration::from_millis(900)));
    assert_eq!(schedule.intended(10), Some(second * 6));
}

#[test]
fn tiny_and_huge_rates_hold() {
    let once = Schedule::steady(Rate::constant(0.001, Duration::from_secs(5)));
    assert_eq!((once.operations(), once.intended(0)), (1, Some(Duration::ZERO)));
    let fast = Schedule::steady(Rate::constant(1e8, Duration::from_secs(1_000)));
    assert_eq!(fast.intended(99_999_999_999), Some(Duration::from_nanos(999_999_999_990)));
    let long = Schedule::steady(Rate::ramp(0.0, 1e6, Duration::from_secs(8_640_000)));
    assert_eq!(long.intended(long.operations()), None);
    assert!(long.intended(long.operations() - 1) <= Some(long.duration()));
}

#[test]
fn impossible_rates_are_refused() {
    let second = Duration::from_secs(1);
    let hint = |rate: Rate| rate.validate().map_err(|error| error.hint);
    assert!(hint(Rate::default()).unwrap_err().contains("duration"));
    assert!(hint(Rate::constant(10.0, Duration::ZERO)).unwrap_err().contains("duration"));
    assert!(hint(Rate::constant(0.0, second)).unwrap_err().contains("nothing is ever due"));
    for impossible in [-1.0, f64::NAN, f64::INFINITY, 1e9] {
        assert!(hint(Rate::constant(impossible, second)).unwrap_err().contains("100 000 000"));
        for schedule in processes(&Rate::constant(impossible, second), 1) {
            assert_eq!(schedule.operations(), 0);
            assert!(schedule.validate().is_err());
        }
        assert!(hint(Rate::steps(1.0, impossible, 3, second)).unwrap_err().contains("100 000 000"));
        assert!(hint(Rate::sine(impossible, 0.0, second, second)).is_err());
        assert!(hint(Rate::sine(10.0, impossible, second, second)).is_err());
    }
    assert!(hint(Rate::sine(10.0, 10.1, second, second)).unwrap_err().contains("below zero"));
    assert!(hint(Rate::sine(1e8, 1.0, second, second)).unwrap_err().contains("100 000 000"));
    assert!(hint(Rate::sine(10.0, 1.0, Duration::ZERO, second)).unwrap_err().contains("period"));
    assert!(hint(Rate::steps(1.0, 2.0, 1, second)).unwrap_err().contains("from 2 to"));
    assert!(hint(Rate::constant(1.0, second * 8_640_001)).unwrap_err().contains("100 days"));
}

#[test]
fn impossible_shapes_and_too_many_random_arrivals_are_refused() {
    let rate = || Rate::constant(100.0, Duration::from_secs(10));
    for shape in [0.0, -1.0, f64::NAN, f64::INFINITY, 1e-9, 1e9] {
        let schedule = Schedule::gamma(rate(), shape, 1);
        assert_eq!((schedule.validate().unwrap_err().field.as_str(), schedule.operations()), ("shape", 0));
    }
    let bursts = Bursts { times: 4.0, share: 0.2, length: Duration::from_secs(1) };
    assert!(Schedule::bursty(rate(), bursts, 1).validate().is_ok());
    for wrong in [
        Bursts { times: 5.1, ..bursts },
        Bursts { times: 1.0, ..bursts },
        Bursts { times: f64::NAN, ..bursts },
        Bursts { share: 0.0, ..bursts },
        Bursts { share: 1.0, ..bursts },
        Bursts { share: f64::NAN, ..bursts },
        Bursts { length: Duration::ZERO, ..bursts },
        Bursts { length: Duration::MAX, ..bursts },
    ] {
        let schedule = Schedule::bursty(rate(), wrong, 1);
        assert_eq!((schedule.validate().unwrap_err().field.as_str(), schedule.operations()), ("bursts", 0));
    }
    let long = Rate::constant(0.001, Duration::from_secs(86_400 * 99));
    let short = Bursts { length: Duration::from_millis(1), ..bursts };
    assert!(
        Schedule::bursty(long, short, 1).validate().unwrap_err().hint.contains("more than 500 000 bursts")
    );
    let many = Rate::constant(1e8, Duration::from_secs(100));
    for schedule in &processes(&many, 1)[1..] {
        assert!(schedule.validate().unwrap_err().hint.contains("2^28"));
    }
    assert!(Schedule::steady(many).validate().is_ok());
}

/// Whoever builds an executor, a run refuses what cannot be run.
#[test]
fn runs_refuse_impossible_plans_however_they_were_made() {
    let second = Duration::from_secs(1);
    let refused = |executor: Executor| {
        let workload = workload_fn(|_| async { Ok::<(), std::io::Error>(()) });
        LoadTest::new(workload).executor(executor).validate().expect_err("refused").field
    };
    for rate in [f64::NAN, f64::INFINITY, -1.0, 0.0, 1e9] {
        assert_eq!(refused(Executor::open(Rate::constant(rate, second))), "rate");
        assert_eq!(refused(Executor::poisson(Rate::constant(rate, second), 1)), "rate");
        assert_eq!(refused(Executor::gamma(Rate::constant(rate, second), 1.0, 1)), "rate");
        // One impossible stretch among good ones.
        assert_eq!(refused(Executor::open(Rate::constant(5.0, second).then(rate.min(-1.0), second))), "rate");
        let settings = Settings { requests_per_second: Some(rate), ..Settings::default() };
        assert_eq!(settings.validate().unwrap_err().field, "requests_per_second");
    }
    assert_eq!(refused(Executor::gamma(Rate::constant(5.0, second), f64::NAN, 1)), "shape");
    for (operations, duration, peak) in [
        (0, second, 1.0),
        (1, Duration::ZERO, 1.0),
        (1, Duration::MAX, 1.0),
        (1, second, f64::NAN),
        (1, second, f64::INFINITY),
        (1, second, 0.0),
    ] {
        let field = refused(Executor::Open(Arc::new(Careless { operations, duration, peak })));
        assert!(["rate", "duration"].contains(&&*field), "{field}");
    }
}

/// Somebody's own arrival process, which finds everything fine.
#[derive(Debug)]
struct Careless {
    operations: u64,
    duration: Duration,
    peak: f64,
}

impl ArrivalProcess for Careless {
    fn intended(&self, k: u64) -> Option<Duration> {
        (k < self.operations).then_some(Duration::ZERO)
    }

    fn operations(&self) -> u64 {
        self.operations
    }

    fn duration(&self) -> Duration {
        self.duration
    }

    fn rate_at(&self, _: Duration) -> f64 {
        self.peak
    }

    fn peak_rate(&self) -> f64 {
        self.peak
    }

    fn validate(&self) -> Result<(), ConfigError> {
        Ok(())
    }
}

/// What every process answered when it was written: a change of bits breaks shards on two versions.
#[test]
fn instants_keep_their_bits() {
    let second = Duration::from_secs(1);
    let rate = Rate::ramp(0.0, 300.0, second)
        .then_steps(300.0, 100.0, 3, second / 7)
        .then_sine(150.0, 120.0, second / 3, second)
        .hold(second);
    let golden = [
        (536, [0, 81_649_659, 115_470_054, 816_496_581, 2_073_689_771, 2_523_809_524]),
        (550, [92_668_468, 95_619_410, 104_624_955, 910_211_645, 2_117_665_869, 2_537_087_617]),
        (543, [104_045_590, 115_307_744, 135_560_721, 902_967_312, 1_972_104_490, 2_262_834_833]),
        (545, [79_490_370, 97_316_366, 123_998_192, 792_616_708, 2_014_810_486, 2_489_277_268]),
    ];
    for (schedule, (operations, instants)) in processes(&rate, 42).iter().zip(golden) {
        let asked = [0, 1, 2, 100, 333, 400].map(|k| schedule.intended(k).map_or(0, |at| at.as_nanos()));
        assert_eq!((schedule.operations(), asked), (operations, instants), "{schedule:?}");
    }
}
