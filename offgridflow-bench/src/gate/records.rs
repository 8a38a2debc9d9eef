use super::{GateReport, Judged, Statistic, Verdict};
use crate::history::Record;

/// Half the width of a 95 % interval, in standard errors.
const HALF_WIDTH: f64 = 1.96;

impl GateReport {
    /// One line of history a benchmark that was measured or is identical: its ratio to the base, which is the anchor.
    ///
    /// Empty where the environment is suspect, and where the head holds changes that no commit has.
    #[must_use]
    pub fn records(&self) -> Vec<Record> {
        if self.environment_suspect || self.dirty {
            return Vec::new();
        }
        self.benches.iter().filter_map(|one| self.record(one)).collect()
    }

    fn record(&self, one: &Judged) -> Option<Record> {
        let (ln_ratio, spread) = match one.verdict {
            Verdict::Identical => (0.0, None),
            Verdict::Regressed
            | Verdict::LayoutSensitive
            | Verdict::Improved
            | Verdict::NoRegression
            | Verdict::Undecided => {
                let figures = one.figures.as_ref()?;
                let spread = figures.ratio.map(|ratio| (ratio.high / ratio.low).ln() / (2.0 * HALF_WIDTH));
                (figures.centre?.ln(), spread.filter(|spread| spread.is_finite() && *spread > 0.0))
            }
            Verdict::New | Verdict::Missing | Verdict::Retired | Verdict::Broken => return None,
        };
        Some(Record {
            commit: self.head.clone(),
            anchor: self.base.clone(),
            bench: one.bench.clone(),
            ln_ratio,
            spread,
            nanoseconds: self.nanoseconds(one),
            machine: self.machine.clone(),
            at: self.at,
        })
    }

    /// Median over the head's processes.
    fn nanoseconds(&self, one: &Judged) -> Option<f64> {
        let statistic = one.statistic?;
        let rounds = self.raw.iter().filter(|round| round.bench == one.bench && !round.control);
        let heads: Vec<f64> = rounds.map(|round| statistic.of(&round.head)).collect();
        Some(Statistic::Median.of(&heads)).filter(|median| median.is_finite())
    }
}
