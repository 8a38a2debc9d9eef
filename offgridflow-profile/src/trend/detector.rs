use std::time::Duration;

use super::{Sample, Series, TrendOptions, Verdict};

/// Judges readings as they come.
pub trait TrendDetector: Send {
    /// Takes a reading; `at` counts from any fixed instant and must not go back.
    fn push(&mut self, at: Duration, bytes: u64);

    /// What the readings so far say.
    fn verdict(&self) -> Verdict;
}

/// Judges the newest readings that a bounded [`Series`] holds.
#[derive(Debug, Clone, Default)]
pub struct WindowDetector {
    series: Series,
    options: TrendOptions,
}

impl WindowDetector {
    /// A detector over the newest readings that `series` keeps.
    #[must_use]
    pub fn new(series: Series, options: TrendOptions) -> Self {
        Self { series, options }
    }

    /// The readings held.
    #[must_use]
    pub fn series(&self) -> &Series {
        &self.series
    }

    /// Changes the limit, which may only be known later.
    pub fn set_limit(&mut self, limit_bytes: Option<u64>) {
        self.options.limit_bytes = limit_bytes;
    }
}

impl TrendDetector for WindowDetector {
    fn push(&mut self, at: Duration, bytes: u64) {
        self.series.push(Sample { at, bytes });
    }

    fn verdict(&self) -> Verdict {
        self.series.verdict(&self.options)
    }
}
