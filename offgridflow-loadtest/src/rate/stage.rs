//! One stretch of a rate, and how many operations lie under it.

use std::sync::Arc;

use super::Rate;

/// A stretch; `start_ns` and `start_area` are what came before it, `end_area` includes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Stage {
    pub(super) span_ns: u64,
    pub(super) start_ns: u64,
    pub(super) start_area: u128,
    pub(super) end_area: u128,
    pub(super) shape: Shape,
}

/// How the rate goes, in millionths of an operation a second.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Shape {
    /// In a straight line over the whole stretch.
    Line { from: u64, to: u64 },
    /// The same again and again, until the stretch is over; what is repeated holds only lines, and an area.
    Cycle(Arc<Rate>),
}

impl Stage {
    pub(super) fn new(shape: Shape, span_ns: u64, start_ns: u64, start_area: u128) -> Self {
        let mut stage = Self { span_ns, start_ns, start_area, end_area: start_area, shape };
        stage.end_area += stage.area(span_ns);
        stage
    }

    pub(super) fn end_ns(&self) -> u64 {
        self.start_ns.saturating_add(self.span_ns)
    }

    /// The rate `ns` into the stretch, rounded to the nearest millionth.
    pub(super) fn rate_at(&self, ns: u64) -> u64 {
        match &self.shape {
            &Shape::Line { from, to } => between(from, to, ns, self.span_ns),
            Shape::Cycle(cycle) => cycle.micros_at(ns % cycle.end_ns().max(1)),
        }
    }

    /// The highest rate of the stretch.
    pub(super) fn peak(&self) -> u64 {
        match &self.shape {
            &Shape::Line { from, to } => from.max(to),
            Shape::Cycle(cycle) => {
                // A stretch that ends within its first cycle may end before the peak.
                let seen = cycle.stages.iter().take_while(|stage| stage.start_ns < self.span_ns);
                seen.map(|stage| stage.rate_at(stage.span_ns.min(self.span_ns - stage.start_ns)))
                    .chain([cycle.micros_at(0)])
                    .max()
                    .unwrap_or(0)
            }
        }
    }

    /// Twice the area over the first `ns` of the stretch, rounded down.
    pub(super) fn area(&self, ns: u64) -> u128 {
        match &self.shape {
            &Shape::Line { from, to } => line_area(from, to, self.span_ns, ns),
            Shape::Cycle(cycle) => {
                let period = cycle.end_ns().max(1);
                u128::from(ns / period) * cycle.area() + cycle.area_by(ns % period)
            }
        }
    }

    /// The first nanosecond at which `area`, at most the stretch's, is reached.
    pub(super) fn when(&self, area: u128) -> u64 {
        match &self.shape {
            Shape::Line { from, to } if from == to => {
                let ns = area.div_ceil((2 * u128::from(*from)).max(1));
                u64::try_from(ns).map_or(self.span_ns, |ns| ns.min(self.span_ns))
            }
            &Shape::Line { from, to } => self.first_reached(area, guess(from, to, self.span_ns, area)),
            Shape::Cycle(cycle) => {
                let whole = cycle.area().max(1);
                let cycles = u64::try_from(area / whole).unwrap_or(u64::MAX);
                let ns = cycles.saturating_mul(cycle.end_ns());
                ns.saturating_add(cycle.when(area % whole).unwrap_or(0)).min(self.span_ns)
            }
        }
    }

    /// Searches outwards from a guess, then between the bounds found, by exact comparison.
    fn first_reached(&self, area: u128, guess: u64) -> u64 {
        let reached = |ns: u64| self.area(ns) >= area;
        let mut step = 1;
        let (mut low, mut high) = (guess, guess); // area is reached at `high`, and not before `low`
        while low > 0 && reached(low) {
            high = low;
            low = low.saturating_sub(step);
            step *= 2;
        }
        step = 1;
        while !reached(high) {
            low = high;
            high = (high + step).min(self.span_ns);
            step *= 2;
        }
        while low < high {
            let middle = low + (high - low) / 2;
            if reached(middle) { high = middle } else { low = middle + 1 }
        }
        high
    }
}

/// `from + (to − from)·part/whole`, rounded to the nearest.
pub(super) fn between(from: u64, to: u64, part: u64, whole: u64) -> u64 {
    let (part, whole) = (u128::from(part.min(whole)), u128::from(whole.max(1)));
    let change = (u128::from(from.abs_diff(to)) * part + whole / 2) / whole;
    let change = u64::try_from(change).unwrap_or(0); // at most the difference
    if to >= from { from + change } else { from - change }
}

/// `2·from·ns + (to − from)·ns²/span`, rounded down.
fn line_area(from: u64, to: u64, span_ns: u64, ns: u64) -> u128 {
    let (ns, span) = (u128::from(ns), u128::from(span_ns.max(1)));
    let flat = 2 * u128::from(from) * ns;
    let slope = u128::from(from.abs_diff(to));
    let (whole, rest) = (ns * ns / span, ns * ns % span);
    let change = |round_up: u128| slope * whole + (slope * rest + round_up) / span;
    if to >= from { flat + change(0) } else { flat - change(span - 1) }
}

/// Solves the quadratic in the form that does not cancel; only a starting point, so rounding is harmless.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "a guess within [0, span], corrected by exact arithmetic"
)]
fn guess(from: u64, to: u64, span_ns: u64, area: u128) -> u64 {
    let (from, to, span, area) = (from as f64, to as f64, span_ns as f64, area as f64);
    let root = libm::sqrt((from * from + (to - from) / span * area).max(0.0));
    let guess = area / (from + root);
    if guess.is_finite() { (guess as u64).min(span_ns) } else { 0 }
}
