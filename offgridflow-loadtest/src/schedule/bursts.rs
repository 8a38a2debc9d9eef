//! A rate that switches between two levels at random: a Markov-modulated Poisson process of two states.

use std::{fmt, sync::Arc, time::Duration};

use crate::{error::ConfigError, rate::Rate, rng::OpRng};

/// How bursts come and go: a rate of a plan is the mean, around which it switches at random between a high and a low level.
///
/// Both last exponentially distributed times, so that nobody can tell when the next one ends. Between bursts the rate is what keeps the mean:
/// `(1 − share·times) / (1 − share)` of it, and nothing where bursts hold all of it.
///
/// ```
/// use {offgridflow_loadtest::{ArrivalProcess, Bursts, Rate, Schedule}, std::time::Duration};
/// // A tenth of the time five times as much, for two seconds at a time; nine tenths of the time 0.556 of the mean.
/// let bursts = Bursts { times: 5.0, share: 0.1, length: Duration::from_secs(2) };
/// let schedule = Schedule::bursty(Rate::constant(100.0, Duration::from_secs(600)), bursts, 42);
/// assert!(schedule.validate().is_ok());
/// assert_eq!(schedule.peak_rate(), 500.0);
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bursts {
    /// By how much the rate of a burst is above the mean: above 1, and at most `1 / share`.
    pub times: f64,
    /// The share of the time that bursts take, above 0 and below 1.
    pub share: f64,
    /// How long a burst lasts on average, from a millisecond to a day.
    pub length: Duration,
}

/// A level is held in so many parts of the mean rate.
const PARTS: u128 = 1_000_000;
/// The most levels of a plan.
const MOST_LEVELS: usize = 1 << 21;
const SHORTEST: Duration = Duration::from_millis(1);
const LONGEST: Duration = Duration::from_secs(86_400);

impl Bursts {
    pub(super) fn validate(&self, plan: Duration) -> Result<(), ConfigError> {
        let refused = |hint: String| Err(ConfigError::new("bursts", hint));
        let Self { times, share, length } = *self;
        if !(share > 0.0 && share < 1.0) {
            return refused(format!(
                "the share of the time that bursts take lies between 0 and 1, not at {share:e}"
            ));
        }
        if !(times > 1.0 && times * share <= 1.0 + 1e-9) {
            let most = 1.0 / share;
            return refused(format!(
                "bursts of {share} of the time are above 1 and at most {most:.3} times the mean, not {times:e}"
            ));
        }
        if !(SHORTEST..=LONGEST).contains(&length) {
            return refused(format!("bursts last from {SHORTEST:?} to a day on average, not {length:?}"));
        }
        let levels = 2.0 * plan.as_secs_f64() * share / length.as_secs_f64();
        if levels > 1_000_000.0 {
            return refused(
                "there would be more than 500 000 bursts: make them longer, or split the run".into(),
            );
        }
        Ok(())
    }

    /// The level of a burst and of what is between, in parts.
    fn levels(&self) -> [u128; 2] {
        let calm = (1.0 - self.share * self.times).max(0.0) / (1.0 - self.share);
        [parts(self.times), parts(calm)]
    }

    /// How long a burst and what is between lasts on average, in nanoseconds.
    fn lengths(&self) -> [f64; 2] {
        let burst = self.length.as_secs_f64() * 1e9;
        [burst, burst * (1.0 - self.share) / self.share]
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "at most a few thousand times a million"
)]
fn parts(times: f64) -> u128 {
    libm::round(times * PARTS as f64) as u128
}

/// The area under a rate that is modulated, as a function of the area under the rate itself: straight lines, one for each level.
#[derive(Clone)]
pub(super) struct Modulated {
    lines: Arc<[Line]>,
    area: u128,  // all of it
    whole: u128, // under the rate itself
}

#[derive(Debug, Clone, Copy)]
struct Line {
    from: u128, // area under the rate
    at: u128,   // area under the modulated one
    level: u128,
}

impl Modulated {
    /// The levels of a plan, by (seed, number of the level).
    pub(super) fn new(bursts: &Bursts, rate: &Rate, seed: u64) -> Self {
        let (levels, lengths) = (bursts.levels(), bursts.lengths());
        let draw = |index: u64| OpRng::new(seed ^ 0x6275_7273_7473_0000, index).unit();
        let mut state = usize::from(draw(0) >= bursts.share); // as likely as it is at any other instant
        let (mut lines, mut from_ns, mut at) = (Vec::new(), 0_u64, 0_u128);
        let end = u64::try_from(rate.duration().as_nanos()).unwrap_or(u64::MAX);
        while from_ns < end && lines.len() < MOST_LEVELS {
            let lasts = nanos(-libm::log(1.0 - draw(1 + lines.len() as u64)) * lengths[state]);
            let to_ns = from_ns.saturating_add(lasts.max(1)).min(end);
            let (from, to) = (rate.area_by(from_ns), rate.area_by(to_ns));
            lines.push(Line { from, at, level: levels[state] });
            at += (to - from) * levels[state] / PARTS;
            (from_ns, state) = (to_ns, 1 - state);
        }
        Self { lines: lines.into(), area: at, whole: rate.area() }
    }

    /// The area under the modulated rate.
    pub(super) fn area(&self) -> u128 {
        self.area
    }

    /// The area under the rate itself by which so much lies under the modulated one.
    pub(super) fn unmodulated(&self, area: u128) -> u128 {
        let next = self.lines.partition_point(|line| line.at <= area);
        let Some(line) = next.checked_sub(1).and_then(|at| self.lines.get(at)) else { return 0 };
        let beyond = ((area - line.at) * PARTS).div_ceil(line.level.max(1));
        (line.from + beyond).min(self.whole.saturating_sub(1)) // what is due at the very end is due before it
    }
}

impl fmt::Debug for Modulated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Modulated").field("levels", &self.lines.len()).finish_non_exhaustive()
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturates, and never negative")]
fn nanos(length: f64) -> u64 {
    length as u64
}
