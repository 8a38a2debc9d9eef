//! Whether growth is further than a series gets by wandering.

use super::Point;
use super::steps::median;
use crate::normal::upper_tail;

/// Chance that a series which only wanders gets from its first eighth to its last as far as this one: the long-run variance of
/// the differences (Newey & West, *Econometrica* 55, 1987) bounds how far a random walk gets.
/// Only asked of series whose points resemble their neighbours: it costs power where noise is independent.
pub(super) fn p_of_drift(floor: &[Point]) -> f64 {
    let eighth = (floor.len() / 8).max(1);
    let end = |points: &[Point]| median(points.iter().map(|point| point.bytes).collect());
    let growth = end(&floor[floor.len() - eighth..]) - end(&floor[..eighth]);
    let wander = (long_run_variance(&differences(floor)) * (floor.len() - eighth) as f64).sqrt();
    if growth > 0.0 { upper_tail(growth / wander) } else { 1.0 }
}

pub(super) fn differences(points: &[Point]) -> Vec<f64> {
    points.windows(2).map(|pair| pair[1].bytes - pair[0].bytes).collect()
}

pub(super) fn long_run_variance(differences: &[f64]) -> f64 {
    let n = differences.len();
    let mean = differences.iter().sum::<f64>() / n as f64;
    let covariance = |lag: usize| {
        let pairs = differences.iter().zip(&differences[lag..]);
        pairs.map(|(a, b)| (a - mean) * (b - mean)).sum::<f64>() / n as f64
    };
    let reach = n / 4;
    let weighted = (1..=reach).map(|lag| 2.0 * (1.0 - lag as f64 / (reach + 1) as f64) * covariance(lag));
    (covariance(0) + weighted.sum::<f64>()).max(0.0)
}
