//! How often the verdict errs, on series whose truth is known. Seeds are fixed: the counts are the same on every machine.
#![expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "made-up bytes are positive and small"
)]
use std::time::Duration;

use offgridflow_profile::{Sample, Series, Shape, TrendOptions, Verdict};
use proptest::prelude::*;
use rand_pcg::Pcg64;
use rand_pcg::rand_core::Rng;

const MIB: f64 = 1_048_576.0;
const READINGS: usize = 1_800; // half an hour at one a second
const SEEDS: u64 = 200;

struct Noise(Pcg64);

impl Noise {
    fn new(seed: u64) -> Self {
        Self(Pcg64::new(u128::from(seed), 7))
    }

    fn uniform(&mut self) -> f64 {
        (f64::from(self.0.next_u32()) + 0.5) / 4_294_967_296.0
    }

    /// Box and Muller's transform.
    fn normal(&mut self) -> f64 {
        (-2.0 * self.uniform().ln()).sqrt() * (std::f64::consts::TAU * self.uniform()).cos()
    }
}

fn series(mut bytes: impl FnMut(usize) -> f64) -> Series {
    let sample = |i: usize| Sample { at: Duration::from_secs(i as u64), bytes: bytes(i).max(0.0) as u64 };
    (0..READINGS).map(sample).collect()
}

fn judge(series: &Series) -> Verdict {
    series.verdict(&TrendOptions::default())
}

fn share(family: impl Fn(u64) -> Series, is: impl Fn(Shape) -> bool) -> f64 {
    let count = (0..SEEDS).filter(|seed| is(judge(&family(*seed)).shape)).count();
    count as f64 / SEEDS as f64
}

fn leaks(shape: Shape) -> bool {
    shape == Shape::Leak
}

/// An autoregression of the first order around 200 MiB with a spread of 2 MiB, plus `trend` at each reading.
fn autoregressive(rho: f64, seed: u64, trend: impl Fn(usize) -> f64) -> Series {
    let mut noise = Noise::new(seed);
    let mut state = 0.0;
    series(|i| {
        state = rho * state + (1.0 - rho * rho).sqrt() * noise.normal();
        200.0 * MIB + 2.0 * MIB * state + trend(i)
    })
}

#[test]
fn series_without_a_trend_are_not_called_leaks() {
    let flat = |_: usize| 0.0;
    for rho in [0.0, 0.5, 0.9, 0.99] {
        let wrong = share(|seed| autoregressive(rho, seed, flat), leaks);
        assert!(wrong <= 0.03, "autoregression {rho}: {wrong}");
    }
    let wrong = share(
        |seed| {
            let (mut noise, mut state) = (Noise::new(seed), 200.0 * MIB);
            series(|_| {
                state += 0.2 * MIB * noise.normal();
                state
            })
        },
        leaks,
    );
    assert!(wrong <= 0.06, "random walk: {wrong}");
}

#[test]
fn sawteeth_steps_and_warm_ups_are_not_called_leaks() {
    let sawtooth = |seed| autoregressive(0.5, seed, |i| (i % 60) as f64 * 0.5 * MIB);
    assert!(share(sawtooth, leaks) <= 0.03);
    let step = |seed| autoregressive(0.0, seed, |i| if i > 700 { 60.0 * MIB } else { 0.0 });
    assert!(share(step, leaks) <= 0.03);
    assert!(share(step, |shape| shape == Shape::Step) >= 0.9);
    let warm_up = |seed| autoregressive(0.0, seed, |i| 80.0 * MIB * (1.0 - (-(i as f64) / 200.0).exp()));
    assert!(share(warm_up, |shape| shape == Shape::WarmUp) >= 0.95);
}

#[test]
fn leaks_are_found() {
    for (rho, sds) in [(0.0, 3.0), (0.5, 5.0), (0.9, 8.0)] {
        let grow = sds * 2.0 * MIB / READINGS as f64;
        let found = share(|seed| autoregressive(rho, seed, |i| grow * i as f64), leaks);
        assert!(found >= 0.95, "{sds} spreads under autoregression {rho}: {found}");
    }
}

#[test]
fn the_slope_of_a_leak_is_right() {
    let grow = 40.0 * MIB / READINGS as f64;
    let covered = (0..SEEDS).filter(|seed| {
        let slope = judge(&autoregressive(0.0, *seed, |i| grow * i as f64)).slope.unwrap();
        (slope.low..=slope.high).contains(&grow)
    });
    assert!(covered.count() as f64 / SEEDS as f64 >= 0.97);
}

/// The control: "it rose five times in a row" and plain differences call most quiet series leaks.
#[test]
fn five_rises_in_a_row_is_wrong_nearly_always() {
    let rises = |series: &Series| {
        let bytes: Vec<u64> = series.iter().map(|sample| sample.bytes).collect();
        bytes.windows(6).any(|six| six.windows(2).all(|pair| pair[1] > pair[0]))
    };
    let wrong = (0..SEEDS).filter(|seed| rises(&autoregressive(0.5, *seed, |_| 0.0))).count();
    assert!(wrong as f64 / SEEDS as f64 > 0.9, "{wrong}");
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
    let grow = 100.0 * MIB / READINGS as f64;
    let series = autoregressive(0.0, 1, |i| grow * i as f64);
    let last = series.last().unwrap().bytes;
    let options = TrendOptions { limit_bytes: Some(last + (100 << 20)), ..TrendOptions::default() };
    let (soonest, latest) = series.verdict(&options).time_to_limit.unwrap();
    let half_hour = Duration::from_secs(READINGS as u64);
    assert!(soonest < half_hour && half_hour < latest && latest < half_hour * 2, "{soonest:?} to {latest:?}");
}

#[test]
fn a_window_mostly_without_readings_is_unknown() {
    let sample = |s| Sample { at: Duration::from_secs(s), bytes: 1 << 30 };
    let series: Series = (0..60).chain([1_800]).map(sample).collect();
    assert!(matches!(judge(&series).shape, Shape::Unknown { .. }));
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
        let here = autoregressive(0.5, seed, |i| i as f64 * 4_096.0);
        let there: Series = here.iter().map(|sample| Sample { at: sample.at + Duration::from_secs(shift), ..sample }).collect();
        prop_assert_eq!(judge(&here).shape, judge(&there).shape);
    }
}
