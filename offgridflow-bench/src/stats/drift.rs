use statrs::distribution::{ContinuousCDF, Normal};

use super::signed_rank::middle_of;

/// A slow movement over the whole series.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Drift {
    /// Median slope between all pairs of values (Theil–Sen), in their unit a step.
    pub slope: f64,
    /// Two-sided p-value of the Mann–Kendall test, ties accounted for.
    pub p: f64,
}

/// Whether a series moves one way, by Mann and Kendall's test, and how fast, by Theil and Sen's slope. Assumes independent noise.
/// `None` with fewer than four values or when one is not finite. Costs O(n²).
///
/// Sources: Mann 1945; Kendall, *Rank Correlation Methods* (variance with ties); Sen, JASA 63 (1968).
///
/// ```
/// let drift = offgridflow_bench::stats::drift(&[0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0]).unwrap();
/// assert_eq!(drift.slope, 1.0);
/// assert!(drift.p < 0.01);
/// ```
#[must_use]
pub fn drift(values: &[f64]) -> Option<Drift> {
    let n = values.len();
    if n < 4 || values.iter().any(|value| !value.is_finite()) {
        return None;
    }
    let mut slopes = Vec::with_capacity(n * (n - 1) / 2);
    let mut score = 0.0;
    for (i, earlier) in values.iter().enumerate() {
        for (j, later) in values.iter().enumerate().skip(i + 1) {
            slopes.push((later - earlier) / (j - i) as f64);
            score += if later == earlier { 0.0 } else { (later - earlier).signum() };
        }
    }
    Some(Drift { slope: middle_of(&mut slopes)?, p: p_of(score, variance(values)) })
}

/// Variance of Kendall's score under "no trend": n(n−1)(2n+5)/18, less the same of each tie.
fn variance(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let share = |n: f64| n * (n - 1.0) * (2.0 * n + 5.0) / 18.0;
    let ties: f64 = sorted.chunk_by(|a, b| a == b).map(|tied| share(tied.len() as f64)).sum();
    share(values.len() as f64) - ties
}

fn p_of(score: f64, variance: f64) -> f64 {
    if score == 0.0 || variance <= 0.0 {
        return 1.0;
    }
    let z = (score.abs() - 1.0) / variance.sqrt();
    2.0 * Normal::standard().sf(z)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::selftest::Dice;

    /// By hand: 3, 1, 2, 4 has the score 2; without ties the variance is 4·3·13/18, a tie of two takes 2·1·9/18 off.
    #[test]
    fn the_score_and_its_variance_are_kendalls() {
        assert!((variance(&[3.0, 1.0, 2.0, 4.0]) - 4.0 * 3.0 * 13.0 / 18.0).abs() < 1e-12);
        assert!((variance(&[1.0, 1.0, 2.0, 3.0]) - (4.0 * 3.0 * 13.0 - 2.0 * 9.0) / 18.0).abs() < 1e-12);
        let p = drift(&[3.0, 1.0, 2.0, 4.0]).unwrap().p;
        assert!((p - 2.0 * Normal::standard().sf(1.0 / (4.0_f64 * 3.0 * 13.0 / 18.0).sqrt())).abs() < 1e-12);
    }

    #[test]
    fn quiet_series_do_not_drift_and_slow_ones_do() {
        let p = |seed: u64, slope: f64| {
            let mut dice = Dice::new(seed);
            drift(&(0..80).map(|n| dice.normal() + slope * f64::from(n)).collect::<Vec<_>>()).unwrap().p
        };
        let alarms = (0..400).filter(|seed| p(*seed, 0.0) <= 0.05).count();
        assert!((6..=36).contains(&alarms), "{alarms} of 400 at 5 %");
        assert!((0..50).all(|seed| p(seed, 0.05) < 0.01));
        assert_eq!(drift(&[1.0; 3]), None);
        assert_eq!(drift(&[2.0; 9]), Some(Drift { slope: 0.0, p: 1.0 }));
        assert_eq!(drift(&[1.0, 2.0, f64::NAN, 3.0]), None);
    }
}
