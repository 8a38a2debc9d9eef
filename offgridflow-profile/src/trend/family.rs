//! Series whose truth is known: what the error rates are measured on. `docs/design/trend-families.md` pins each formula.

use std::time::Duration;

use rand_pcg::Pcg64;
use rand_pcg::rand_core::Rng;

use super::{Sample, Series};

pub(super) const MIB: f64 = 1_048_576.0;
/// Where every family starts, bytes.
pub(super) const LEVEL: f64 = 200.0 * MIB;
/// Spread of the noise, bytes.
const SPREAD: f64 = 2.0 * MIB;
/// Readings a series, one a second unless the family says otherwise: half an hour.
const READINGS: u32 = 1_800;

/// What a family truly is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Truth {
    /// Memory does not grow for good.
    Quiet,
    /// It wanders: quiet, but no single window can tell.
    Wandering,
    /// It grows and levels off.
    WarmUp,
    /// It jumps, once or more.
    Step,
    /// It grows by three spreads of the noise over the window, or more.
    Leak,
    /// It leaks beneath a season of three stable periods or a sawtooth of 24 cycles.
    HiddenLeak,
    /// It leaks in so few steps that they may as well be events: a longer window is needed to say so.
    Undecided,
}

impl Truth {
    /// Whether "leak" is the right word for it.
    #[must_use]
    pub fn leaks(self) -> bool {
        matches!(self, Self::Leak | Self::HiddenLeak)
    }

    /// Whether "leak" is the wrong word for it.
    #[must_use]
    pub fn is_quiet(self) -> bool {
        !self.leaks() && self != Self::Undecided
    }
}

/// A kind of series: the same seed gives the same readings on every machine.
///
/// ```
/// use offgridflow_profile::families::Family;
/// use offgridflow_profile::{Shape, TrendOptions};
///
/// for family in Family::all().iter().filter(|family| family.truth.is_quiet()) {
///     let wrong = (0..20).filter(|seed| {
///         family.series(*seed).verdict(&TrendOptions::default()).shape == Shape::Leak
///     });
///     assert!(wrong.count() <= 2, "{}", family.name);
/// }
/// ```
#[derive(Debug, Clone, Copy)]
pub struct Family {
    /// Its name.
    pub name: &'static str,
    /// What it truly is.
    pub truth: Truth,
    make: fn(&mut Dice) -> Series,
}

impl Family {
    /// Every family, the quiet ones first.
    #[must_use]
    pub fn all() -> &'static [Self] {
        FAMILIES
    }

    /// The series of a seed.
    #[must_use]
    pub fn series(&self, seed: u64) -> Series {
        (self.make)(&mut Dice::of(seed))
    }
}

const fn family(name: &'static str, truth: Truth, make: fn(&mut Dice) -> Series) -> Family {
    Family { name, truth, make }
}

