use super::median;

/// The pseudomedian: the median of the means of all pairs, each value paired with itself too. `None` when empty or when a value is NaN.
/// Costs O(n²) time and memory.
///
/// Source: Hodges and Lehmann, *Estimates of location based on rank tests*, Ann. Math. Statist. 34 (1963).
///
/// ```
/// assert_eq!(offgridflow_bench::stats::hodges_lehmann(&[1.0, 2.0, 9.0]), Some(3.5));
/// ```
#[must_use]
pub fn hodges_lehmann(values: &[f64]) -> Option<f64> {
    if values.iter().any(|value| value.is_nan()) {
        return None;
    }
    let mut means: Vec<f64> = Vec::with_capacity(values.len() * (values.len() + 1) / 2);
    for (nth, one) in values.iter().enumerate() {
        means.extend(values[nth..].iter().map(|other| f64::midpoint(*one, *other)));
    }
    middle_of(&mut means)
}

/// Median of unsorted values without NaN, which it reorders; costs O(n).
pub(crate) fn middle_of(values: &mut [f64]) -> Option<f64> {
    let middle = values.len() / 2;
    if values.is_empty() {
        return None;
    }
    let even = values.len().is_multiple_of(2);
    let (below, upper, _) = values.select_nth_unstable_by(middle, f64::total_cmp);
    let lower = below.iter().copied().max_by(f64::total_cmp).filter(|_| even);
    Some(lower.map_or(*upper, |lower| f64::midpoint(lower, *upper)))
}

/// Median absolute deviation from the median, times 1.4826: the standard deviation of normal noise, unmoved by a few wild values.
/// `None` when empty.
///
/// Source: Hampel, *The influence curve and its role in robust estimation*, JASA 69 (1974).
#[must_use]
pub fn robust_spread(values: &[f64]) -> Option<f64> {
    let mut sorted: Vec<f64> = values.iter().copied().filter(|value| !value.is_nan()).collect();
    sorted.sort_by(f64::total_cmp);
    let centre = median(&sorted)?;
    let mut distances: Vec<f64> = sorted.iter().map(|value| (value - centre).abs()).collect();
    middle_of(&mut distances).map(|deviation| 1.4826 * deviation)
}

/// Exact one-sided p-value of the signed-rank test of "centred at most at `boundary`", given the ranks (ties get their mean). Values on
/// the boundary and NaN are left out, as Wilcoxon did. 1 when nothing is left. For a number of values fixed beforehand: looking
/// repeatedly voids it. Costs O(n³).
///
/// Sources: Wilcoxon, *Individual comparisons by ranking methods*, Biometrics Bull. 1 (1945); with ties by enumeration, Streitberg and
/// Röhmel 1986 (the shift algorithm).
///
/// ```
/// // Five of five above: 1 in 2⁵.
/// assert_eq!(offgridflow_bench::stats::signed_rank_p(&[1.0, 2.0, 3.0, 4.0, 5.0], 0.0), 0.03125);
/// ```
#[must_use]
pub fn signed_rank_p(values: &[f64], boundary: f64) -> f64 {
    let mut beyond: Vec<f64> =
        values.iter().map(|value| value - boundary).filter(|d| !d.is_nan() && *d != 0.0).collect();
    beyond.sort_by(|a, b| a.abs().total_cmp(&b.abs()));
    let ranks = doubled_ranks(&beyond);
    let reached: usize = beyond.iter().zip(&ranks).filter(|(d, _)| **d > 0.0).map(|(_, rank)| rank).sum();
    // chance[s]: that the doubled ranks of the values whose coin says "above" sum up to s.
    let mut chance = vec![0.0_f64; ranks.iter().sum::<usize>() + 1];
    chance[0] = 1.0;
    let mut highest = 0;
    for rank in ranks {
        highest += rank;
        for sum in (0..=highest).rev() {
            let without = chance[sum];
            let with = if sum >= rank { chance[sum - rank] } else { 0.0 };
            chance[sum] = f64::midpoint(without, with);
        }
    }
    chance[reached..].iter().sum::<f64>().min(1.0)
}

