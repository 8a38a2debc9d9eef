//! Response times of the last seconds: a column a second, a row a stretch of times, darker the more there were.

use std::time::Duration;

use crate::{Window, histogram::Latencies};

/// From none to many.
pub(super) const SHADES: [char; 5] = [' ', '·', '░', '▒', '█'];

/// A map, its slowest row first.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Heat {
    pub(super) rows: Vec<Row>,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Row {
    /// Up to which time its answers took.
    pub(super) up_to: Duration,
    /// Of [`SHADES`], by second.
    pub(super) shades: Vec<usize>,
}

impl Heat {
    /// Of these windows, in so many rows: each a factor longer than the one below it.
    pub(super) fn of<'a>(windows: impl Iterator<Item = &'a Window>, rows: u16) -> Self {
        let seconds: Vec<&Latencies> = windows.map(|window| window.responses().answered()).collect();
        let shortest = seconds.iter().filter_map(|second| second.min()).min();
        let longest = seconds.iter().filter_map(|second| second.max()).max();
        let Some((low, high)) = shortest.zip(longest).filter(|_| rows > 0) else {
            return Self { rows: Vec::new() };
        };
        let (low, high) = (low.as_secs_f64().max(1e-9), high.as_secs_f64().max(1e-9) * 1.001);
        let factor = (high / low).powf(1.0 / f64::from(rows));
        let bound = |row: u16| Duration::from_secs_f64(low * factor.powi(i32::from(row)));
        let shades = |from: u16| {
            let shade = |second: &&Latencies| {
                let below = if from == 0 { 0 } else { second.count_up_to(bound(from)) };
                shade(second.count_up_to(bound(from + 1)).saturating_sub(below), second.count())
            };
            seconds.iter().map(shade).collect()
        };
        let row = |from: u16| Row { up_to: bound(from + 1), shades: shades(from) };
        Self { rows: (0..rows).rev().map(row).collect() }
    }
}

/// A twentieth, a fifth and a half of a second's answers are where it gets darker.
fn shade(count: u64, all: u64) -> usize {
    match count {
        0 => 0,
        _ if count * 2 > all => 4,
        _ if count * 5 > all => 3,
        _ if count * 20 > all => 2,
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_commoner_a_time_the_darker() {
        let shades = [0, 1, 5, 6, 20, 21, 50, 51, 100].map(|count| shade(count, 100));
        assert_eq!(shades, [0, 1, 1, 2, 2, 3, 3, 4, 4]);
    }

    #[test]
    fn nothing_has_no_rows() {
        assert_eq!(Heat::of(std::iter::empty(), 8), Heat { rows: Vec::new() });
    }
}
