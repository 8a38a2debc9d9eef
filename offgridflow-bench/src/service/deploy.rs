use std::collections::BTreeMap;
use std::time::Duration;

use rand_pcg::Pcg64;
use rand_pcg::rand_core::Rng;
use serde::{Deserialize, Serialize};

/// Buckets a factor e: each is 1 % wide.
const RESOLUTION: f64 = 100.0;
/// A reference of fewer runs tells too little.
const LEAST: u64 = 100;
/// Chance that a build that is no slower is called slower, however long it runs.
const ALPHA: f64 = 0.01;
/// Shares of the wealth that are staked; its mean over them is what counts.
const STAKES: [f64; 4] = [0.25, 0.5, 0.75, 0.95];

/// How long a probe's runs took on a build that was good: a histogram whose buckets are 1 % wide, to be stored with the build and given to the
/// service of the next one.
///
/// ```
/// use std::time::Duration;
/// use offgridflow_bench::service::Reference;
/// let good: Reference = (1..=200).map(Duration::from_micros).collect();
/// let stored = serde_json::to_string(&good).unwrap();
/// assert_eq!(serde_json::from_str::<Reference>(&stored).unwrap().runs(), 200);
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Reference {
    buckets: BTreeMap<u32, u64>,
}

impl Reference {
    /// Runs in it.
    #[must_use]
    pub fn runs(&self) -> u64 {
        self.buckets.values().sum()
    }

    /// One more run; `None` when it failed.
    pub(super) fn push(&mut self, took: Option<Duration>) {
        self.add(bucket(took.unwrap_or(Duration::MAX), 1.0));
    }

    fn add(&mut self, bucket: u32) {
        *self.buckets.entry(bucket).or_default() += 1;
    }

    /// Runs below a bucket, and in it.
    fn around(&self, bucket: u32) -> (u64, u64) {
        let below = self.buckets.range(..bucket).map(|(_, runs)| runs).sum();
        (below, self.buckets.get(&bucket).copied().unwrap_or_default())
    }
}

/// Failed runs are those of [`Duration::MAX`].
impl FromIterator<Duration> for Reference {
    fn from_iter<T: IntoIterator<Item = Duration>>(runs: T) -> Self {
        let mut reference = Self::default();
        runs.into_iter().for_each(|run| reference.add(bucket(run, 1.0)));
        reference
    }
}

/// What the runs of this build say against the reference.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum DeployVerdict {
    /// There is no reference of at least a hundred runs.
    NoReference,
    /// Nothing shows that this build is slower. `p` is anytime-valid: it may be looked at after every run.
    NotSlower {
        /// Chance of so much evidence, ever, on a build that is no slower.
        p: f64,
    },
    /// It is slower by more than what does not matter.
    Slower {
        /// As above; at most 1 % over the number of probes.
        p: f64,
        /// The run at which that was shown.
        at_run: u64,
    },
    /// The control probe, which no deploy changes, became slower too: the machine is another.
    EnvironmentSuspect,
}

/// An anytime-valid test of "this build's runs are no slower than the reference's times 1 + δ".
///
/// Each run is ranked among the reference and the runs before it, both as they would be if this build were 1 + δ slower. On a build that is no
/// slower these ranks are uniform and independent of each other, or lower; wealth is staked on high ones, and by Ville's inequality it ever
/// reaches 1/α with probability at most α. Ties are broken by lot.
///
/// Source: Vovk, Gammerman and Shafer, *Algorithmic Learning in a Random World* (2005), §8.1 (sequential ranks of exchangeable values); Vovk, *Testing
/// randomness online*, Statist. Sci. 36 (2021).
#[derive(Debug)]
pub(super) struct Comparison {
    ranked: Reference,
    slack: f64, // 1 + δ
    ln_wealth: [f64; STAKES.len()],
    ln_highest: f64, // >= 0
    runs: u64,
    shown_at: Option<u64>,
    level: f64,
    rng: Pcg64,
}

