use super::Point;
use crate::normal::upper_quantile;

/// A slope with the range that the readings leave open, in bytes per second.
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct SlopeInterval {
    /// Median slope between every pair of points.
    pub estimate: f64,
    /// Lower end at 99 % confidence.
    pub low: f64,
    /// Upper end at 99 % confidence.
    pub high: f64,
}

/// Slopes between every pair of points of one segment, ascending.
fn slopes(segments: &[&[Point]]) -> Vec<f64> {
    let mut slopes: Vec<f64> = segments.iter().flat_map(|points| pairs(points)).collect();
    slopes.sort_by(f64::total_cmp);
    slopes
}

fn pairs(points: &[Point]) -> impl Iterator<Item = f64> + '_ {
    let pairs = points.iter().enumerate().flat_map(|(i, a)| points[i + 1..].iter().map(move |b| (a, b)));
    pairs.filter(|(a, b)| b.seconds > a.seconds).map(|(a, b)| (b.bytes - a.bytes) / (b.seconds - a.seconds))
}

fn middle(slopes: &[f64]) -> Option<f64> {
    let middle = slopes.len() / 2;
    let upper = *slopes.get(middle)?;
    Some(if slopes.len() % 2 == 1 { upper } else { f64::midpoint(slopes[middle - 1], upper) })
}

/// Source: Sen, *Estimates of the regression coefficient based on Kendall's tau*, JASA 63 (1968).
pub(super) fn median_slope(points: &[Point]) -> Option<f64> {
    median_slope_within(&[points])
}

/// The same over pairs that lie in one segment.
pub(super) fn median_slope_within(segments: &[&[Point]]) -> Option<f64> {
    middle(&slopes(segments))
}

/// Sen's slope and its interval, which lies as many ranks around the middle as the variance of Mann–Kendall's S allows:
/// a variance that has been corrected for dependence widens it.
pub(super) fn slope_interval(
    segments: &[&[Point]],
    variance_of_s: f64,
    confidence: f64,
) -> Option<SlopeInterval> {
    let slopes = slopes(segments);
    let estimate = middle(&slopes)?;
    let reach = upper_quantile((1.0 - confidence) / 2.0) * variance_of_s.sqrt();
    let at = |rank: f64| {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "clamped to the ranks there are"
        )]
        let rank = rank.clamp(0.0, slopes.len() as f64 - 1.0) as usize;
        slopes[rank]
    };
    let count = slopes.len() as f64;
    Some(SlopeInterval { estimate, low: at((count - reach) / 2.0), high: at((count + reach) / 2.0 + 1.0) })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Hollander & Wolfe, *Nonparametric Statistical Methods*, example 9.1: slopes of a line with one outlier.
    #[test]
    fn one_outlier_does_not_move_the_slope() {
        let mut points: Vec<Point> =
            (0..11).map(|i| Point { seconds: f64::from(i), bytes: 3.0 * f64::from(i) + 1.0 }).collect();
        points[5].bytes = 1e9;
        assert_eq!(median_slope(&points), Some(3.0));
    }
}
