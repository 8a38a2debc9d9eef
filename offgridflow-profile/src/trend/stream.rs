//! Memory over hours and days, whose course is known: what long cycles do to a verdict. `docs/design/trend-families.md` pins each formula.

use std::f64::consts::TAU;
use std::time::Duration;

use super::Sample;
use super::family::{Autoregression, Dice, LEVEL, MIB, Truth};

const HALF_HOUR: f64 = 1_800.0;

/// A course of memory without an end: the same seed gives the same readings on every machine.
#[derive(Debug, Clone, Copy)]
pub struct Stream {
    /// Its name.
    pub name: &'static str,
    /// What it truly is.
    pub truth: Truth,
    /// Seconds, of a cycle; 0 without one.
    pub period: u32,
    shape: fn(f64, f64, f64) -> f64, // seconds since the start, the period, and where in it that was (0 to 1): bytes
}

impl Stream {
    /// Every stream, the quiet ones first, by the length of their cycle.
    #[must_use]
    pub fn all() -> &'static [Self] {
        STREAMS
    }

    /// The readings of a seed, one a second; a cycle begins anywhere.
    pub fn readings(&self, seed: u64) -> impl Iterator<Item = Sample> + use<> {
        let mut dice = Dice::of(seed);
        let mut noise = Autoregression::begin(0.5, &mut dice);
        let (shape, period, phase) = (self.shape, f64::from(self.period), dice.uniform());
        (0_u32..).map(move |second| {
            let above = shape(f64::from(second), period, phase) + noise.next(&mut dice);
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "positive and far below 2^53"
            )]
            let bytes = (LEVEL + above).max(0.0) as u64;
            Sample { at: Duration::from_secs(second.into()), bytes }
        })
    }
}

const fn stream(name: &'static str, truth: Truth, period: u32, shape: fn(f64, f64, f64) -> f64) -> Stream {
    Stream { name, truth, period, shape }
}

const STREAMS: &[Stream] = &[
    stream("nothing but noise", Truth::Quiet, 0, |_, _, _| 0.0),
    stream("sawtooth 600 s", Truth::Quiet, 600, sawtooth),
    stream("sawtooth 780 s", Truth::Quiet, 780, sawtooth),
    stream("sawtooth 900 s", Truth::Quiet, 900, sawtooth),
    stream("sawtooth 1200 s", Truth::Quiet, 1_200, sawtooth),
    stream("sawtooth 1700 s", Truth::Quiet, 1_700, sawtooth),
    stream("sawtooth 1 h", Truth::Quiet, 3_600, sawtooth),
    stream("sawtooth 2 h", Truth::Quiet, 7_200, sawtooth),
    stream("sawtooth 4 h", Truth::Quiet, 14_400, sawtooth),
    stream("season 900 s", Truth::Quiet, 900, season),
    stream("season 1800 s", Truth::Quiet, 1_800, season),
    stream("season 1 h", Truth::Quiet, 3_600, season),
    stream("season 3 h", Truth::Quiet, 10_800, season),
    stream("season 6 h", Truth::Quiet, 21_600, season),
    stream("season 1 d", Truth::Quiet, 86_400, season),
    stream("leak", Truth::Leak, 0, leak),
    stream("leak, 5 MB every 2 min", Truth::Leak, 120, |t, every, phase| 5.0e6 * (t / every + phase).floor()),
    stream("leak, 64 MiB every 15 min", Truth::Leak, 900, |t, every, phase| {
        64.0 * MIB * (t / every + phase).floor()
    }),
    stream("leak, accelerating", Truth::Leak, 0, |t, _, _| 2.0 * MIB * (t / HALF_HOUR).powi(2)),
    stream("leak, doubling every hour", Truth::Leak, 0, |t, _, _| MIB * ((t / 3_600.0).exp2() - 1.0)),
    stream("leak, sawtooth 900 s", Truth::HiddenLeak, 900, |t, period, phase| {
        sawtooth(t, period, phase) + leak(t, period, phase)
    }),
    stream("leak, sawtooth 1 h", Truth::HiddenLeak, 3_600, |t, period, phase| {
        sawtooth(t, period, phase) + leak(t, period, phase)
    }),
    stream("leak, season 3 h", Truth::Undecided, 10_800, |t, period, phase| {
        season(t, period, phase) + leak(t, period, phase)
    }),
];

/// 6 MiB in half an hour, three spreads of the noise.
fn leak(seconds: f64, _: f64, _: f64) -> f64 {
    6.0 * MIB * seconds / HALF_HOUR
}

/// Rises by 30 MiB and falls back.
fn sawtooth(seconds: f64, period: f64, phase: f64) -> f64 {
    30.0 * MIB * (seconds / period + phase).fract()
}

/// Goes 20 MiB up and down.
fn season(seconds: f64, period: f64, phase: f64) -> f64 {
    20.0 * MIB * (TAU * (seconds / period + phase)).sin()
}
