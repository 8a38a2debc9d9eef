use statrs::distribution::{ContinuousCDF, StudentsT};

use super::adversary::{ALPHA, BENCHES, ROUNDS, boundary_suite_is_red, difference};
use super::{Dice, Rate, Skew, Weather};
use crate::stats::{Betting, Tail};

/// The gate with a deliberate fault, each of which some tool has: its suites of two identical programs (for
/// [`MedianCentred`](Self::MedianCentred), of slow-downs by δ) must be red too often.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mutant {
    /// Base first, always.
    FixedOrder,
    /// The boundary is meant for the median of skewed noise instead of its pseudomedian.
    MedianCentred,
    /// Welch's t-test of all samples of ten processes a side as if each had a process of its own.
    PooledSamples,
    /// "t ≥ 2 is significant", whatever n and however many benchmarks.
    FixedT,
    /// A t-test with its proper quantile for the suite, but looked at after every round.
    Peeking,
}

impl Mutant {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::FixedOrder, Self::MedianCentred, Self::PooledSamples, Self::FixedT, Self::Peeking];

    /// What it does, in words.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::FixedOrder => "fixed order",
            Self::MedianCentred => "median-centred null",
            Self::PooledSamples => "pooled samples",
            Self::FixedT => "fixed t",
            Self::Peeking => "peeking",
        }
    }

    /// How many of `suites` simulated ones are red; every one is wrong.
    #[must_use]
    pub fn red_suites(self, suites: u64, seed: u64) -> Rate {
        let mut dice = Dice::new(seed);
        let median = Skew::Exponential.centres().0;
        let mut rate = Rate::default();
        for _ in 0..suites {
            rate.count(match self {
                Self::MedianCentred => boundary_suite_is_red(Skew::Exponential, median, &mut dice),
                _ => self.suite_is_red(&mut dice),
            });
        }
        rate
    }

    fn suite_is_red(self, dice: &mut Dice) -> bool {
        let weather = if self == Self::FixedOrder { Weather::Order } else { Weather::Calm };
        let shared = weather.pairs(ROUNDS, dice);
        (0..BENCHES).fold(false, |red, _| {
            let own = weather.pairs(ROUNDS, dice);
            let mut ratios: Vec<f64> =
                shared.iter().zip(&own).map(|(shared, own)| difference(shared, own)).collect();
            if self != Self::FixedOrder {
                ratios.iter_mut().for_each(|ratio| *ratio *= dice.coin());
            }
            self.is_red(&ratios, dice) || red
        })
    }

    fn is_red(self, ratios: &[f64], dice: &mut Dice) -> bool {
        let level = ALPHA / BENCHES as f64;
        match self {
            Self::FixedT => t_of(&ratios[..10]) >= 2.0,
            Self::Peeking => peeks(ratios, level),
            Self::PooledSamples => pooled(&ratios[..10], level, dice),
            Self::FixedOrder | Self::MedianCentred => {
                let mut test = Betting::new(Tail::Above, 0.0);
                test.extend(ratios.iter().copied());
                test.p() <= level
            }
        }
    }
}

/// Student's t of "the mean is 0".
pub(super) fn t_of(values: &[f64]) -> f64 {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / (n - 1.0);
    mean / (variance / n).sqrt()
}

/// Whether a t-test at `level` is significant after any of the rounds.
fn peeks(ratios: &[f64], level: f64) -> bool {
    (5..=ratios.len())
        .any(|n| StudentsT::new(0.0, 1.0, (n - 1) as f64).is_ok_and(|t| t.sf(t_of(&ratios[..n])) <= level))
}

/// Whether Welch's t-test of twenty samples of each process is significant; within a process they vary by 2 %.
fn pooled(ratios: &[f64], level: f64, dice: &mut Dice) -> bool {
    const SAMPLES: usize = 20;
    let side = |share: f64, dice: &mut Dice| -> (f64, f64) {
        let values: Vec<f64> = ratios
            .iter()
            .flat_map(|ratio| (0..SAMPLES).map(move |_| share * ratio))
            .map(|centre| centre + 0.02 * dice.normal())
            .collect();
        let n = values.len() as f64;
        let mean = values.iter().sum::<f64>() / n;
        (mean, values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / (n - 1.0) / n)
    };
    let ((base, base_error), (new, new_error)) = (side(-0.5, dice), side(0.5, dice));
    let t = (new - base) / (base_error + new_error).sqrt();
    StudentsT::new(0.0, 1.0, (2 * SAMPLES * ratios.len() - 2) as f64)
        .is_ok_and(|student| student.sf(t) <= level)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn b4_every_mutant_is_caught() {
        for mutant in Mutant::ALL {
            let rate = mutant.red_suites(if mutant == Mutant::PooledSamples { 60 } else { 25 }, 22);
            assert!(rate.at_least() > ALPHA, "{}: {rate:?}", mutant.name());
        }
    }
}
