use super::Point;
use super::steps::median;
use super::theil_sen::median_slope_within;
use crate::normal::upper_tail;

/// Mann–Kendall's test for growth, with a variance that allows for dependence.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct MannKendall {
    /// Chance of so much growth, or more, in a series without a trend.
    pub(super) p_growth: f64,
    /// Variance of S, corrected.
    pub(super) variance: f64,
    /// Independent points that would carry as much.
    pub(super) effective_n: f64,
    /// Rank autocorrelation of neighbours once the trend is taken out.
    pub(super) dependence: f64,
}

/// Tests the points of `segments` (in time order, at least 4 in all) for a trend within them: what lies between two segments is
/// a step, whose height nobody knows, so no pair of points across it is compared.
///
/// The variance is the largest of the independent one, Hamed & Rao's (*J. Hydrology* 204, 1998: significant rank
/// autocorrelations of the detrended series), and that of a first-order autoregression whose coefficient is corrected for
/// its bias in short series (Kendall 1954); `inflation` times that.
pub(super) fn mann_kendall(segments: &[&[Point]], inflation: f64) -> MannKendall {
    let n = segments.iter().map(|points| points.len()).sum::<usize>() as f64;
    let s: f64 = segments.iter().map(|points| score(points)).sum();
    let independent: f64 = segments.iter().map(|points| independent_variance(points)).sum();
    let ranks = ranks(&detrended(segments));
    let correction = inflation * hamed_rao(&ranks).max(autoregressive(&ranks)).max(1.0);
    let variance = independent * correction;
    let z = |s: f64| if variance > 0.0 { (s - 1.0).max(0.0) / variance.sqrt() } else { 0.0 };
    MannKendall {
        p_growth: if s > 0.0 { upper_tail(z(s)) } else { 1.0 },
        variance,
        effective_n: n / correction,
        dependence: autocorrelation(&ranks, 1),
    }
}

/// Chance of so much growth in independent readings without a trend.
#[cfg(feature = "families")]
pub(super) fn plain_p(points: &[Point]) -> f64 {
    let (s, variance) = (score(points), independent_variance(points));
    if s > 0.0 { upper_tail((s - 1.0) / variance.sqrt()) } else { 1.0 }
}

fn score(points: &[Point]) -> f64 {
    let pairs = points.iter().enumerate().flat_map(|(i, a)| points[i + 1..].iter().map(move |b| (a, b)));
    pairs.map(|(a, b)| sign(b.bytes - a.bytes)).sum()
}

fn sign(difference: f64) -> f64 {
    if difference > 0.0 {
        1.0
    } else if difference < 0.0 {
        -1.0
    } else {
        0.0
    }
}

/// n(n−1)(2n+5)/18, less what each group of t ties takes from it.
fn independent_variance(points: &[Point]) -> f64 {
    let term = |n: f64| n * (n - 1.0) * (2.0 * n + 5.0);
    let mut values: Vec<f64> = points.iter().map(|point| point.bytes).collect();
    values.sort_by(f64::total_cmp);
    let ties: f64 = values.chunk_by(|a, b| a == b).map(|group| term(group.len() as f64)).sum();
    (term(points.len() as f64) - ties) / 18.0
}

/// Without the common slope, and each segment around its own median.
fn detrended(segments: &[&[Point]]) -> Vec<f64> {
    let slope = median_slope_within(segments).unwrap_or(0.0);
    let around_zero = |points: &&[Point]| {
        let levels: Vec<f64> = points.iter().map(|point| point.bytes - slope * point.seconds).collect();
        let centre = median(levels.clone());
        levels.into_iter().map(move |level| level - centre)
    };
    segments.iter().flat_map(around_zero).collect()
}

/// Ranks from 1, ties sharing their middle one.
fn ranks(values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|a, b| values[*a].total_cmp(&values[*b]));
    let mut ranks = vec![0.0; values.len()];
    let mut before = 0;
    for group in order.chunk_by(|a, b| values[*a] == values[*b]) {
        let middle = before as f64 + f64::midpoint(1.0, group.len() as f64);
        group.iter().for_each(|index| ranks[*index] = middle);
        before += group.len();
    }
    ranks
}

fn autocorrelation(values: &[f64], lag: usize) -> f64 {
    let mean = values.iter().sum::<f64>() / values.len() as f64;
    let total: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    let shared: f64 = values.iter().zip(&values[lag..]).map(|(a, b)| (a - mean) * (b - mean)).sum();
    if total > 0.0 { shared / total } else { 0.0 }
}

fn hamed_rao(ranks: &[f64]) -> f64 {
    let n = ranks.len() as f64;
    let significant = 1.96 / n.sqrt();
    let terms = (1..ranks.len().saturating_sub(3)).map(|lag| {
        let rho = autocorrelation(ranks, lag);
        let left = n - lag as f64;
        if rho.abs() > significant { left * (left - 1.0) * (left - 2.0) * rho } else { 0.0 }
    });
    1.0 + 2.0 / (n * (n - 1.0) * (n - 2.0)) * terms.sum::<f64>()
}

/// Detrending and a short series both pull the estimate down, by about (1 + 4ρ)/n: it is put back before use.
fn autoregressive(ranks: &[f64]) -> f64 {
    let n = ranks.len() as f64;
    let estimate = autocorrelation(ranks, 1);
    let rho = ((n * estimate + 2.0) / (n - 4.0)).clamp(0.0, 0.99);
    if estimate > 1.64 / n.sqrt() { (1.0 + rho) / (1.0 - rho) } else { 1.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn points(values: &[f64]) -> Vec<Point> {
        (0..).zip(values).map(|(i, bytes)| Point { seconds: f64::from(i), bytes: *bytes }).collect()
    }

    /// Gilbert, *Statistical Methods for Environmental Pollution Monitoring* (1987), §16.4.1: variance for n = 10 is 125.
    #[test]
    fn the_independent_variance_agrees_with_the_book() {
        let rising: Vec<f64> = (0..10).map(f64::from).collect();
        assert_eq!(independent_variance(&points(&rising)), 125.0);
        assert_eq!(score(&points(&rising)), 45.0);
    }

    #[test]
    fn ties_take_from_the_variance() {
        assert_eq!(independent_variance(&points(&[1.0; 10])), 0.0);
        assert_eq!(mann_kendall(&[&points(&[1.0; 10])], 1.0).p_growth, 1.0);
    }

    #[test]
    fn tied_ranks_share_the_middle() {
        assert_eq!(ranks(&[5.0, 1.0, 5.0, 9.0]), [2.5, 1.0, 2.5, 4.0]);
    }
}
