use super::Point;

/// Blocks a window is cut into.
pub(super) const BLOCKS: usize = 48;

/// The lowest reading of each of [`BLOCKS`] equal stretches of time: what stays in use between the peaks of requests and
/// collections. Stretches without a reading are left out.
pub(super) fn floor_series(points: &[Point]) -> Vec<Point> {
    let (Some(first), Some(last)) = (points.first(), points.last()) else { return Vec::new() };
    let span = last.seconds - first.seconds;
    let mut lowest: [Option<Point>; BLOCKS] = [None; BLOCKS];
    for point in points {
        let block = &mut lowest[block_of((point.seconds - first.seconds) / span)];
        if block.is_none_or(|held| point.bytes < held.bytes) {
            *block = Some(*point);
        }
    }
    lowest.into_iter().flatten().collect()
}

/// The block at a share (0 to 1) of the window.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share times a small number")]
fn block_of(share: f64) -> usize {
    ((share * BLOCKS as f64) as usize).min(BLOCKS - 1)
}