impl Comparison {
    /// `None` when the reference is too small.
    pub(super) fn new(reference: &Reference, slowdown: f64, probes: usize, seed: u64) -> Option<Self> {
        (reference.runs() >= LEAST).then(|| Self {
            ranked: reference.clone(),
            slack: 1.0 + slowdown,
            ln_wealth: [0.0; STAKES.len()],
            ln_highest: 0.0,
            runs: 0,
            shown_at: None,
            level: ALPHA / probes.max(1) as f64,
            rng: Pcg64::new(u128::from(seed), 11),
        })
    }

    /// Takes one more run; `None` when it failed.
    pub(super) fn add(&mut self, took: Option<Duration>) {
        let bucket = bucket(took.unwrap_or(Duration::MAX), self.slack);
        let (below, same) = self.ranked.around(bucket);
        let lot = f64::from(self.rng.next_u32()) / f64::from(u32::MAX);
        let rank = (below as f64 + lot * (same + 1) as f64) / (self.ranked.runs() + 1) as f64;
        self.ranked.add(bucket);
        for (ln_wealth, stake) in self.ln_wealth.iter_mut().zip(STAKES) {
            *ln_wealth += (stake * (2.0 * rank - 1.0)).ln_1p();
        }
        let most = self.ln_wealth.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let sum: f64 = self.ln_wealth.iter().map(|ln| (ln - most).exp()).sum();
        self.ln_highest = self.ln_highest.max(most + (sum / STAKES.len() as f64).ln());
        self.runs += 1;
        if self.shown_at.is_none() && self.p() <= self.level {
            self.shown_at = Some(self.runs);
        }
    }

    fn p(&self) -> f64 {
        (-self.ln_highest).exp()
    }

    pub(super) fn verdict(&self) -> DeployVerdict {
        let p = self.p();
        self.shown_at.map_or(DeployVerdict::NotSlower { p }, |at_run| DeployVerdict::Slower { p, at_run })
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to 4 500")]
fn bucket(took: Duration, slack: f64) -> u32 {
    if took == Duration::MAX {
        u32::MAX
    } else {
        ((took.as_nanos() as f64 / slack).max(1.0).ln() * RESOLUTION) as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::selftest::Dice;

    fn run(dice: &mut Dice, factor: f64, ln_spread: f64) -> Duration {
        Duration::from_secs_f64(0.001 * factor * (ln_spread * dice.normal()).exp())
    }

    /// The run at which a build `factor` slower is called slower, if within `runs`.
    fn shown(factor: f64, runs: usize, seed: u64) -> Option<u64> {
        let mut dice = Dice::new(seed);
        let reference: Reference = (0..1_000).map(|_| run(&mut dice, 1.0, 0.3)).collect();
        let mut comparison = Comparison::new(&reference, 0.02, 1, seed).unwrap();
        (0..runs).for_each(|_| comparison.add(Some(run(&mut dice, factor, 0.3))));
        comparison.shown_at
    }

    #[test]
    fn b8_a_fifth_slower_is_told_within_a_hundred_runs_and_the_same_is_not() {
        let count =
            |factor: f64, runs: usize| (0..200).filter(|seed| shown(factor, runs, *seed).is_some()).count();
        let (slower, same, within) = (count(1.2, 100), count(1.0, 1_000), count(1.02, 1_000));
        assert!(slower >= 186 && same <= 4 && within <= 6, "{slower} {same} {within} of 200");
    }

    #[test]
    fn failures_are_slow_and_small_references_say_nothing() {
        let small: Reference = [Duration::from_millis(1); 99].into_iter().collect();
        assert!(Comparison::new(&small, 0.02, 1, 1).is_none());
        let good: Reference = [Duration::from_millis(1); 100].into_iter().collect();
        let mut comparison = Comparison::new(&good, 0.02, 1, 1).unwrap();
        (0..20).for_each(|_| comparison.add(None));
        assert!(
            matches!(comparison.verdict(), DeployVerdict::Slower { at_run: 5..20, .. }),
            "{comparison:?}"
        );
    }
}
