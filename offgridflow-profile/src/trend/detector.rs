use std::time::Duration;

use super::rises::Rises;
use super::{Sample, Series, TrendOptions, Verdict};

/// Judges readings as they come.
pub trait TrendDetector: Send {
    /// Takes a reading; `at` counts from any fixed instant and must not go back.
    fn push(&mut self, at: Duration, bytes: u64);

    /// What the readings so far say.
    fn verdict(&self) -> Verdict;
}

/// Judges the newest readings that a bounded [`Series`] holds, and remembers how far memory rose before and came back: of a cycle
/// that is longer than the series, only the first rise can look like a leak.
#[derive(Debug, Clone)]
pub struct WindowDetector {
    series: Series,
    options: TrendOptions,
    rises: Rises,
}

impl Default for WindowDetector {
    fn default() -> Self {
        Self::new(Series::default(), TrendOptions::default())
    }
}

/// Of the shortest window, the part whose lowest reading counts as the level of memory.
const PART: u32 = 16;

impl WindowDetector {
    /// A detector over the newest readings that `series` keeps.
    #[must_use]
    pub fn new(series: Series, options: TrendOptions) -> Self {
        let mut rises = Rises::new(options.min_window / PART);
        series.iter().for_each(|sample| rises.push(sample));
        Self { series, options, rises }
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
        self.rises.push(Sample { at, bytes });
        self.series.push(Sample { at, bytes });
    }

    fn verdict(&self) -> Verdict {
        self.rises.known_again(self.series.span(), self.series.verdict(&self.options))
    }
}
