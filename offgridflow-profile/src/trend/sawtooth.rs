use super::Point;
use super::floor::floor_series;
use super::theil_sen::median_slope;

/// Fewest cycles whose bottoms can stand for the series.
const FEWEST: usize = 24;
/// From so many on, every block of the floor has bottoms of its own.
const MOST: usize = 4 * super::floor::BLOCKS;
/// A swing back of this share of the range ends a rise or a fall.
const REVERSAL: f64 = 0.5;

/// The bottom of each cycle, where memory rises and falls back 24 times or more and too slowly for blocks of time to see a
/// bottom each: what a collector or a batch leaves behind.
pub(super) fn bottoms(points: &[Point]) -> Option<Vec<Point>> {
    let slope = median_slope(&floor_series(points))?;
    let level = |point: &Point| point.bytes - slope * point.seconds;
    let turns = lowest_of_each_fall(points, level, REVERSAL * range(points.iter().map(level).collect())?);
    (FEWEST..MOST).contains(&turns.len()).then_some(turns)
}

/// From the 5 % to the 95 % quantile; none where nothing moves.
fn range(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let range = values[values.len() * 95 / 100] - values[values.len() * 5 / 100];
    (range > 0.0).then_some(range)
}

/// Walks through turns of at least `reversal`, and keeps the lowest point of each fall. The first and the last fall may be
/// unfinished and are left out.
fn lowest_of_each_fall(points: &[Point], level: impl Fn(&Point) -> f64, reversal: f64) -> Vec<Point> {
    let mut turns = Vec::new();
    let (mut falling, mut extreme) = (false, points[0]);
    for point in points {
        let ahead = level(point) - level(&extreme);
        let turned = if falling { ahead >= reversal } else { -ahead >= reversal };
        if turned {
            if falling {
                turns.push(extreme);
            }
            (falling, extreme) = (!falling, *point);
        } else if (ahead < 0.0) == falling {
            extreme = *point;
        }
    }
    turns
}

#[cfg(test)]
mod tests {
    use super::*;

    fn points(count: u32, bytes: impl Fn(f64) -> f64) -> Vec<Point> {
        (0..count).map(f64::from).map(|seconds| Point { seconds, bytes: bytes(seconds) }).collect()
    }

    #[test]
    fn the_bottoms_of_a_sawtooth_lie_on_its_leak() {
        let series = points(1_800, |t| 100.0 * (t / 60.0).fract() + 0.01 * t);
        let bottoms = bottoms(&series).unwrap();
        assert_eq!(bottoms.len(), 29);
        assert!(bottoms.iter().all(|bottom| (bottom.bytes - 0.01 * bottom.seconds).abs() < 1e-9));
    }

    #[test]
    fn few_cycles_are_no_sawtooth() {
        assert_eq!(bottoms(&points(1_800, |t| 100.0 * (t / 600.0).fract())), None);
        assert_eq!(bottoms(&points(1_800, |_| 1.0)), None);
    }
}
