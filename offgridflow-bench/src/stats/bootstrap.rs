use rand_pcg::Pcg64;
use rand_pcg::rand_core::Rng;
use serde::{Deserialize, Serialize};

use super::signed_rank::middle_of;

/// An estimate with the range that the samples leave open.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    /// The best single guess.
    pub estimate: f64,
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
}

/// Which of the generator's streams: any constant does.
const STREAM: u128 = 1;
/// Resamples drawn; the ends of a 99 % interval then rest on 20 of them.
const RESAMPLES: usize = 4_000;

/// Ratio of the medians of two series, `exp(median(new) − median(base))` of their logarithms, with its percentile interval
/// from a moving-block bootstrap: blocks of n^⅓ neighbours keep the likeness of samples that follow each other.
///
/// Same `seed`, same answer. Costs 4 000 resamples of both series. `None` when a series is empty.
/// Source: Künsch, *The jackknife and the bootstrap for general stationary observations*, Ann. Statist. 17 (1989).
#[must_use]
pub fn ratio_of_medians(base_ln: &[f64], new_ln: &[f64], confidence: f64, seed: u64) -> Option<Interval> {
    let estimate = middle_of(&mut new_ln.to_vec())? - middle_of(&mut base_ln.to_vec())?;
    let mut rng = Pcg64::new(u128::from(seed), STREAM);
    let mut drawn = Vec::new();
    let mut one = |samples| {
        resample(samples, &mut rng, &mut drawn);
        middle_of(&mut drawn)
    };
    let mut ratios: Vec<f64> = (0..RESAMPLES).filter_map(|_| Some(-one(base_ln)? + one(new_ln)?)).collect();
    ratios.sort_by(f64::total_cmp);
    let tail = (1.0 - confidence) / 2.0;
    Some(Interval {
        estimate: estimate.exp(),
        low: at(&ratios, tail)?.exp(),
        high: at(&ratios, 1.0 - tail)?.exp(),
    })
}

/// Fills `drawn` with as many samples again, in blocks of neighbours that wrap around the end.
fn resample(samples: &[f64], rng: &mut Pcg64, drawn: &mut Vec<f64>) {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a small positive whole number"
    )]
    let block = (samples.len() as f64).cbrt().ceil() as usize;
    drawn.clear();
    while drawn.len() < samples.len() {
        let start = below(samples.len(), rng);
        let (whole, rest) = (
            &samples[start..(start + block).min(samples.len())],
            (start + block).saturating_sub(samples.len()),
        );
        drawn.extend_from_slice(whole);
        drawn.extend_from_slice(&samples[..rest]);
    }
    drawn.truncate(samples.len());
}

/// A number in 0..`bound`, by multiplication (Lemire 2019); the bias of at most bound / 2⁶⁴ does not matter here.
pub(crate) fn below(bound: usize, rng: &mut Pcg64) -> usize {
    let scaled = (u128::from(rng.next_u64()) * bound as u128) >> 64;
    usize::try_from(scaled).unwrap_or(0)
}

pub(crate) fn at(sorted: &[f64], share: f64) -> Option<f64> {
    let last = sorted.len().checked_sub(1)?;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share of a length")]
    let rank = (share * last as f64).round() as usize;
    sorted.get(rank).copied()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        #[test]
        fn the_median_of_unsorted_samples_is_that_of_sorted_ones(mut samples in proptest::collection::vec(-1e9..1e9_f64, 0..50)) {
            let selected = middle_of(&mut samples.clone());
            samples.sort_by(f64::total_cmp);
            prop_assert_eq!(selected, super::super::median(&samples));
        }

        /// Multiplying one side by a constant multiplies the ratio by it and nothing else.
        #[test]
        fn the_ratio_scales(samples in proptest::collection::vec(1.0..1e6_f64, 10..60), factor in 0.1..10.0_f64) {
            let base: Vec<f64> = samples.iter().map(|s| s.ln()).collect();
            let new: Vec<f64> = samples.iter().map(|s| (s * factor).ln()).collect();
            let same = ratio_of_medians(&base, &base, 0.99, 1).unwrap();
            let scaled = ratio_of_medians(&base, &new, 0.99, 1).unwrap();
            prop_assert!((scaled.estimate / factor - 1.0).abs() < 1e-9);
            prop_assert!((scaled.low / same.low / factor - 1.0).abs() < 1e-9);
            prop_assert!((scaled.high / same.high / factor - 1.0).abs() < 1e-9);
            prop_assert!(same.low <= 1.0 && same.high >= 1.0);
        }
    }

    #[test]
    fn nothing_measured_gives_no_ratio() {
        assert_eq!(ratio_of_medians(&[], &[1.0], 0.99, 1), None);
    }
}
