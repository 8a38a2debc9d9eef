//! Schedules are exact: they never run backwards, lose nothing, and split without a trace.

use std::time::Duration;

use offgridflow_loadtest::{ArrivalProcess, Rate, Schedule};
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

proptest! {
    #[test]
    fn the_count_is_the_integral_with_a_begun_operation_whole(stages in stages()) {
        let area = doubled_area(&stages);
        prop_assert_eq!(u128::from(build(&stages).operations()), area.div_ceil(2 * 1_000 * 1_000_000_000));
    }

    #[test]
    fn instants_never_decrease_and_stay_inside(stages in stages()) {
        let schedule = Schedule::steady(build(&stages));
        let instants: Vec<_> = schedule.shard(0, 1).collect();
        prop_assert_eq!(u64::try_from(instants.len()).unwrap(), schedule.operations());
        prop_assert!(instants.is_sorted_by_key(|(_, at)| *at));
        prop_assert!(instants.iter().all(|(_, at)| *at <= schedule.duration()));
        prop_assert_eq!(schedule.intended(schedule.operations()), None);
    }

    #[test]
    fn the_union_of_shards_is_bit_identical(stages in stages(), shards in 1..9_u64, seed: u64, random: bool) {
        let rate = build(&stages);
        let schedule = if random { Schedule::poisson(rate, seed) } else { Schedule::steady(rate) };
        let whole: Vec<_> = schedule.shard(0, 1).collect();
        let mut union: Vec<_> = (0..shards).flat_map(|index| schedule.shard(index, shards)).collect();
        union.sort_unstable();
        prop_assert_eq!(union, whole);
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
        let rate = || Rate::constant(1_000.0, Duration::from_secs(1));
        let (one, other) = (Schedule::poisson(rate(), seed), Schedule::poisson(rate(), seed));
        // Asked in any order, by anyone.
        let _ = other.intended(700);
        prop_assert_eq!(one.intended(k), other.intended(k));
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

/// 20 seeds: the mean count is the integral, gaps are exponential (Kolmogorov–Smirnov at 1 %), and windows of
/// 100 ms vary as much as they hold.
#[test]
fn random_arrivals_are_poisson() {
    let (rate, seconds) = (500.0, 20);
    let mut passed = 0;
    let mut dispersions = Vec::new();
    for seed in 0..20 {
        let schedule = Schedule::poisson(Rate::constant(rate, Duration::from_secs(seconds)), seed);
        let at: Vec<f64> = schedule.shard(0, 1).map(|(_, at)| at.as_secs_f64()).collect();
        let mut gaps: Vec<f64> = at.windows(2).map(|pair| pair[1] - pair[0]).collect();
        gaps.sort_by(f64::total_cmp);
        let n = gaps.len() as f64;
        let distance = gaps.iter().enumerate().map(|(i, gap)| {
            let model = 1.0 - (-rate * gap).exp();
            (model - i as f64 / n).abs().max((model - (i + 1) as f64 / n).abs())
        });
        passed += u32::from(distance.fold(0.0, f64::max) < 1.63 / n.sqrt());
        let held = |w: u32| {
            let window = 0.1 * f64::from(w)..0.1 * f64::from(w + 1);
            at.iter().filter(|at| window.contains(*at)).count() as f64
        };
        let windows: Vec<_> = (0..200).map(held).collect();
        let mean = windows.iter().sum::<f64>() / 200.0;
        dispersions.push(windows.iter().map(|count| (count - mean).powi(2)).sum::<f64>() / 199.0 / mean);
    }
    assert!(passed >= 18, "{passed} of 20 seeds look exponential");
    let dispersion = dispersions.iter().sum::<f64>() / 20.0;
    assert!((0.93..1.07).contains(&dispersion), "{dispersion}");
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
        assert_eq!(Schedule::poisson(Rate::constant(impossible, second), 1).operations(), 0);
    }
}