const FAMILIES: &[Family] = &[
    family("independent noise", Truth::Quiet, |dice| noisy(dice, 0.0, flat)),
    family("autoregression 0.5", Truth::Quiet, |dice| noisy(dice, 0.5, flat)),
    family("autoregression 0.9", Truth::Quiet, |dice| noisy(dice, 0.9, flat)),
    family("autoregression 0.99", Truth::Quiet, |dice| noisy(dice, 0.99, flat)),
    family("sawtooth 60 s", Truth::Quiet, |dice| noisy(dice, 0.5, |t| sawtooth(t, 60.0))),
    family("sawtooth 300 s", Truth::Quiet, |dice| noisy(dice, 0.5, |t| sawtooth(t, 300.0))),
    family("jittered sawtooth", Truth::Quiet, |dice| jittered(dice, 0.0)),
    family("season of 3 periods", Truth::Quiet, |dice| noisy(dice, 0.5, |t| season(t, 600.0))),
    family("season of 4.5 periods", Truth::Quiet, |dice| noisy(dice, 0.5, |t| season(t, 400.0))),
    family("long sawtooth 600 s", Truth::Quiet, |dice| long_sawtooth(dice, 600.0)),
    family("long sawtooth 780 s", Truth::Quiet, |dice| long_sawtooth(dice, 780.0)),
    family("long sawtooth 900 s", Truth::Quiet, |dice| long_sawtooth(dice, 900.0)),
    family("long sawtooth 1200 s", Truth::Quiet, |dice| long_sawtooth(dice, 1_200.0)),
    family("long sawtooth 1700 s", Truth::Quiet, |dice| long_sawtooth(dice, 1_700.0)),
    family("long season 1200 s", Truth::Quiet, |dice| long_season(dice, 1_200.0)),
    family("long season 1700 s", Truth::Quiet, |dice| long_season(dice, 1_700.0)),
    family("season of 2 periods", Truth::Quiet, |dice| noisy(dice, 0.5, |t| season(t, 900.0))),
    family("unequal spacing", Truth::Quiet, |dice| unequal(dice, 0.0)),
    family("gaps", Truth::Quiet, |dice| gaps(dice, 0.0)),
    family("ties", Truth::Quiet, |dice| ties(dice, 0.0)),
    family("random walk", Truth::Wandering, random_walk),
    family("warm-up, 200 s", Truth::WarmUp, |dice| noisy(dice, 0.0, |t| saturating(t, 200.0))),
    family("warm-up, 600 s", Truth::WarmUp, |dice| noisy(dice, 0.0, |t| saturating(t, 600.0))),
    family("step", Truth::Step, |dice| noisy(dice, 0.0, |t| if t > 700.0 { 60.0 * MIB } else { 0.0 })),
    family("three steps", Truth::Step, |dice| noisy(dice, 0.5, three_steps)),
    family("step and warm-up", Truth::Step, |dice| noisy(dice, 0.0, deployed)),
    family("leak", Truth::Leak, |dice| noisy(dice, 0.0, |t| leak(t, 3.0))),
    family("leak, autoregression 0.5", Truth::Leak, |dice| noisy(dice, 0.5, |t| leak(t, 3.0))),
    family("leak, autoregression 0.9", Truth::Leak, |dice| noisy(dice, 0.9, |t| leak(t, 3.0))),
    family("leak, unequal spacing", Truth::Leak, |dice| unequal(dice, 3.0)),
    family("leak, gaps", Truth::Leak, |dice| gaps(dice, 3.0)),
    family("leak, ties", Truth::Leak, |dice| ties(dice, 3.0)),
    family("leak by steps", Truth::Leak, |dice| noisy(dice, 0.5, |t| 2.0 * MIB * (t / 100.0).floor())),
    family("leak, 5 MB every 2 min", Truth::Leak, |dice| stairs(dice, 5.0e6, 120.0)),
    family("leak, 5 MB every 2 min, still", Truth::Leak, |dice| {
        let phase = dice.uniform() * 120.0;
        small_noise(dice, move |t| 5.0e6 * ((t + phase) / 120.0).floor())
    }),
    family("leak, 64 MiB every 15 min", Truth::Undecided, |dice| stairs(dice, 64.0 * MIB, 900.0)),
    family("leak, 64 MiB every 2 min", Truth::Leak, |dice| stairs(dice, 64.0 * MIB, 120.0)),
    family("leak, accelerating", Truth::Leak, |dice| noisy(dice, 0.5, |t| accelerating(t, 12.0))),
    family("leak, accelerating fast", Truth::Leak, |dice| noisy(dice, 0.5, |t| accelerating(t, 60.0))),
    family("leak, exponential", Truth::Leak, |dice| noisy(dice, 0.5, |t| exponential(t, 3.0, 600.0))),
    family("leak, exponential, still", Truth::Leak, |dice| small_noise(dice, |t| exponential(t, 0.5, 300.0))),
    family("leak, sawtooth 60 s", Truth::HiddenLeak, |dice| {
        noisy(dice, 0.5, |t| sawtooth(t, 60.0) + leak(t, 3.0))
    }),
    family("leak, sawtooth 75 s", Truth::HiddenLeak, |dice| {
        noisy(dice, 0.5, |t| sawtooth(t, 75.0) + leak(t, 3.0))
    }),
    family("leak, jittered sawtooth", Truth::HiddenLeak, |dice| jittered(dice, 3.0)),
    family("leak, season of 3 periods", Truth::HiddenLeak, |dice| {
        noisy(dice, 0.5, |t| season(t, 600.0) + leak(t, 3.0))
    }),
    family("leak, season of 4.5 periods", Truth::HiddenLeak, |dice| {
        noisy(dice, 0.5, |t| season(t, 400.0) + leak(t, 3.0))
    }),
    family("leak, season, autoregression 0.9", Truth::HiddenLeak, |dice| {
        noisy(dice, 0.9, |t| season(t, 600.0) + leak(t, 3.0))
    }),
];

