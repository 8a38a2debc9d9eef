/// Holm's adjusted p-values, in the order given: rejecting those at most α keeps the chance of *any* wrong rejection at most α,
/// however the tests depend on each other. NaN counts as 1.
///
/// Source: Holm, *A simple sequentially rejective multiple test procedure*, Scand. J. Statist. 6 (1979).
///
/// ```
/// assert_eq!(offgridflow_bench::stats::holm(&[0.25, 0.125, 1.0]), [0.5, 0.375, 1.0]);
/// ```
#[must_use]
pub fn holm(p: &[f64]) -> Vec<f64> {
    let tests = p.len();
    let mut adjusted = vec![1.0; tests];
    let mut highest = 0.0_f64;
    for (nth, which) in ascending(p).into_iter().enumerate() {
        highest = highest.max(or_one(p[which]) * (tests - nth) as f64);
        adjusted[which] = highest.min(1.0);
    }
    adjusted
}

/// Benjamini and Hochberg's adjusted p-values: rejecting those at most q keeps the expected share of wrong rejections at most q when the
/// tests are independent or positively dependent. NaN counts as 1.
///
/// Source: Benjamini and Hochberg, *Controlling the false discovery rate*, JRSS-B 57 (1995).
///
/// ```
/// assert_eq!(offgridflow_bench::stats::benjamini_hochberg(&[0.25, 0.0625]), [0.25, 0.125]);
/// ```
#[must_use]
pub fn benjamini_hochberg(p: &[f64]) -> Vec<f64> {
    step_up(p, 1.0)
}

/// The same under any dependence, at the price of a factor Σ 1/i.
///
/// Source: Benjamini and Yekutieli, *The control of the false discovery rate under dependency*, Ann. Statist. 29 (2001).
///
/// ```
/// assert_eq!(offgridflow_bench::stats::benjamini_yekutieli(&[0.25, 0.0625]), [0.375, 0.1875]);
/// ```
#[must_use]
pub fn benjamini_yekutieli(p: &[f64]) -> Vec<f64> {
    step_up(p, (1..=p.len()).map(|nth| 1.0 / nth as f64).sum())
}

fn step_up(p: &[f64], factor: f64) -> Vec<f64> {
    let tests = p.len() as f64;
    let mut adjusted = vec![1.0; p.len()];
    let mut lowest = 1.0_f64;
    for (nth, which) in ascending(p).into_iter().enumerate().rev() {
        lowest = lowest.min(or_one(p[which]) * factor * tests / (nth + 1) as f64);
        adjusted[which] = lowest;
    }
    adjusted
}

/// Positions by their p, smallest first.
fn ascending(p: &[f64]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..p.len()).collect();
    order.sort_by(|a, b| or_one(p[*a]).total_cmp(&or_one(p[*b])));
    order
}

fn or_one(p: f64) -> f64 {
    if p.is_nan() { 1.0 } else { p }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The fifteen p-values of Benjamini and Hochberg 1995, §3.2: at 5 % Bonferroni and Holm reject three, their procedure four.
    #[test]
    fn the_published_example_comes_out() {
        let p = [
            0.0001, 0.0004, 0.0019, 0.0095, 0.0201, 0.0278, 0.0298, 0.0344, 0.0459, 0.3240, 0.4262, 0.5719,
            0.6528, 0.7590, 1.0,
        ];
        let rejected = |adjusted: Vec<f64>| adjusted.into_iter().filter(|p| *p <= 0.05).count();
        assert_eq!(rejected(holm(&p)), 3);
        assert_eq!(rejected(benjamini_hochberg(&p)), 4);
        assert_eq!(rejected(benjamini_yekutieli(&p)), 3);
    }

    #[test]
    fn not_a_number_is_no_evidence() {
        assert_eq!(holm(&[f64::NAN, 0.01]), [1.0, 0.02]);
        assert_eq!(benjamini_hochberg(&[f64::NAN, 0.01]), [1.0, 0.02]);
        assert!(holm(&[]).is_empty());
    }

    proptest! {
        /// Adjusting keeps the order, never helps, and Holm is never laxer than Benjamini and Hochberg.
        #[test]
        fn adjusted_values_are_ordered(p in proptest::collection::vec(0.0..=1.0_f64, 1..40)) {
            let (strict, lax, any) = (holm(&p), benjamini_hochberg(&p), benjamini_yekutieli(&p));
            for (i, a) in p.iter().enumerate() {
                prop_assert!(strict[i] >= lax[i] - 1e-12 && lax[i] >= a - 1e-12 && any[i] >= lax[i] - 1e-12 && strict[i] <= 1.0);
                for (j, b) in p.iter().enumerate() {
                    prop_assert!(a > b || (strict[i] <= strict[j] && lax[i] <= lax[j]));
                }
            }
        }
    }
}
