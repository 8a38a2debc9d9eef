//! Wilcoxon's signed-rank test (1945) and the estimate of Hodges and Lehmann (1963), exactly.

use crate::histogram::as_f64;

/// How probable it is that fair coins give ranks of positive numbers that sum to what was seen, or more.
pub(super) fn exceeds_zero(numbers: &[f64]) -> f64 {
    let numbers: Vec<f64> = numbers.iter().copied().filter(|number| *number != 0.0).collect();
    let doubled = doubled_ranks(&numbers);
    let seen: usize =
        numbers.iter().zip(&doubled).filter(|(number, _)| **number > 0.0).map(|(_, rank)| rank).sum();
    let counts = subset_sums(&doubled);
    let all: f64 = counts.iter().sum();
    counts[seen..].iter().sum::<f64>() / all
}

/// The pseudomedian of the numbers and its 95 % interval: the middle of all means of pairs, and those from which on either side is rarer than 2.5 %.
pub(super) fn pseudomedian(numbers: &[f64]) -> Option<(f64, f64, f64)> {
    let n = numbers.len();
    let mut means: Vec<f64> = Vec::with_capacity(n * (n + 1) / 2);
    for (at, one) in numbers.iter().enumerate() {
        means.extend(numbers[at..].iter().map(|other| 0.5 * (one + other)));
    }
    means.sort_by(f64::total_cmp);
    let (&lowest, &highest) = means.first().zip(means.last())?;
    let middle = 0.5 * (means[(means.len() - 1) / 2] + means[means.len() / 2]);
    let from = rarer_than(n, 0.025);
    let low = if from == 0 { lowest } else { means[from - 1] };
    let high = if from == 0 { highest } else { means[means.len() - from] };
    Some((low, middle, high))
}

/// The smallest sum of ranks that fair coins stay within with at least this probability.
fn rarer_than(n: usize, probability: f64) -> usize {
    let counts = subset_sums(&(1..=n).collect::<Vec<_>>());
    let all: f64 = counts.iter().sum();
    let mut below = 0.0;
    let reached = counts.iter().position(|count| {
        below += count / all;
        below >= probability
    });
    reached.unwrap_or(0)
}

/// Twice the rank of each by its size, so that those of equal size share a whole number.
fn doubled_ranks(numbers: &[f64]) -> Vec<usize> {
    let rank = |number: &f64| {
        let size = number.abs();
        let smaller = numbers.iter().filter(|other| other.abs() < size).count();
        let equal = numbers.iter().filter(|other| other.abs().total_cmp(&size).is_eq()).count();
        2 * smaller + equal + 1
    };
    numbers.iter().map(rank).collect()
}

/// How many subsets of these have each sum.
fn subset_sums(parts: &[usize]) -> Vec<f64> {
    let mut counts = vec![0.0; parts.iter().sum::<usize>() + 1];
    counts[0] = 1.0;
    let mut reach = 0;
    for &part in parts {
        reach += part;
        for sum in (part..=reach).rev() {
            counts[sum] += counts[sum - part];
        }
    }
    debug_assert!(counts.iter().sum::<f64>() <= libm::pow(2.0, as_f64(parts.len() as u64)) * 1.000_001);
    counts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[expect(clippy::approx_constant, reason = "a measured figure")]
    /// Hollander and Wolfe, *Nonparametric Statistical Methods*, table 3.1: depression before and after a tranquilizer.
    #[test]
    fn published_data_give_the_published_probability_and_interval() {
        let before = [1.83, 0.50, 1.62, 2.48, 1.68, 1.88, 1.55, 3.06, 1.30];
        let after = [0.878, 0.647, 0.598, 2.05, 1.06, 1.29, 1.06, 3.14, 1.29];
        let fell: Vec<f64> = before.iter().zip(after).map(|(before, after)| before - after).collect();
        let p = exceeds_zero(&fell);
        assert!((p - 0.019_531).abs() < 1e-6, "{p}"); // T+ = 40
        let (low, middle, high) = pseudomedian(&fell).expect("numbers");
        assert!((middle - 0.46).abs() < 1e-9, "{middle}");
        assert!((low - 0.01).abs() < 1e-9 && (high - 0.786).abs() < 1e-9, "{low} {high}");
    }

    #[test]
    fn fair_coins_are_fair() {
        assert!((exceeds_zero(&[1.0, -2.0, 3.0, -4.0, 5.0, 6.0]) - 0.218_75).abs() < 1e-9);
        assert!((exceeds_zero(&[1.0; 6]) - 1.0 / 64.0).abs() < 1e-12);
        assert!((exceeds_zero(&[-1.0; 6]) - 1.0).abs() < 1e-12);
        assert!((exceeds_zero(&[]) - 1.0).abs() < 1e-12);
        assert!((exceeds_zero(&[0.0, 0.0]) - 1.0).abs() < 1e-12);
    }
}
