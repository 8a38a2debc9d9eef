//! The map of response times: how many answers took how long, and when.

use std::time::Duration;

use super::{
    axis::LogAxis,
    course::{Over, most},
    plot::{Plot, block, key},
};
use crate::{
    histogram::{Quantile, as_f64},
    report::{Stretch, text},
};

/// Shades of the map.
const SHADES: usize = 8;
/// Rows beyond which two are drawn as one.
const ROWS: usize = 52;
/// How much of the plot's height is for what was never answered.
const LOST: f64 = 0.07;

type Of = fn(&Stretch) -> Option<Quantile>;

pub(super) fn figure(over: &Over<'_>) -> String {
    let (rows, all) = (&over.report.timeline.rows, over.stretches());
    let lost = all.iter().any(|one| one.unanswered > 0);
    let first = rows.first().map(|first| *first * 4 / 5);
    let Some(axis) = LogAxis::over(first.into_iter().chain(rows.iter().copied())) else {
        return String::new();
    };
    let map = Map { axis, top: if lost { 1.0 - LOST } else { 1.0 } };
    let mut plot = over.plot(280.0);
    plot.rows(axis.ticks().into_iter().map(|(share, label)| (share * map.top, label)).collect());
    for (shade, d) in map.shades(over, &plot, first.unwrap_or_default()).into_iter().enumerate() {
        plot.path(&format!("heat h{}", shade + 1), &d);
    }
    for (shade, d) in map.lost(over, &plot).into_iter().enumerate() {
        plot.path(&format!("lost h{}", shade + 1), &d);
    }
    let of: [(&str, Of); 3] =
        [("ink", |one| one.p50), ("ink dashed", |one| one.p95), ("ink dotted", |one| one.p99)];
    for (class, quantile) in of {
        let d = over.steps(|one| quantile(one)?.value().map(|time| map.y(&plot, time)));
        plot.path("halo", &d);
        plot.path(class, &d);
    }
    let mut keys = vec![
        ("heat h6", "the stronger, the more answers took that long"),
        ("ink", "p50"),
        ("ink dashed", "p95"),
        ("ink dotted", "p99"),
    ];
    if lost {
        keys.push(("lost h6", "never answered"));
    }
    let worst = all.iter().filter_map(|one| one.p99.or(one.p95)?.least().map(|time| (time, one.from))).max();
    let told = worst.map_or_else(String::new, |(time, from)| {
        format!(
            "The slowest stretch began after {:.0} s, with a tail of {}.",
            from.as_secs_f64(),
            text::short(time)
        )
    });
    let svg = plot.svg("heat", "Response times over time", &told);
    format!(
        "<figure><figcaption>Response times: {}</figcaption><div class=\"wide\">{svg}</div></figure>",
        key(&keys)
    )
}

/// Where times lie.
struct Map {
    axis: LogAxis,
    top: f64, // share of the height where they end
}

impl Map {
    fn y(&self, plot: &Plot, time: Duration) -> f64 {
        plot.y(self.axis.share(time) * self.top)
    }

    /// What is drawn in each shade, the lightest first. Neighbours in a row that are alike are one.
    fn shades(&self, over: &Over<'_>, plot: &Plot, first: Duration) -> [String; SHADES] {
        let (rows, all) = (&over.report.timeline.rows, over.stretches());
        let together = rows.len().div_ceil(ROWS).max(1);
        let count =
            |one: &Stretch, row: usize| one.heat.iter().skip(row * together).take(together).sum::<u64>();
        let rows_drawn = rows.len().div_ceil(together);
        let most = most(all.iter().flat_map(|one| (0..rows_drawn).map(move |row| count(one, row))));
        let mut shades = [const { String::new() }; SHADES];
        let mut low = first;
        for row in 0..rows_drawn {
            let high = rows[((row + 1) * together - 1).min(rows.len() - 1)];
            let (top, bottom) = (self.y(plot, high), self.y(plot, low));
            strips(over, &mut shades, (top, bottom - top), |one| shade(count(one, row), most));
            low = high;
        }
        shades
    }

    /// The same for what was never answered, in a row of its own above.
    fn lost(&self, over: &Over<'_>, plot: &Plot) -> [String; SHADES] {
        let mut shades = [const { String::new() }; SHADES];
        let most = most(over.stretches().iter().map(|one| one.unanswered));
        let (top, bottom) = (plot.y(1.0), plot.y(self.top) - 3.0);
        strips(over, &mut shades, (top, bottom - top), |one| shade(one.unanswered, most));
        shades
    }
}

/// Draws one row.
fn strips(
    over: &Over<'_>,
    shades: &mut [String; SHADES],
    (top, height): (f64, f64),
    shade: impl Fn(&Stretch) -> Option<usize>,
) {
    let alike = |a: &Stretch, b: &Stretch| a.to == b.from && shade(a) == shade(b);
    for run in over.stretches().chunk_by(alike) {
        let (Some(first), Some(last)) = (run.first(), run.last()) else { continue };
        if let Some(shade) = shade(first) {
            let (left, right) = (over.x(first.from), over.x(last.to));
            block(&mut shades[shade], (left, top), (right - left, height));
        }
    }
}

/// The shade of a count, by its logarithm: one among a million is still seen.
fn shade(count: u64, most: f64) -> Option<usize> {
    if count == 0 {
        return None;
    }
    let share = libm::log(1.0 + as_f64(count)) / libm::log(1.0 + most);
    let steps = (1..SHADES).filter(|&step| share * as_f64(SHADES as u64) > as_f64(step as u64));
    Some(steps.count())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_single_answer_is_seen_and_the_most_are_darkest() {
        assert_eq!([0, 1, 1_000_000].map(|count| shade(count, 1e6)), [None, Some(0), Some(7)]);
        assert_eq!(shade(1, 1.0), Some(7));
    }
}
