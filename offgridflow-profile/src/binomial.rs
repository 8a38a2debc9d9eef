use crate::normal::upper_tail;

/// From this variance on the normal distribution stands for the binomial: they differ by less than a hundredth of p there, and terms need not be summed.
const WIDE: f64 = 1e6;

/// Chance that so many trials split as unevenly as `losses` to `wins`, or more so, when each is won with chance `p`: twice the
/// smaller tail, of which the split itself counts half (mid-P), at most 1.
pub(crate) fn two_sided(losses: u64, wins: u64, p: f64) -> f64 {
    let n = losses.saturating_add(wins);
    if n == 0 || p <= 0.0 || p >= 1.0 {
        return 1.0;
    }
    let variance = n as f64 * p * (1.0 - p);
    if variance >= WIDE {
        return (2.0 * upper_tail((wins as f64 - n as f64 * p).abs() / variance.sqrt())).min(1.0);
    }
    let here = (ln_choose(n, wins) + wins as f64 * p.ln() + losses as f64 * (1.0 - p).ln()).exp();
    let odds = p / (1.0 - p);
    if here == 0.0 {
        return 0.0; // too far out for a number
    }
    let above = tail(here, (wins..n).map(|k| (n - k) as f64 / (k + 1) as f64 * odds));
    let below = tail(here, (1..=wins).rev().map(|k| k as f64 / (n - k + 1) as f64 / odds));
    (2.0 * (0.5 * here + above.min(below))).min(1.0)
}

/// What follows a term, each `ratio` times the one before, until it no longer counts.
fn tail(first: f64, ratios: impl Iterator<Item = f64>) -> f64 {
    let (mut term, mut sum) = (first, 0.0);
    for ratio in ratios {
        term *= ratio;
        sum += term;
        if ratio < 1.0 && term < 1e-17 * sum.max(f64::MIN_POSITIVE) {
            break;
        }
    }
    sum
}

fn ln_choose(n: u64, k: u64) -> f64 {
    ln_factorial(n) - ln_factorial(k) - ln_factorial(n - k)
}

/// Stirling's series, whose third term errs by less than 10⁻¹⁰ from 32 on; below, the sum.
fn ln_factorial(n: u64) -> f64 {
    if n < 32 {
        return (2..=n).map(|k| (k as f64).ln()).sum();
    }
    let x = n as f64;
    x * x.ln() - x + 0.5 * (std::f64::consts::TAU * x).ln() + 1.0 / (12.0 * x) - 1.0 / (360.0 * x.powi(3))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn near(a: f64, b: f64) {
        assert!((a / b - 1.0).abs() < 1e-9, "{a} {b}");
    }

    #[test]
    fn tails_agree_with_counting() {
        near(two_sided(10, 0, 0.5), 2.0_f64.powi(-10)); // twice half of one split in 1 024
        near(two_sided(1, 2, 0.5), 2.0 * (0.5 * 0.375 + 0.125));
        assert_eq!(two_sided(5, 5, 0.5), 1.0);
        assert_eq!(two_sided(0, 0, 0.5), 1.0);
        near(two_sided(3, 4, 0.3), two_sided(4, 3, 0.7));
    }

    /// A sum of many terms against the normal: z = 3 of a million trials.
    #[test]
    fn large_counts_are_near_the_normal() {
        let p = two_sided(498_500, 501_500, 0.5);
        assert!((p / 0.002_699_8 - 1.0).abs() < 0.01, "{p}");
        assert!(two_sided(400_000, 600_000, 0.5) < 1e-300);
    }

    /// As many as no profile has, and a file may claim: told at once.
    #[test]
    fn counts_that_nobody_sums_are_the_normals() {
        let half = 1_u64 << 60;
        let three_away = 3 * (half / 2).isqrt();
        let p = two_sided(half - three_away, half + three_away, 0.5);
        assert!((p / 0.002_699_8 - 1.0).abs() < 0.01, "{p}");
        assert_eq!(two_sided(half, half, 0.5), 1.0);
        assert!(two_sided(half, half, 0.25) < 1e-300);
        let steps = [1 << 20, 1 << 21, 1 << 22, 1 << 23, 1 << 24, 1 << 25].map(|n: u64| {
            let away = 3 * (n / 4).isqrt() / 2;
            two_sided(n / 2 - away, n / 2 + away, 0.5)
        });
        assert!(
            steps.iter().all(|p| (p / steps[0] - 1.0).abs() < 0.01),
            "no step where it changes: {steps:?}"
        );
    }
}
