use std::fmt;
use std::time::Duration;

use super::Point;
use super::fall::{at_the_ends, deepest};
use super::sawtooth::bottoms;
use super::season::Season;
use super::spoken::Spoken;

/// Blocks a window is cut into.
pub(super) const BLOCKS: usize = 48;

/// What stays in use between the peaks, as points to test.
#[derive(Debug, Clone)]
pub(super) struct Floor {
    pub(super) points: Vec<Point>,
    pub(super) beneath: Beneath,
    /// What the variance of a test on these points grows by, at least 1.
    pub(super) inflation: f64,
    /// How far memory fell, other than by the pattern that was seen through, bytes.
    pub(super) fell: f64,
}

/// What moved above the floor, and had to be seen through.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Beneath {
    Noise,
    Sawtooth { cycles: usize },
    Season { seconds: f64 },
}

impl fmt::Display for Beneath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Noise => Ok(()),
            Self::Sawtooth { cycles } => write!(f, " beneath {cycles} cycles of a sawtooth"),
            Self::Season { seconds } => {
                write!(f, " beneath a season of {}", Spoken(Duration::from_secs_f64(seconds.round())))
            }
        }
    }
}

impl Floor {
    pub(super) fn of(points: &[Point]) -> Self {
        if let Some(points) = bottoms(points) {
            let beneath = Beneath::Sawtooth { cycles: points.len() };
            return Self { fell: deepest(&points), points, beneath, inflation: 1.0 };
        }
        if let Some(season) = Season::of(points) {
            return Self {
                points: floor_series(&season.removed_from(points)),
                beneath: Beneath::Season { seconds: season.seconds() },
                inflation: season.inflation(),
                fell: 0.0, // each period comes back, and its like is compared with its like
            };
        }
        let floor = floor_series(points);
        let fell = deepest(&floor).max(at_the_ends(points, BLOCKS));
        Self { points: floor, beneath: Beneath::Noise, inflation: 1.0, fell }
    }
}

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
