//! Where the warm-up ends, and whether what follows stands still.

use crate::histogram::as_f64;

const BATCH: usize = 5;
const MIN_BATCHES: usize = 10;
const MIN_TREND: usize = 10;

/// How many windows to cut from the front of a series of window means: MSER-5.
///
/// Means are averaged by fives, and the cut leaves the rest with the smallest squared standard error (White 1997;
/// White, Cobb and Spratt 2000). A cut in the second half is no cut: the run did not settle. Windows left over
/// at the end are not looked at. O(n).
///
/// # Errors
/// [`Unsettled`], with fewer than fifty windows too.
pub(crate) fn warm_up_cut(means: &[f64]) -> Result<usize, Unsettled> {
    let batches: Vec<f64> = means.chunks_exact(BATCH).map(|five| five.iter().sum::<f64>() / 5.0).collect();
    if batches.len() < MIN_BATCHES {
        return Err(Unsettled);
    }
    let errors = squared_errors(&batches);
    // The last five are too few to judge by: their spread is small by chance (White, Cobb and Spratt 2000).
    let best = (0..batches.len() - BATCH).min_by(|&a, &b| errors[a].total_cmp(&errors[b]));
    best.filter(|&cut| cut <= batches.len() / 2).map(|cut| cut * BATCH).ok_or(Unsettled)
}

/// The run was too short for its warm-up, or never settled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Unsettled;

/// For each cut, the sum of squares of the rest about its mean, divided by its length squared: from the back, by
/// Welford's update.
fn squared_errors(batches: &[f64]) -> Vec<f64> {
    let (mut mean, mut squares) = (0.0, 0.0);
    let mut errors: Vec<f64> = (1_u64..)
        .zip(batches.iter().rev())
        .map(|(length, &batch)| {
            let length = as_f64(length);
            let off = batch - mean;
            mean += off / length;
            squares += off * (batch - mean);
            squares / (length * length)
        })
        .collect();
    errors.reverse();
    errors
}

/// A monotone trend, tested.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Trend {
    /// Standard normal if there is no trend; positive if the series rises.
    pub(crate) z: f64,
    /// The probability of a `z` at least as far from 0 without a trend.
    pub(crate) p: f64,
}

impl Trend {
    /// No trend at this level of significance.
    pub(crate) fn is_stationary(&self, level: f64) -> bool {
        self.p > level
    }
}

/// Whether a series rises or falls: Mann (1945) and Kendall (1975), ties counted, with the variance corrected for
/// the lag-1 correlation of its detrended ranks (Hamed and Rao 1998; Yue and Wang 2004). `None` with fewer than
/// ten means. O(n²) time.
pub(crate) fn trend(means: &[f64]) -> Option<Trend> {
    if means.len() < MIN_TREND {
        return None;
    }
    let score = score(means);
    let variance = variance_with_ties(means) * inflation(means.len(), lag_one(&detrended(&ranks(means))));
    let z =
        if variance > 0.0 { (score - score.signum().min(score.abs())) / libm::sqrt(variance) } else { 0.0 };
    Some(Trend { z, p: libm::erfc(libm::fabs(z) / std::f64::consts::SQRT_2) })
}

/// Kendall's S: pairs that rise less pairs that fall.
fn score(means: &[f64]) -> f64 {
    let sign = |from: f64, to: f64| f64::from(i8::from(to > from) - i8::from(to < from));
    means
        .iter()
        .enumerate()
        .map(|(at, &from)| means[at + 1..].iter().map(|&to| sign(from, to)).sum::<f64>())
        .sum()
}

fn variance_with_ties(means: &[f64]) -> f64 {
    let part = |n: f64| n * (n - 1.0) * (2.0 * n + 5.0) / 18.0;
    let mut sorted = means.to_vec();
    sorted.sort_by(f64::total_cmp);
    let ties: f64 = sorted.chunk_by(|a, b| a == b).map(|tied| part(as_f64(tied.len() as u64))).sum();
    part(as_f64(means.len() as u64)) - ties
}

/// Ranks from 1, those of equal values averaged.
fn ranks(means: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..means.len()).collect();
    order.sort_by(|&a, &b| means[a].total_cmp(&means[b]));
    let mut ranks = vec![0.0; means.len()];
    let mut before = 0;
    for tied in order.chunk_by(|&a, &b| means[a] == means[b]) {
        let rank = as_f64((2 * before + tied.len() + 1) as u64) / 2.0;
        tied.iter().for_each(|&at| ranks[at] = rank);
        before += tied.len();
    }
    ranks
}

/// Residuals of the least-squares line.
fn detrended(values: &[f64]) -> Vec<f64> {
    let n = as_f64(values.len() as u64);
    let mean = values.iter().sum::<f64>() / n;
    let times = || (0_u64..).map(|at| as_f64(at) - (n - 1.0) / 2.0);
    let slope =
        times().zip(values).map(|(time, value)| time * value).sum::<f64>() / (n * (n * n - 1.0) / 12.0);
    times().zip(values).map(|(time, value)| value - mean - slope * time).collect()
}

fn lag_one(centred: &[f64]) -> f64 {
    let squares: f64 = centred.iter().map(|value| value * value).sum();
    let products: f64 = centred.windows(2).map(|pair| pair[0] * pair[1]).sum();
    if squares > 0.0 { products / squares } else { 0.0 }
}

