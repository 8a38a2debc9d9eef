use rand_pcg::Pcg64;

use super::bootstrap::below;
use super::robust_spread;
use super::signed_rank::middle_of;

const STREAM: u128 = 4;
/// Fewest values on either side of a change: one spike, or two, is no level.
const SEGMENT: usize = 3;
/// Values further than this many spreads from their neighbourhood count as that far: a spike is not a level.
const FENCE: f64 = 5.0;
/// A permutation test stops when the null hypothesis has equalled the data this often: its p is known well enough by then.
const EQUALLED: usize = 10;

/// Where a series changed its level.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Split {
    /// Position of the first value of the new level.
    pub at: usize,
    /// Median after minus median before, in the unit of the values.
    pub change: f64,
    /// Permutation p-value of the *largest* split statistic over all positions: searching is paid for.
    pub p: f64,
}

/// The likeliest change of level in a series, whether or not it is significant: the split where the weighted means of both sides
/// differ by most standard errors, with the p-value of that maximum over `permutations` reorderings of the series.
///
/// `weights` are inverse variances (equal ones when the noise is even). Values beyond five robust spreads of the level around them are
/// pulled in, so a single spike weighs little. Assumes that the noise of one value does not depend on the next: where each value is an A/B
/// of its own, it does not. Same `seed`, same answer. `None` when there is no split with three values on each side.
/// The p-value stops being refined once it is clearly large (Besag and Clifford 1991). Costs permutations × n.
///
/// Sources: Sen and Srivastava, *On tests for detecting change in mean*, Ann. Statist. 3 (1975); Antoch and Hušková, *Permutation tests
/// in change point analysis*, Stat. Probab. Lett. 53 (2001).
///
/// ```
/// let series: Vec<f64> = (0..60).map(|n| f64::from(n * 7 % 5) + if n >= 40 { 8.0 } else { 0.0 }).collect();
/// let split = offgridflow_bench::stats::likeliest_split(&series, &[1.0; 60], 999, 1).unwrap();
/// assert_eq!((split.at, split.change), (40, 8.0));
/// assert!(split.p < 0.01);
/// ```
#[must_use]
pub fn likeliest_split(values: &[f64], weights: &[f64], permutations: usize, seed: u64) -> Option<Split> {
    debug_assert_eq!(values.len(), weights.len(), "one weight a value");
    let mut pairs: Vec<(f64, f64)> = fenced(values)?.into_iter().zip(weights.iter().copied()).collect();
    let (statistic, at) = largest(&pairs)?;
    let level = |side: &[f64]| middle_of(&mut side.to_vec());
    let change = level(&values[at..])? - level(&values[..at])?;
    let mut rng = Pcg64::new(u128::from(seed), STREAM);
    let (mut drawn, mut equalled) = (0, 0);
    while drawn < permutations && equalled < EQUALLED {
        shuffle(&mut pairs, &mut rng);
        equalled += usize::from(largest(&pairs).is_some_and(|(permuted, _)| permuted >= statistic));
        drawn += 1;
    }
    let p = if equalled == EQUALLED {
        equalled as f64 / drawn as f64
    } else {
        (equalled + 1) as f64 / (drawn + 1) as f64
    };
    Some(Split { at, change, p })
}

/// Robust standard deviation of the noise, unmoved by changes of level: from differences of neighbours. `None` for fewer than two values.
///
/// Source: von Neumann et al., *The mean square successive difference*, Ann. Math. Statist. 12 (1941), made robust.
#[must_use]
pub fn successive_spread(values: &[f64]) -> Option<f64> {
    let steps: Vec<f64> = values.windows(2).map(|pair| pair[1] - pair[0]).collect();
    Some(robust_spread(&steps)? / std::f64::consts::SQRT_2)
}

