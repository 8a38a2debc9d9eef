use super::Point;
use super::theil_sen::median_slope_within;
use super::wandering::differences;

/// A jump between two neighbouring points that ordinary noise does not explain.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Step {
    pub(super) at_seconds: f64,
    pub(super) bytes: f64,
    behind: usize, // index of the first point after it
}

/// How many spreads of the differences a jump must exceed; the spread is taken robustly, so jumps do not hide each other.
const OUTLYING: f64 = 8.0;
/// More jumps than this are no events but a staircase, which is how a growing table looks: they stay in the series.
const MOST_STEPS: usize = 3;
/// A median absolute deviation times this estimates a normal's standard deviation.
const MAD_TO_SD: f64 = 1.4826;

/// Takes jumps of at least `material` bytes out of `points`, and says where they were.
pub(super) fn remove_steps(points: &mut [Point], material: f64) -> Vec<Step> {
    let jumps = jumps(points, material);
    if jumps.len() > MOST_STEPS {
        return Vec::new();
    }
    let each = median_slope_within(&split(points, &jumps)).unwrap_or(0.0);
    jumps
        .into_iter()
        .map(|behind| {
            let bytes = height(points, behind, each);
            points[behind..].iter_mut().for_each(|point| point.bytes -= bytes);
            Step { at_seconds: points[behind].seconds, bytes, behind }
        })
        .collect()
}

/// The stretches between the steps.
pub(super) fn segments<'a>(points: &'a [Point], steps: &[Step]) -> Vec<&'a [Point]> {
    split(points, &steps.iter().map(|step| step.behind).collect::<Vec<_>>())
}

/// Where the first point behind each jump is. A jump that takes two points is one jump.
fn jumps(points: &[Point], material: f64) -> Vec<usize> {
    let differences = differences(points);
    let centre = median(differences.clone());
    let spread = robust_spread(&differences, centre);
    let limit = (OUTLYING * spread).max(material);
    (1..points.len()).filter(|behind| (differences[behind - 1] - centre).abs() > limit).collect()
}

/// The robust spread of what neighbouring levels differ by.
pub(super) fn spread_of_differences(levels: &[f64]) -> f64 {
    let differences: Vec<f64> = levels.windows(2).map(|pair| pair[1] - pair[0]).collect();
    robust_spread(&differences, median(differences.clone()))
}

fn robust_spread(values: &[f64], centre: f64) -> f64 {
    MAD_TO_SD * median(values.iter().map(|value| (value - centre).abs()).collect())
}

fn split<'a>(points: &'a [Point], behind: &[usize]) -> Vec<&'a [Point]> {
    let mut bounds = vec![0];
    bounds.extend(behind);
    bounds.push(points.len());
    bounds.windows(2).map(|ends| &points[ends[0]..ends[1]]).collect()
}

/// How high the jump before the point at `behind` is: between the medians of a few points on either side, less what a trend of
/// `slope` bytes a second adds over that distance.
fn height(points: &[Point], behind: usize, slope: f64) -> f64 {
    const SIDE: usize = 6;
    let (before, after) = points.split_at(behind);
    let side = SIDE.min(before.len()).min(after.len());
    let (before, after) = (&before[before.len() - side..], &after[..side]);
    let middle = |of: fn(&Point) -> f64, points: &[Point]| median(points.iter().map(of).collect());
    let apart = |of: fn(&Point) -> f64| middle(of, after) - middle(of, before);
    apart(|point| point.bytes) - slope * apart(|point| point.seconds)
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
