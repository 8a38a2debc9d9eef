//! Where a curve stops being worth its while.

/// The knee of a concave curve: where it lies highest above the line between its ends, both axes from 0 to 1 (the idea of Kneedle, Satopää et al. 2011).
/// `None` where that is less than a tenth: a line has no knee.
pub(super) fn knee(points: &[(f64, f64)]) -> Option<usize> {
    let (&(x0, y0), &(x1, _)) = points.first().zip(points.last())?;
    let top = points.iter().map(|point| point.1).fold(f64::NEG_INFINITY, f64::max);
    if x1 <= x0 || top <= y0 {
        return None;
    }
    let above = |&(x, y): &(f64, f64)| (y - y0) / (top - y0) - (x - x0) / (x1 - x0);
    let heights = points.iter().map(above).enumerate();
    let (at, height) = heights.max_by(|one, two| one.1.total_cmp(&two.1))?;
    (height > 0.1).then_some(at)
}
