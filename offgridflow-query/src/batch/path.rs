//! The sizes that a writer went through.

/// Steps kept; later ones are dropped, for a writer that never settles says enough with these.
const STEPS: usize = 256;

/// From which flush on a writer aimed at which size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Step {
    /// The first flush, counted from 1.
    pub flush: u64,
    /// Rows a flush had at most.
    pub rows: usize,
    /// Flushes that might be under way at a time.
    pub in_flight: usize,
}

/// The steps so far, each different from the one before.
#[derive(Debug, Default)]
pub(crate) struct Path(Vec<Step>);

impl Path {
    pub(crate) fn note(&mut self, flush: u64, rows: usize, in_flight: usize) {
        let same = self.0.last().is_some_and(|step| (step.rows, step.in_flight) == (rows, in_flight));
        if !same && self.0.len() < STEPS {
            self.0.push(Step { flush, rows, in_flight });
        }
    }

    pub(crate) fn into_steps(self) -> Vec<Step> {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_changes_are_kept_and_not_without_limit() {
        let mut path = Path::default();
        for flush in 1..2_000 {
            path.note(flush, usize::try_from(flush / 2).unwrap(), 1);
        }
        let steps = path.into_steps();
        assert_eq!((steps.len(), steps[1].flush, steps[1].rows), (STEPS, 2, 1));
    }
}