fn flat(_: f64) -> f64 {
    0.0
}

/// Growth by so many spreads of the noise over half an hour.
fn leak(seconds: f64, spreads: f64) -> f64 {
    spreads * SPREAD * seconds / f64::from(READINGS)
}

/// Rises by 30 MiB and falls back.
fn sawtooth(seconds: f64, period: f64) -> f64 {
    30.0 * MIB * (seconds / period).fract()
}

fn season(seconds: f64, period: f64) -> f64 {
    20.0 * MIB * (std::f64::consts::TAU * seconds / period).sin()
}

fn saturating(seconds: f64, tau: f64) -> f64 {
    80.0 * MIB * (1.0 - (-seconds / tau).exp())
}

fn three_steps(seconds: f64) -> f64 {
    40.0 * MIB * [400.0, 900.0, 1_300.0].into_iter().filter(|at| seconds > *at).count() as f64
}

/// A sawtooth of 10, 30 or 100 MiB that begins anywhere in its cycle.
fn long_sawtooth(dice: &mut Dice, period: f64) -> Series {
    let (phase, height) = (dice.uniform() * period, [10.0, 30.0, 100.0][dice.below(3)]);
    noisy(dice, 0.5, move |t| height / 30.0 * sawtooth(t + phase, period))
}

/// A season that begins anywhere in its period.
fn long_season(dice: &mut Dice, period: f64) -> Series {
    let phase = dice.uniform() * period;
    noisy(dice, 0.5, move |t| season(t + phase, period))
}

/// Rises by `height` bytes every so often, the first time at any moment.
fn stairs(dice: &mut Dice, height: f64, every: f64) -> Series {
    let phase = dice.uniform() * every;
    noisy(dice, 0.5, move |t| height * ((t + phase) / every).floor())
}

/// Grows by so many MiB in half an hour, with the square of the time.
fn accelerating(seconds: f64, mib: f64) -> f64 {
    mib * MIB * (seconds / f64::from(READINGS)).powi(2)
}

/// So many MiB that grow e-fold every `tau` seconds.
fn exponential(seconds: f64, mib: f64, tau: f64) -> f64 {
    mib * MIB * ((seconds / tau).exp() - 1.0)
}

/// Around `shape`, a hundredth of the noise that the other families have: what most processes look like at rest.
fn small_noise(dice: &mut Dice, shape: impl Fn(f64) -> f64) -> Series {
    let mut noise = Autoregression::begin(0.5, dice);
    (0..READINGS)
        .map(|second| sample(f64::from(second), shape(f64::from(second)) + 0.01 * noise.next(dice)))
        .collect()
}

/// A new version is started after ten minutes: a step, then a warm-up.
fn deployed(seconds: f64) -> f64 {
    if seconds < 600.0 { 0.0 } else { 60.0 * MIB + 0.5 * saturating(seconds - 600.0, 120.0) }
}

