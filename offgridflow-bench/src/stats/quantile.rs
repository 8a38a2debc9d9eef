use statrs::distribution::{Binomial, DiscreteCDF};

/// Median of `sorted` (ascending); the mean of the middle two when their number is even. `None` when empty.
///
/// ```
/// assert_eq!(offgridflow_bench::stats::median(&[1.0, 2.0, 10.0]), Some(2.0));
/// ```
#[must_use]
pub fn median(sorted: &[f64]) -> Option<f64> {
    let middle = sorted.len() / 2;
    let upper = *sorted.get(middle)?;
    Some(if sorted.len() % 2 == 1 { upper } else { f64::midpoint(sorted[middle - 1], upper) })
}

/// Ranks (from 0, ascending) of the samples that bound a quantile, each on its own side with the confidence asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QuantileBounds {
    /// The sample that the quantile is not below; `None` when there are too few to say.
    pub lower: Option<usize>,
    /// The sample that the quantile is not above; `None` when there are too few to say.
    pub upper: Option<usize>,
}

/// Distribution-free one-sided bounds on the `quantile` of what `n` independent samples were drawn from: the number of
/// samples below it is binomial, so the sample of rank *u* lies above it with probability P(Bin(n, q) < u).
///
/// Samples that resemble their neighbours carry less than their number says; the bounds are then too narrow.
/// Source: David & Nagaraja, *Order Statistics*, 3rd ed., §7.1.
///
/// ```
/// use offgridflow_bench::stats::quantile_bounds;
/// // 58 samples do not bound a p95 from above with 95 % confidence, 59 do: 0.95⁵⁹ < 0.05.
/// assert_eq!(quantile_bounds(58, 0.95, 0.95).upper, None);
/// assert_eq!(quantile_bounds(59, 0.95, 0.95).upper, Some(58));
/// ```
///
/// # Panics
/// When `quantile` or `confidence` is not strictly between 0 and 1.
#[must_use]
pub fn quantile_bounds(n: usize, quantile: f64, confidence: f64) -> QuantileBounds {
    assert!(quantile > 0.0 && quantile < 1.0, "a quantile lies between 0 and 1");
    assert!(confidence > 0.0 && confidence < 1.0, "a confidence lies between 0 and 1");
    let below = Binomial::new(quantile, n as u64).expect("the quantile is a probability");
    let at_most = |rank: usize| below.cdf(rank as u64);
    // Upper: the smallest rank r (from 0) with P(Bin <= r) >= confidence, if a sample has it.
    let upper = first(n, |rank| at_most(rank) >= confidence).filter(|rank| *rank < n);
    // Lower: the largest rank r (from 0) with P(Bin <= r) <= 1 - confidence.
    let lower = first(n, |rank| at_most(rank) > 1.0 - confidence).and_then(|rank| rank.checked_sub(1));
    QuantileBounds { lower, upper }
}

/// The smallest rank in 0..n at which `holds`, which stays true once it is; `None` when there is none.
fn first(n: usize, holds: impl Fn(usize) -> bool) -> Option<usize> {
    let (mut low, mut high) = (0, n);
    while low < high {
        let middle = usize::midpoint(low, high);
        if holds(middle) { high = middle } else { low = middle + 1 }
    }
    (low < n).then_some(low)
}

/// The fewest samples whose largest bounds the `quantile` from above with `confidence`: the smallest n with qⁿ ≤ 1 − c.
///
/// ```
/// use offgridflow_bench::stats::least_samples;
/// assert_eq!((least_samples(0.95, 0.95), least_samples(0.99, 0.95)), (59, 299));
/// ```
///
/// # Panics
/// When `quantile` or `confidence` is not strictly between 0 and 1.
#[must_use]
pub fn least_samples(quantile: f64, confidence: f64) -> usize {
    assert!(quantile > 0.0 && quantile < 1.0, "a quantile lies between 0 and 1");
    assert!(confidence > 0.0 && confidence < 1.0, "a confidence lies between 0 and 1");
    let needed = ((1.0 - confidence).ln() / quantile.ln()).ceil();
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "positive, and saturating is right"
    )]
    let needed = needed as usize;
    needed.max(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Hahn & Meeker, *Statistical Intervals*, table of distribution-free bounds: n = 100, median, 95 %.
    #[test]
    fn bounds_agree_with_the_published_table() {
        let bounds = quantile_bounds(100, 0.5, 0.95);
        assert_eq!((bounds.lower, bounds.upper), (Some(41), Some(58)));
    }

    proptest! {
        #[test]
        fn bounds_are_ordered_and_cover(n in 1_usize..2_000, percent in 1_u32..99) {
            let quantile = f64::from(percent) / 100.0;
            let bounds = quantile_bounds(n, quantile, 0.95);
            if let (Some(lower), Some(upper)) = (bounds.lower, bounds.upper) {
                prop_assert!(lower <= upper && upper < n);
            }
            prop_assert_eq!(bounds.upper.is_some(), n >= least_samples(quantile, 0.95));
        }

        #[test]
        fn a_median_splits_its_samples(mut samples in proptest::collection::vec(-1e9..1e9_f64, 1..50)) {
            samples.sort_by(f64::total_cmp);
            let median = median(&samples).unwrap();
            prop_assert!(samples.iter().filter(|s| **s < median).count() <= samples.len() / 2);
            prop_assert!(samples.iter().filter(|s| **s > median).count() <= samples.len() / 2);
        }
    }
}