/// `1 + 2 Σ (1 − k/n) rᵏ`: by how much correlation that decays as rᵏ inflates the variance; never below 1. The
/// estimate of `r` is low by about `(1 + 4 r) / n` (Kendall 1954), which is added first.
fn inflation(n: usize, r: f64) -> f64 {
    let n = as_f64(n as u64);
    let r = (r + (1.0 + 4.0 * r) / n).clamp(0.0, 0.99);
    let decay = libm::pow(r, n);
    1.0 + 2.0 * (r / (1.0 - r) - r * (1.0 - decay) / (n * (1.0 - r) * (1.0 - r)))
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;
    use crate::rng::OpRng;

    /// Twelve uniform draws less six: normal enough.
    fn noise(rng: &OpRng) -> f64 {
        (0..12).map(|_| rng.unit()).sum::<f64>() - 6.0
    }

    fn autoregressive(rng: &OpRng, n: usize, a: f64) -> Vec<f64> {
        let mut value = noise(rng) / libm::sqrt(1.0 - a * a);
        let step = |_| {
            value = a * value + noise(rng);
            value
        };
        (0..n).map(step).collect()
    }

    #[test]
    fn squared_errors_by_hand() {
        // All of 9 1 3: mean 13/3, squares 104/3, over 9. Of 1 3: mean 2, squares 2, over 4.
        let errors = squared_errors(&[9.0, 1.0, 3.0]);
        assert!((errors[0] - 104.0 / 27.0).abs() < 1e-12 && (errors[1] - 0.5).abs() < 1e-12);
        assert_eq!(errors[2], 0.0);
    }

    #[test]
    fn the_cut_falls_where_the_warm_up_ends() {
        let warm = |at: usize| if at < 40 { 10.0 - at as f64 / 5.0 } else { 1.0 };
        let means: Vec<f64> = (0..300).map(|at| warm(at) + if at % 2 == 0 { 0.3 } else { -0.3 }).collect();
        let cut = warm_up_cut(&means).expect("settles");
        assert!((35..=45).contains(&cut), "{cut}");
        assert_eq!(warm_up_cut(&[1.0; 100]), Ok(0));
    }

    #[test]
    fn a_run_that_never_settles_has_no_cut() {
        let rising: Vec<f64> = (0..200).map(f64::from).collect();
        assert_eq!(warm_up_cut(&rising), Err(Unsettled));
        assert_eq!(warm_up_cut(&[1.0; 49]), Err(Unsettled));
    }

    #[test]
    fn scores_and_variance_by_hand() {
        // Pairs of 2 1 3 3: falls 1, rises 2+2, one tie: S = 3.
        assert_eq!(score(&[2.0, 1.0, 3.0, 3.0]), 3.0);
        // 4·3·13/18 − 2·1·9/18.
        assert!((variance_with_ties(&[2.0, 1.0, 3.0, 3.0]) - (156.0 - 18.0) / 18.0).abs() < 1e-12);
        assert_eq!(ranks(&[2.0, 1.0, 3.0, 3.0]), [2.0, 1.0, 3.5, 3.5]);
        // r = 0.5, n = 2 without the bias: 1 + 2 · (1/2) · 0.5.
        let plain = |r: f64, n: f64| {
            1.0 + 2.0 * (1..50).map(|k| (1.0 - f64::from(k) / n).max(0.0) * r.powi(k)).sum::<f64>()
        };
        let r = (0.5 - 1.0 / 50.0) / (1.0 + 4.0 / 50.0);
        assert!((inflation(50, r) - plain(0.5, 50.0)).abs() < 1e-9);
    }

    #[test]
    fn a_trend_is_found_and_noise_is_left_alone() {
        let rate = |a: f64, slope: f64| {
            let found = (0..400_u64).filter(|&run| {
                let series = autoregressive(&OpRng::new(7, run), 120, a);
                let series: Vec<f64> =
                    (0_u32..).zip(series).map(|(at, x)| x + slope * f64::from(at)).collect();
                trend(&series).is_some_and(|trend| !trend.is_stationary(0.05))
            });
            found.count()
        };
        let (independent, dependent, rising) = (rate(0.0, 0.0), rate(0.6, 0.0), rate(0.3, 0.02));
        assert!(independent <= 32, "{independent} of 400");
        assert!(dependent <= 40, "{dependent} of 400");
        assert!(rising >= 380, "{rising} of 400");
    }

    #[test]
    fn too_few_means_say_nothing_and_equal_ones_stand_still() {
        assert_eq!(trend(&[1.0; 9]), None);
        assert_eq!(trend(&[1.0; 20]), Some(Trend { z: 0.0, p: 1.0 }));
    }

    proptest! {
        #[test]
        fn the_cut_is_the_smallest_error(means in vec(0.0_f64..100.0, 50..200)) {
            let batches: Vec<f64> = means.chunks_exact(5).map(|five| five.iter().sum::<f64>() / 5.0).collect();
            let error = |cut: usize| {
                let rest = &batches[cut..];
                let n = rest.len() as f64;
                let mean = rest.iter().sum::<f64>() / n;
                rest.iter().map(|x| (x - mean) * (x - mean)).sum::<f64>() / (n * n)
            };
            if let Ok(cut) = warm_up_cut(&means) {
                prop_assert_eq!(cut % 5, 0);
                prop_assert!((0..batches.len() - 5).all(|other| error(cut / 5) <= error(other) + 1e-9));
            }
        }

        #[test]
        fn a_trend_turned_round_has_the_other_sign(mut means in vec(0.0_f64..10.0, 10..60)) {
            let forth = trend(&means).expect("ten means");
            means.reverse();
            let back = trend(&means).expect("ten means");
            prop_assert!((forth.z + back.z).abs() < 1e-9 && (0.0..=1.0).contains(&forth.p));
        }
    }
}