/// First-order autoregression around [`LEVEL`] plus `shape`.
fn noisy(dice: &mut Dice, rho: f64, shape: impl Fn(f64) -> f64) -> Series {
    let mut noise = Autoregression::begin(rho, dice);
    (0..READINGS)
        .map(|second| sample(f64::from(second), shape(f64::from(second)) + noise.next(dice)))
        .collect()
}

/// A sawtooth whose cycles last 40 to 80 s, each drawn afresh.
fn jittered(dice: &mut Dice, spreads: f64) -> Series {
    let mut noise = Autoregression::begin(0.5, dice);
    let (mut began, mut lasts) = (0.0, 40.0 + 40.0 * dice.uniform());
    (0..READINGS)
        .map(|second| {
            let t = f64::from(second);
            if t >= began + lasts {
                (began, lasts) = (t, 40.0 + 40.0 * dice.uniform());
            }
            sample(t, 0.5 * MIB * (t - began) + leak(t, spreads) + noise.next(dice))
        })
        .collect()
}

/// Readings at gaps of an exponential length, one second on average.
fn unequal(dice: &mut Dice, spreads: f64) -> Series {
    let mut t = 0.0;
    (0..READINGS)
        .map(|_| {
            t += 0.001 - dice.uniform().ln();
            sample(t, leak(t, spreads) + SPREAD * dice.normal())
        })
        .collect()
}

/// Three stretches of two minutes each without a reading, at random.
fn gaps(dice: &mut Dice, spreads: f64) -> Series {
    let holes: Vec<f64> = (0..3).map(|_| dice.uniform() * f64::from(READINGS - 120)).collect();
    let whole = noisy(dice, 0.5, |t| leak(t, spreads));
    whole
        .iter()
        .filter(|sample| {
            !holes.iter().any(|hole| (hole..&(hole + 120.0)).contains(&&sample.at.as_secs_f64()))
        })
        .collect()
}

/// Readings in units of 1 MiB, as an allocator that returns whole arenas shows.
fn ties(dice: &mut Dice, spreads: f64) -> Series {
    let round = |s: Sample| Sample { bytes: s.bytes >> 20 << 20, ..s };
    noisy(dice, 0.5, |t| leak(t, spreads)).iter().map(round).collect()
}

fn random_walk(dice: &mut Dice) -> Series {
    let mut state = 0.0;
    (0..READINGS)
        .map(|second| {
            state += 0.1 * SPREAD * dice.normal();
            sample(f64::from(second), state)
        })
        .collect()
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "positive and far below 2^53")]
fn sample(seconds: f64, above: f64) -> Sample {
    Sample { at: Duration::from_secs_f64(seconds), bytes: (LEVEL + above).max(0.0) as u64 }
}

/// First-order autoregression in bytes, with a spread of [`SPREAD`].
pub(super) struct Autoregression {
    rho: f64,
    state: f64,
}

impl Autoregression {
    /// In its stationary state.
    pub(super) fn begin(rho: f64, dice: &mut Dice) -> Self {
        Self { rho, state: dice.normal() }
    }

    pub(super) fn next(&mut self, dice: &mut Dice) -> f64 {
        self.state = self.rho * self.state + (1.0 - self.rho * self.rho).sqrt() * dice.normal();
        SPREAD * self.state
    }
}

/// Seeded chance.
pub(super) struct Dice(Pcg64);

impl Dice {
    pub(super) fn of(seed: u64) -> Self {
        Self(Pcg64::new(u128::from(seed), 7))
    }

    /// Above 0, below 1.
    pub(super) fn uniform(&mut self) -> f64 {
        (f64::from(self.0.next_u32()) + 0.5) / 4_294_967_296.0
    }

    /// Below `bound`.
    fn below(&mut self, bound: u32) -> usize {
        (self.0.next_u32() % bound) as usize
    }

    /// Box and Muller's transform.
    fn normal(&mut self) -> f64 {
        (-2.0 * self.uniform().ln()).sqrt() * (std::f64::consts::TAU * self.uniform()).cos()
    }
}