/// The values, those far from the median of the five around them pulled towards it; `None` when one is not finite.
fn fenced(values: &[f64]) -> Option<Vec<f64>> {
    if values.iter().any(|value| !value.is_finite()) {
        return None;
    }
    let reach = FENCE * successive_spread(values).unwrap_or(0.0);
    let last = values.len();
    Some(
        (0..last)
            .map(|nth| {
                let around = &values[nth.saturating_sub(2)..(nth + 3).min(last)];
                let level = middle_of(&mut around.to_vec()).unwrap_or(values[nth]);
                if reach > 0.0 { values[nth].clamp(level - reach, level + reach) } else { values[nth] }
            })
            .collect(),
    )
}

/// The largest standardised difference of means over all splits, squared and up to a factor that does not change under permutation.
fn largest(pairs: &[(f64, f64)]) -> Option<(f64, usize)> {
    let weight: f64 = pairs.iter().map(|(_, weight)| weight).sum();
    let mean = pairs.iter().map(|(value, weight)| value * weight).sum::<f64>() / weight;
    let (mut before, mut moment) = (0.0, 0.0);
    let mut best: Option<(f64, usize)> = None;
    for (nth, (value, own)) in pairs.iter().enumerate() {
        if nth >= SEGMENT && nth + SEGMENT <= pairs.len() {
            let statistic = moment * moment / (before * (weight - before));
            if statistic.is_finite() && best.is_none_or(|(most, _)| statistic > most) {
                best = Some((statistic, nth));
            }
        }
        before += own;
        moment += own * (value - mean);
    }
    best
}

fn shuffle<T>(items: &mut [T], rng: &mut Pcg64) {
    for last in (1..items.len()).rev() {
        items.swap(last, below(last + 1, rng));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::selftest::Dice;
    use proptest::prelude::*;

    fn noise(n: usize, seed: u64) -> Vec<f64> {
        let mut dice = Dice::new(seed);
        (0..n).map(|_| dice.normal()).collect()
    }

    #[test]
    fn p_is_uniform_without_a_change_and_small_with_one() {
        let p_of = |seed: u64, step: f64| {
            let mut series = noise(60, seed);
            series[45..].iter_mut().for_each(|value| *value += step);
            likeliest_split(&series, &[1.0; 60], 399, seed).unwrap().p
        };
        let small = (0..300).filter(|seed| p_of(*seed, 0.0) <= 0.1).count();
        assert!((14..=50).contains(&small), "{small} of 300 at 10 %");
        assert!((0..50).all(|seed| p_of(seed, 3.0) <= 0.01));
    }

    #[test]
    fn a_spike_is_no_level_and_nothing_is_no_split() {
        let mut series = noise(100, 5);
        series[70] += 30.0;
        assert!(likeliest_split(&series, &[1.0; 100], 999, 1).unwrap().p > 0.02);
        assert_eq!(likeliest_split(&[1.0; 5], &[1.0; 5], 99, 1), None);
        assert_eq!(likeliest_split(&[f64::NAN; 50], &[1.0; 50], 99, 1), None);
        let still = likeliest_split(&[1.0; 50], &[1.0; 50], 99, 1).unwrap();
        assert!(still.p > 0.99 && still.change == 0.0, "zero variance: {still:?}");
    }

    proptest! {
        /// Level and unit do not matter, and a reversed series changes at the mirrored place by the opposite amount.
        #[test]
        fn splits_move_with_the_series(seed in 0_u64..500, at in 10_usize..50, shift in -5_i32..5) {
            let mut series = noise(60, seed);
            series[at..].iter_mut().for_each(|value| *value += 12.0);
            let split = |series: &[f64]| likeliest_split(series, &[1.0; 60], 1, 1).unwrap();
            let here = split(&series);
            prop_assert!(here.at.abs_diff(at) <= 1);
            let moved: Vec<f64> = series.iter().map(|value| 4.0 * value + f64::from(shift)).collect();
            prop_assert_eq!(split(&moved).at, here.at);
            let reversed: Vec<f64> = series.iter().rev().copied().collect();
            prop_assert_eq!(split(&reversed).at, 60 - here.at);
            prop_assert!((split(&reversed).change + here.change).abs() < 1e-9);
        }
    }
}
