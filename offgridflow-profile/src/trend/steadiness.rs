//! Growth that is steady, whatever its course: stairs, and growth that quickens, which a straight line does not fit.

use super::Point;
use super::theil_sen::SlopeInterval;

/// Stretches whose growth is compared by sign and size.
const STRETCHES: usize = 12;

/// Wilcoxon's signed ranks of the growth in twelve stretches that follow each other (exact). What they rest on is that a stretch of a series without
/// a trend is as likely to fall as to rise by what it rose: a random walk's is so, and what comes back to a level falls after it rose,
/// which makes their sum vary less. No course of the trend is assumed, nor how neighbouring points depend on each other.
pub(super) struct Steadiness {
    pub(super) p: f64,
    /// By inverting the test (Hodges & Lehmann, *Annals of Mathematical Statistics* 34, 1963): growth in half of the stretches, or their means.
    pub(super) slope: SlopeInterval,
}

impl Steadiness {
    /// Of points in time order; needs more of them than there are stretches. `confidence` is the interval's.
    pub(super) fn of(points: &[Point], confidence: f64) -> Self {
        let at = |stretch: usize| points[stretch * (points.len() - 1) / STRETCHES];
        let grew: Vec<f64> =
            (0..STRETCHES).map(|stretch| at(stretch + 1).bytes - at(stretch).bytes).collect();
        let seconds = (at(STRETCHES).seconds - at(0).seconds) / STRETCHES as f64;
        Self { p: p_of_growth(&grew), slope: slope(&grew, seconds, confidence) }
    }
}

fn p_of_growth(grew: &[f64]) -> f64 {
    let mut moved: Vec<f64> = grew.iter().copied().filter(|bytes| *bytes != 0.0).collect();
    moved.sort_by(|a, b| a.abs().total_cmp(&b.abs()));
    let rose: usize = (1..).zip(&moved).filter(|(_, bytes)| **bytes > 0.0).map(|(rank, _)| rank).sum();
    upper_tails(moved.len())[rose]
}

/// Chance that the ranks 1 to `n`, each counted by a fair coin, sum to so much or more, for every sum.
fn upper_tails(n: usize) -> Vec<f64> {
    let most = n * (n + 1) / 2;
    let mut chance = vec![0.0; most + 1];
    chance[0] = 1.0;
    for rank in 1..=n {
        for sum in (0..=most).rev() {
            let with = sum.checked_sub(rank).map_or(0.0, |rest| chance[rest]);
            chance[sum] = f64::midpoint(chance[sum], with);
        }
    }
    for sum in (0..most).rev() {
        chance[sum] += chance[sum + 1];
    }
    chance
}

fn slope(grew: &[f64], seconds: f64, confidence: f64) -> SlopeInterval {
    let pairs =
        grew.iter().enumerate().flat_map(|(i, a)| grew[i..].iter().map(move |b| f64::midpoint(*a, *b)));
    let mut means: Vec<f64> = pairs.map(|bytes| bytes / seconds).collect();
    means.sort_by(f64::total_cmp);
    let tail = (1.0 - confidence) / 2.0;
    let tails = upper_tails(grew.len());
    // Sums so far up that they come by chance less often than the tail.
    let beyond = tails.iter().rev().take_while(|chance| **chance <= tail).count().saturating_sub(1);
    let last = means.len() - 1;
    SlopeInterval {
        estimate: f64::midpoint(means[last / 2], means[last.div_ceil(2)]),
        low: means[beyond],
        high: means[last - beyond],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(bytes: impl Fn(f64) -> f64) -> Steadiness {
        let points: Vec<Point> =
            (0..49).map(f64::from).map(|seconds| Point { seconds, bytes: bytes(seconds) }).collect();
        Steadiness::of(&points, 0.99)
    }

    /// Wilcoxon, *Biometrics Bulletin* 1 (1945): of 8 pairs, a sum of 36 has chance 1/256, one of 33 or more 5/256.
    #[test]
    fn signed_ranks_agree_with_the_table() {
        assert_eq!(upper_tails(8)[36], 1.0 / 256.0);
        assert_eq!(upper_tails(8)[33], 5.0 / 256.0);
        assert_eq!(upper_tails(0), [1.0]);
    }

    #[test]
    fn stairs_are_steady_and_what_comes_back_is_not() {
        assert_eq!(of(|t| (t / 3.0).floor()).p, 1.0 / 4_096.0);
        assert!(of(|t| (t / 4.0).sin()).p > 0.05);
        assert_eq!(of(|_| 7.0).p, 1.0);
    }

    /// Hollander & Wolfe's table: of 12 differences, the 99 % interval leaves out the 7 least and the 7 largest means.
    #[test]
    fn the_interval_of_a_line_is_its_slope() {
        let line = of(|t| 3.0 * t).slope;
        assert_eq!((line.low, line.estimate, line.high), (3.0, 3.0, 3.0));
        let tails = upper_tails(12);
        assert_eq!(tails.iter().rev().take_while(|chance| **chance <= 0.005).count(), 8);
        let quickening = of(|t| t * t).slope;
        assert!(0.0 < quickening.low && quickening.high <= 95.0, "{quickening:?}");
    }
}
