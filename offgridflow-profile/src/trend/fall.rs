//! What was given back: growth that falls back is a cycle, however little of it is seen.

use super::Point;
use super::steps::{median, spread_of_differences};

/// One in so many points on either side of one stands for it by their median, and two at least: a lone low point is noise.
const AROUND: usize = 20;
/// A fall of the floor must exceed so many spreads of what its neighbours differ by.
const NOISE: f64 = 2.5;
/// A fall at an end of the window must exceed so many spreads of the readings there.
const OUTLYING: f64 = 8.0;
/// Stretches of readings a point of the floor is cut into, to see what happens at the ends of the window.
const FINE: usize = 4;

/// The deepest fall of the floor from any level that it had before; 0 where its noise explains it.
pub(super) fn deepest(floor: &[Point]) -> f64 {
    let levels: Vec<f64> = floor.iter().map(|point| point.bytes).collect();
    let mut highest = f64::NEG_INFINITY;
    let fall = |level: f64| {
        highest = highest.max(level);
        highest - level
    };
    let fell = smoothed(floor).map(fall).fold(0.0, f64::max);
    if fell > NOISE * spread_of_differences(&levels) { fell } else { 0.0 }
}

/// From the lowest to the highest level of the floor.
pub(super) fn range(floor: &[Point]) -> f64 {
    let (low, high) = smoothed(floor)
        .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), level| (low.min(level), high.max(level)));
    (high - low).max(0.0)
}

fn smoothed(floor: &[Point]) -> impl Iterator<Item = f64> + '_ {
    let around = (floor.len() / AROUND).max(2);
    let level = move |at: usize| {
        let near = at.saturating_sub(around)..(at + around + 1).min(floor.len());
        median(floor[near].iter().map(|point| point.bytes).collect())
    };
    (0..floor.len()).map(level)
}

/// A sharp fall within the first or the last block of a window cut into `blocks`, which its floor does not show: there, the lowest
/// reading is all that is kept of a block.
pub(super) fn at_the_ends(readings: &[Point], blocks: usize) -> f64 {
    let size = readings.len() / (blocks * FINE);
    if size < 3 {
        return 0.0; // too few for medians
    }
    let fine: Vec<f64> = readings
        .chunks_exact(size)
        .map(|stretch| median(stretch.iter().map(|point| point.bytes).collect()))
        .collect();
    let noise = OUTLYING * spread_of_differences(&fine);
    let ends = [&fine[..(2 * FINE).min(fine.len())], &fine[fine.len().saturating_sub(2 * FINE)..]];
    let sharpest =
        |levels: &[f64]| levels.windows(3).map(|three| three[0] - three[2].max(three[1])).fold(0.0, f64::max);
    ends.into_iter().map(sharpest).filter(|fall| *fall > noise).fold(0.0, f64::max)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn points(count: u32, bytes: impl Fn(f64) -> f64) -> Vec<Point> {
        (0..count).map(f64::from).map(|seconds| Point { seconds, bytes: bytes(seconds) }).collect()
    }

    #[test]
    fn what_only_rises_never_falls_and_one_low_point_is_no_fall() {
        assert_eq!(deepest(&points(48, |t| t)), 0.0);
        assert!(deepest(&points(48, |t| if t == 20.0 { 0.0 } else { t })) <= 1.0);
    }

    #[test]
    fn a_reset_is_a_fall_of_its_height() {
        let ramps = points(48, |t| 10.0 * (t % 30.0));
        assert!((deepest(&ramps) - 270.0).abs() <= 20.0, "{}", deepest(&ramps));
        assert!((range(&ramps) - 270.0).abs() <= 40.0, "{}", range(&ramps));
    }

    #[test]
    fn a_reset_in_the_first_block_is_seen_in_its_readings() {
        let noise = |t: f64| (t * 12.9898).sin() * 43_758.545_3 % 1.0;
        let falls = at_the_ends(&points(1_800, |t| noise(t) + if t < 20.0 { 100.0 } else { 0.0 }), 48);
        assert!((90.0..110.0).contains(&falls), "{falls}");
        assert_eq!(at_the_ends(&points(1_800, |t| noise(t) + t), 48), 0.0);
    }
}
