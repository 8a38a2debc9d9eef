use crate::gate::{Figures, GateReport};

/// Width of a plot, in units of the drawing.
pub(super) const WIDTH: f64 = 260.0;
/// The plot reaches at least this far to either side, as ln ratio.
const LEAST: f64 = 0.05;
/// And at most this far: beyond, an arrow says so.
const MOST: f64 = 1.1;

/// One scale for all ratios of a report: logarithmic, 1 in the middle.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scale {
    reach: f64, // ln ratio at the right edge, > 0
}

impl Scale {
    pub(super) fn of(report: &GateReport) -> Self {
        let ends = |figures: &Figures| {
            let interval = figures.ratio.map(|ratio| [ratio.low, ratio.high]).unwrap_or_default();
            interval.into_iter().chain(figures.centre).map(|ratio| ratio.ln().abs()).collect::<Vec<_>>()
        };
        let all = report.benches.iter().filter_map(|one| one.figures.as_ref()).flat_map(ends);
        let furthest = all.filter(|end| end.is_finite()).fold(LEAST, f64::max);
        Self { reach: (1.1 * furthest).min(MOST) }
    }

    /// Where a ratio lies; outside of the plot, at its edge.
    pub(super) fn x(&self, ratio: f64) -> f64 {
        let share = (ratio.ln() / self.reach).clamp(-1.0, 1.0);
        WIDTH / 2.0 * (1.0 + share)
    }

    /// Ratios worth a mark, 1 among them.
    pub(super) fn ticks(&self) -> Vec<f64> {
        let step =
            [0.02, 0.05, 0.1, 0.2, 0.5, 1.0].into_iter().find(|step: &f64| step.ln_1p() > 0.3 * self.reach);
        let step = step.unwrap_or(1.0);
        [1.0 / (1.0 + step), 1.0, 1.0 + step]
            .into_iter()
            .filter(|tick| tick.ln().abs() < self.reach)
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_in_the_middle_and_what_is_beyond_stays_at_the_edge() {
        let scale = Scale { reach: 0.1 };
        assert_eq!((scale.x(1.0), scale.x(9.0), scale.x(0.0)), (WIDTH / 2.0, WIDTH, 0.0));
        assert!((scale.x(1.02) - WIDTH / 2.0 - (WIDTH / 2.0 - scale.x(1.0 / 1.02))).abs() < 1e-9);
        assert_eq!(scale.ticks(), [1.0 / 1.05, 1.0, 1.05]);
    }
}
