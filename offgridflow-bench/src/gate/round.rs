use rand_pcg::Pcg64;
use rand_pcg::rand_core::Rng;
use serde::{Deserialize, Serialize};

use crate::fnv::fnv1a;

/// The one number that stands for a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Statistic {
    /// Half the samples are faster.
    Median,
    /// A quarter is.
    LowerQuartile,
    /// A tenth is.
    LowestDecile,
}

impl Statistic {
    /// All of them, the most ordinary first.
    pub const ALL: [Self; 3] = [Self::Median, Self::LowerQuartile, Self::LowestDecile];

    /// Of samples in any order; NaN when there are none.
    #[must_use]
    pub fn of(self, samples: &[f64]) -> f64 {
        let mut sorted = samples.to_vec();
        sorted.sort_by(f64::total_cmp);
        let nth = match self {
            Self::Median => return crate::stats::median(&sorted).unwrap_or(f64::NAN),
            Self::LowerQuartile => sorted.len() / 4,
            Self::LowestDecile => sorted.len() / 10,
        };
        sorted.get(nth).copied().unwrap_or(f64::NAN)
    }
}

/// One round of one benchmark: a fresh process a side, in the order that a coin gave.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Round {
    /// `package/target: benchmark`.
    pub bench: String,
    /// Counted from 0.
    pub round: usize,
    /// Whether this is base against base.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub control: bool,
    /// Whether the base ran first.
    pub base_first: bool,
    /// In which link order both sides were, 0 being the linker's own.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub layout: usize,
    /// Nanoseconds an iteration of the base's process, to six digits.
    pub base: Vec<f64>,
    /// The same of the head's process; of a control, of the other base's.
    pub head: Vec<f64>,
    /// Milliseconds that the round waited for a calmer machine.
    #[serde(default)]
    pub waited_ms: u64,
    /// Milliseconds that its processes took, from their start to their end.
    #[serde(default)]
    pub took_ms: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
fn is_zero(layout: &usize) -> bool {
    *layout == 0
}

impl Round {
    /// ln of head over base.
    #[must_use]
    pub fn ln_ratio(&self, statistic: Statistic) -> f64 {
        (statistic.of(&self.head) / statistic.of(&self.base)).ln()
    }
}

/// Six significant digits: what is kept is what is judged.
pub(crate) fn kept(samples: &[f64]) -> Vec<f64> {
    let rounded = |sample: &f64| {
        #[expect(clippy::cast_possible_truncation, reason = "-30 to 30")]
        let digits = 5 - sample.abs().log10().floor().clamp(-30.0, 30.0) as i32;
        let unit = 10_f64.powi(digits);
        if *sample == 0.0 || !sample.is_finite() { *sample } else { (sample * unit).round() / unit }
    };
    samples.iter().map(rounded).collect()
}

/// Whether the base goes first: a fair coin for each round of each benchmark, which the seed decides.
pub(crate) fn base_first(seed: u64, bench: &str, round: usize, control: bool) -> bool {
    let name = fnv1a(bench.as_bytes()); // a stream of its own for each
    let state = u128::from(seed) << 64 | round as u128;
    Pcg64::new(state, u128::from(name) << 1 | u128::from(control)).next_u64() >> 63 == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_coin_is_fair_and_the_seed_decides_it() {
        let heads = |seed: u64, bench: &str| {
            (0..4_000).filter(|round| base_first(seed, bench, *round, false)).count()
        };
        for (seed, bench) in [(1, "a"), (1, "b"), (u64::MAX, "a"), (7, "")] {
            assert!((1_870..=2_130).contains(&heads(seed, bench)), "{}", heads(seed, bench));
        }
        let coins = |seed: u64, bench: &str, control: bool| {
            (0..64).map(|round| base_first(seed, bench, round, control)).collect::<Vec<_>>()
        };
        assert_eq!(coins(1, "a", false), coins(1, "a", false));
        assert!(coins(1, "a", false) != coins(2, "a", false) && coins(1, "a", false) != coins(1, "b", false));
        assert!(coins(1, "a", false) != coins(1, "a", true));
    }

    #[test]
    fn one_number_stands_for_a_process() {
        let samples: Vec<f64> = (1..=100).rev().map(f64::from).collect();
        let of = |statistic: Statistic| statistic.of(&samples);
        assert_eq!(Statistic::ALL.map(of), [50.5, 26.0, 11.0]);
        assert!(Statistic::Median.of(&[]).is_nan() && Statistic::LowestDecile.of(&[3.0]) == 3.0);
        assert_eq!(kept(&[123_456_789.0, 0.001_234_567_8, 0.0]), [123_457_000.0, 0.001_234_57, 0.0]);
    }
}
