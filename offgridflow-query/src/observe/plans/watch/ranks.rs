//! Whether later durations are longer than earlier ones, by ranks.

/// How much slower, and how sure that is.
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Slower {
    /// Later median over earlier median.
    pub times: f64,
    /// Median before, in nanoseconds.
    pub before_ns: u64,
    /// Median after, in nanoseconds.
    pub after_ns: u64,
    /// One-sided p of Mann and Whitney's test (1947), normal approximation with correction for ties and continuity.
    pub p: f64,
}

/// Compares two samples; `None` where one is empty.
pub(crate) fn slower(before: &[u64], after: &[u64]) -> Option<Slower> {
    let (before_ns, after_ns) = (median(before)?, median(after)?);
    let times = after_ns as f64 / before_ns.max(1) as f64;
    Some(Slower { times, before_ns, after_ns, p: p_greater(before, after) })
}

pub(crate) fn median(values: &[u64]) -> Option<u64> {
    let mut sorted = values.to_vec();
    sorted.sort_unstable();
    sorted.get(sorted.len() / 2).copied()
}

/// Probability of ranks like these, or more extreme, if `after` is not larger than `before`.
fn p_greater(before: &[u64], after: &[u64]) -> f64 {
    let (m, n) = (before.len() as f64, after.len() as f64);
    let mut all: Vec<(u64, bool)> = before.iter().map(|&value| (value, false)).collect();
    all.extend(after.iter().map(|&value| (value, true)));
    all.sort_unstable();
    let (mut below, mut rank_sum, mut ties) = (0.0, 0.0, 0.0);
    for same in all.chunk_by(|one, other| one.0 == other.0) {
        let size = same.len() as f64;
        let rank = below + (size + 1.0) / 2.0;
        rank_sum += rank * same.iter().filter(|one| one.1).count() as f64;
        ties += size.powi(3) - size;
        below += size;
    }
    let u = rank_sum - n * (n + 1.0) / 2.0;
    let total = m + n;
    let variance = m * n / 12.0 * (total + 1.0 - ties / (total * (total - 1.0)).max(1.0));
    if variance <= 0.0 {
        return 1.0;
    }
    upper_tail((u - m * n / 2.0 - 0.5) / variance.sqrt())
}

/// Upper tail of the standard normal distribution (Abramowitz and Stegun 26.2.17: error below 7.5e-8).
fn upper_tail(z: f64) -> f64 {
    if z < 0.0 {
        return 1.0 - upper_tail(-z);
    }
    let t = 1.0 / (1.0 + 0.231_641_9 * z);
    let poly = t
        * (0.319_381_530
            + t * (-0.356_563_782 + t * (1.781_477_937 + t * (-1.821_255_978 + t * 1.330_274_429))));
    poly * (-z * z / 2.0).exp() / (2.0 * std::f64::consts::PI).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn tails_are_those_of_the_tables() {
        for (z, p) in
            [(0.0, 0.5), (1.0, 0.158_655_3), (2.326_348, 0.01), (3.090_232, 0.001), (-1.0, 0.841_344_7)]
        {
            assert!((upper_tail(z) - p).abs() < 1e-6, "{z}");
        }
    }

    /// scipy.stats.mannwhitneyu(after, before, alternative="greater", method="asymptotic").
    #[test]
    fn p_is_that_of_another_implementation() {
        let before: Vec<u64> = vec![10, 12, 11, 13, 9, 10, 12, 11];
        let after: Vec<u64> = vec![20, 22, 19, 25, 21, 11, 24, 23];
        let p = p_greater(&before, &after);
        assert!((p - 0.001_860_4).abs() < 1e-6, "{p}");
        assert!(p_greater(&after, &before) > 0.99);
        assert_eq!(p_greater(&[5; 8], &[5; 8]), 1.0);
    }

    proptest! {
        #[test]
        fn equal_samples_are_never_slower_than_themselves(values in prop::collection::vec(1u64..1_000, 1..60)) {
            let same = slower(&values, &values).unwrap();
            prop_assert!(same.p >= 0.4 && (same.times - 1.0).abs() < 1e-12, "{same:?}");
        }

        #[test]
        fn what_is_larger_throughout_is_slower(values in prop::collection::vec(100u64..200, 8..60)) {
            let later: Vec<u64> = values.iter().map(|value| value * 3).collect();
            let change = slower(&values, &later).unwrap();
            prop_assert!(change.p < 0.01 && change.times > 2.0, "{change:?}");
        }
    }
}