/// Twice the rank of each magnitude, so that the mean rank of a tie is whole; `sorted` ascends by magnitude.
fn doubled_ranks(sorted: &[f64]) -> Vec<usize> {
    let mut ranks = Vec::with_capacity(sorted.len());
    while ranks.len() < sorted.len() {
        let first = ranks.len();
        let tied = sorted[first..].iter().take_while(|value| value.abs() == sorted[first].abs()).count();
        ranks.extend(std::iter::repeat_n(2 * first + tied + 1, tied));
    }
    ranks
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Hollander and Wolfe, *Nonparametric Statistical Methods*, example 3.1: nine pairs, T⁺ = 5 for an improvement, P = 0.0195.
    #[test]
    fn the_published_example_comes_out() {
        let before = [1830.0, 500.0, 1620.0, 2480.0, 1680.0, 1880.0, 1550.0, 3060.0, 1300.0]; // thousandths
        let after = [878.0, 647.0, 598.0, 2050.0, 1060.0, 1290.0, 1060.0, 3140.0, 1290.0];
        let gains: Vec<f64> = before.iter().zip(after).map(|(before, after)| before - after).collect();
        assert!((signed_rank_p(&gains, 0.0) - 10.0 / 512.0).abs() < 1e-12);
        assert!((hodges_lehmann(&gains).unwrap() - 460.0).abs() < 1e-9);
    }

    #[test]
    fn ties_and_zeros_are_exact() {
        // Magnitudes 1, 1, 2: ranks 1.5, 1.5, 3. Both ones below: T⁺ = 3, reached by {3}, {1.5, 1.5}, {3, 1.5} twice, all: 5 of 8.
        assert!((signed_rank_p(&[-1.0, -1.0, 2.0, 0.0, f64::NAN], 0.0) - 5.0 / 8.0).abs() < 1e-12);
        assert!((signed_rank_p(&[0.0; 9], 0.0) - 1.0).abs() < 1e-12);
        assert!((signed_rank_p(&[3.0; 10], 0.0) - 1.0 / 1024.0).abs() < 1e-12, "zero variance");
        assert_eq!(hodges_lehmann(&[3.0; 4]), Some(3.0));
        assert_eq!(hodges_lehmann(&[]), None);
        assert_eq!(hodges_lehmann(&[1.0, f64::NAN]), None);
        assert_eq!(robust_spread(&[5.0; 8]), Some(0.0));
    }

    /// Over all 2ⁿ coins the p-value is at most α in at most a share α, ties or not.
    #[test]
    fn the_p_value_is_exact_over_all_coins() {
        let magnitudes = [1.0, 2.0, 2.0, 4.0, 5.0, 5.0, 5.0, 8.0, 9.0, 10.0];
        for alpha in [0.01, 0.05, 0.2] {
            let rejected = (0..1024_u32).filter(|coins| {
                let values: Vec<f64> = magnitudes
                    .iter()
                    .enumerate()
                    .map(|(nth, m)| if coins >> nth & 1 == 1 { -m } else { *m })
                    .collect();
                signed_rank_p(&values, 0.0) <= alpha
            });
            let share = rejected.count() as f64 / 1024.0;
            assert!(share <= alpha && share > alpha / 3.0, "{share} at {alpha}");
        }
    }

    proptest! {
        #[test]
        fn the_pseudomedian_moves_and_scales_with_its_values(values in proptest::collection::vec(-1e3..1e3_f64, 1..40), shift in -10.0..10.0_f64, factor in 0.5..4.0_f64) {
            let centre = hodges_lehmann(&values).unwrap();
            let moved: Vec<f64> = values.iter().map(|value| value * factor + shift).collect();
            prop_assert!((hodges_lehmann(&moved).unwrap() - (centre * factor + shift)).abs() < 1e-6);
            let mirrored: Vec<f64> = values.iter().map(|value| -value).collect();
            prop_assert!((hodges_lehmann(&mirrored).unwrap() + centre).abs() < 1e-9);
        }

        #[test]
        fn p_is_a_probability_that_falls_with_the_evidence(values in proptest::collection::vec(-20_i32..20, 0..40)) {
            let values: Vec<f64> = values.into_iter().map(f64::from).collect();
            let raised: Vec<f64> = values.iter().map(|value| value + 1.0).collect();
            let p = signed_rank_p(&values, 0.5);
            prop_assert!((0.0..=1.0).contains(&p));
            prop_assert!(signed_rank_p(&raised, 0.5) <= p + 1e-9);
        }
    }
}
