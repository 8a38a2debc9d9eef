use super::Point;
use super::theil_sen::median_slope;

/// A jump between two neighbouring points that ordinary noise does not explain.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Step {
    pub(super) at_seconds: f64,
    pub(super) bytes: f64,
}

/// How many spreads of the differences a jump must exceed; the spread is taken robustly, so jumps do not hide each other.
const OUTLYING: f64 = 8.0;
/// More jumps than this are no events but a staircase, which is how a growing table looks: they stay in the series.
const MOST_STEPS: usize = 3;
/// A median absolute deviation times this estimates a normal's standard deviation.
const MAD_TO_SD: f64 = 1.4826;

/// Takes jumps of at least `material` bytes out of `points`, and says where they were.
pub(super) fn remove_steps(points: &mut [Point], material: f64) -> Vec<Step> {
    let differences: Vec<f64> = points.windows(2).map(|pair| pair[1].bytes - pair[0].bytes).collect();
    let centre = median(differences.clone());
    let spread =
        MAD_TO_SD * median(differences.iter().map(|difference| (difference - centre).abs()).collect());
    let limit = (OUTLYING * spread).max(material);
    let jumps: Vec<usize> =
        (0..differences.len()).filter(|i| (differences[*i] - centre).abs() > limit).collect();
    if jumps.len() > MOST_STEPS {
        return Vec::new();
    }
    let each = growth_a_point(points, &jumps);
    jumps
        .into_iter()
        .map(|jump| {
            let bytes = height(points, jump, each);
            points[jump + 1..].iter_mut().for_each(|point| point.bytes -= bytes);
            Step { at_seconds: points[jump + 1].seconds, bytes }
        })
        .collect()
}

/// Growth from one point to the next in the longest stretch without a jump; 0 where every stretch is short.
fn growth_a_point(points: &[Point], jumps: &[usize]) -> f64 {
    let mut bounds = vec![0];
    bounds.extend(jumps.iter().map(|jump| jump + 1));
    bounds.push(points.len());
    let longest = bounds.windows(2).map(|ends| &points[ends[0]..ends[1]]).max_by_key(|stretch| stretch.len());
    let numbered: Vec<Point> = longest
        .into_iter()
        .flatten()
        .enumerate()
        .map(|(index, point)| Point { seconds: index as f64, ..*point })
        .collect();
    if numbered.len() < 8 { 0.0 } else { median_slope(&numbered).unwrap_or(0.0) }
}

/// How high the jump behind the point at `jump` is: between the medians of a few points on either side, less what the trend of
/// `each` a point adds over that distance.
fn height(points: &[Point], jump: usize, each: f64) -> f64 {
    const SIDE: usize = 6;
    let level = |points: &[Point]| median(points.iter().map(|point| point.bytes).collect());
    let (before, after) = (&points[..=jump], &points[jump + 1..]);
    let side = SIDE.min(before.len()).min(after.len());
    level(&after[..side]) - level(&before[before.len() - side..]) - each * side as f64
}

/// Median of unsorted values; 0 when there are none.
pub(super) fn median(mut values: Vec<f64>) -> f64 {
    if values.is_empty() {
        return 0.0;
    }
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    if values.len() % 2 == 1 { values[middle] } else { f64::midpoint(values[middle - 1], values[middle]) }
}
