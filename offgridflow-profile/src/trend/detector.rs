use std::time::Duration;

use super::rises::Rises;
use super::spoken::Spoken;
use super::{Sample, Series, Shape, TrendOptions, Verdict};

/// Judges readings as they come.
pub trait TrendDetector: Send {
    /// Takes a reading; `at` counts from any fixed instant and must not go back.
    fn push(&mut self, at: Duration, bytes: u64);

    /// What the readings so far say.
    fn verdict(&self) -> Verdict;
}

/// Judges the newest readings that a bounded [`Series`] holds, and remembers how far memory rose before and came back: of a cycle
/// that is longer than the series, only the first rise can look like a leak, and a leak's sentence says so. [`TrendOptions::leak_window`] counts from the
/// first reading of all.
#[derive(Debug, Clone)]
pub struct WindowDetector {
    first: Option<Duration>, // when the first reading of all was
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
        let first = series.iter().next().map(|sample| sample.at);
        Self { first, series, options, rises }
    }

    /// From the first reading of all to the newest.
    fn watched(&self) -> Duration {
        let ends = self.first.zip(self.series.last());
        ends.map_or(Duration::ZERO, |(first, newest)| newest.at.saturating_sub(first))
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
        self.first.get_or_insert(at);
        self.rises.push(Sample { at, bytes });
        self.series.push(Sample { at, bytes });
    }

    fn verdict(&self) -> Verdict {
        let watched = self.watched();
        let verdict = self.series.verdict_watched(&self.options, watched);
        let verdict = self.rises.known_again(self.series.span(), verdict);
        if verdict.shape != Shape::Leak {
            return verdict;
        }
        let why = format!(
            "{}; a cycle longer than the {} watched would look the same",
            verdict.why,
            Spoken(watched)
        );
        Verdict { why, ..verdict }
    }
}
