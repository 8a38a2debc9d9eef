//! What a writer has done.

use crate::batch::crowd::Crowd;
use crate::batch::outcome::{Fate, Outcome, Rejected, Returned, Verdict};
use crate::batch::path::Step;
use crate::batch::shipment::StrategyUse;
use crate::error::Error;
use crate::histogram::{Histogram, HistogramSnapshot};
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Live counters of one writer.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) rows_in: AtomicU64,
    pub(crate) committed: AtomicU64,
    pub(crate) superseded: AtomicU64,
    pub(crate) skipped: AtomicU64,
    pub(crate) rejected: AtomicU64,
    pub(crate) returned: AtomicU64,
    pub(crate) flushes: AtomicU64,
    pub(crate) transactions: AtomicU64,
    pub(crate) retries: AtomicU64,
    pub(crate) bytes: AtomicU64,
    pub(crate) violations: AtomicU64,
    pub(crate) sink_panics: AtomicU64,
    pub(crate) crowd: Crowd, // in front of the queue
    pub(crate) flush: Histogram,
}

impl Counters {
    /// Counts one verdict, and names it as a metric label.
    pub(crate) fn count(&self, verdict: &Verdict) -> &'static str {
        let (counter, label) = match verdict {
            Verdict::Settled(Fate::Committed) => (&self.committed, "committed"),
            Verdict::Settled(Fate::Superseded) => (&self.superseded, "superseded"),
            Verdict::Settled(Fate::Skipped | Fate::Replayed) => (&self.skipped, "skipped"),
            Verdict::Rejected(_) => (&self.rejected, "rejected"),
            Verdict::Returned(_) => (&self.returned, "returned"),
        };
        counter.fetch_add(1, Relaxed);
        label
    }

    pub(crate) fn stats(&self) -> WriterStats {
        let read = |counter: &AtomicU64| counter.load(Relaxed);
        let mut stats = WriterStats {
            committed: read(&self.committed),
            superseded: read(&self.superseded),
            skipped: read(&self.skipped),
            rejected: read(&self.rejected),
            returned: read(&self.returned),
            flushes: read(&self.flushes),
            transactions: read(&self.transactions),
            retries: read(&self.retries),
            bytes: read(&self.bytes),
            conservation_violations: read(&self.violations),
            dead_letter_panics: read(&self.sink_panics),
            flush: self.flush.snapshot(),
            ..WriterStats::default()
        };
        stats.rows_in = read(&self.rows_in); // last, so that it is never behind what is settled
        stats.queued = stats.rows_in.saturating_sub(stats.settled());
        stats
    }
}

/// The figures of a writer. `rows_in` = `committed` + `superseded` + `skipped` + `rejected` + `returned` + `queued`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct WriterStats {
    /// Rows taken.
    pub rows_in: u64,
    /// Rows stored.
    pub committed: u64,
    /// Rows overwritten by a later one of the same flush before they were sent.
    pub superseded: u64,
    /// Rows that the database neither stored nor refused, or had from an earlier push of the same batch.
    pub skipped: u64,
    /// Rows refused.
    pub rejected: u64,
    /// Rows handed back for no fault of their own.
    pub returned: u64,
    /// Rows waiting or being written.
    pub queued: u64,
    /// Flushes done.
    pub flushes: u64,
    /// Transactions tried, rehearsals included.
    pub transactions: u64,
    /// Transactions tried again after a transient failure.
    pub retries: u64,
    /// Bytes of values in flushes that are over, whatever became of their rows: superseded, rejected and returned rows
    /// count, repetitions of a write do not. Rows that could not be encoded have none.
    pub bytes: u64,
    /// Flushes whose rows did not add up. Anything but 0 is a bug; report it.
    pub conservation_violations: u64,
    /// Rejected rows on which the sink of [`dead_letters`](crate::BatchWriterBuilder::dead_letters) panicked. The row went
    /// with it; the writer goes on.
    pub dead_letter_panics: u64,
    /// Duration of flushes, in nanoseconds.
    pub flush: HistogramSnapshot,
}

impl WriterStats {
    /// Rows whose fate is known.
    #[must_use]
    pub fn settled(&self) -> u64 {
        self.committed + self.superseded + self.skipped + self.rejected + self.returned
    }
}

/// What a closed writer leaves: its figures, and the rows that nobody else was told about. Serialized, these are without their data: each is
/// its cause.
#[must_use = "rows that were not stored are in here"]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(bound = ""))]
#[non_exhaustive]
pub struct Report<R> {
    /// The figures at the end; `queued` is 0.
    pub stats: WriterStats,
    /// Rejected rows whose ticket was dropped, at most `keep_unheard` of them.
    pub rejected: Vec<Rejected<R>>,
    /// Returned rows whose ticket was dropped, at most `keep_unheard` of them.
    pub returned: Vec<Returned<R>>,
    /// Rows whose ticket was dropped and for which there was no room above. They were counted, then dropped.
    pub unheard_dropped: u64,
    /// The first flush whose rows did not add up, if there was one.
    pub violation: Option<Error>,
    /// How often each strategy was used.
    pub strategies: Vec<StrategyUse>,
    /// The smallest power of two of rows at which the strategy for many rows measured cheaper; `None` until measured.
    pub crossover_rows: Option<usize>,
    /// The sizes that flushes aimed at, in the order of the flushes; at most 256 changes.
    pub path: Vec<Step>,
}

impl<R> Report<R> {
    /// Whether every row that went in is stored, superseded or skipped.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.stats.rejected == 0 && self.stats.returned == 0 && self.violation.is_none()
    }
}

impl<R> fmt::Debug for Report<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Report")
            .field("stats", &self.stats)
            .field("rejected", &self.rejected)
            .field("returned", &self.returned)
            .field("unheard_dropped", &self.unheard_dropped)
            .field("violation", &self.violation)
            .field("strategies", &self.strategies)
            .field("crossover_rows", &self.crossover_rows)
            .field("path", &self.path)
            .finish()
    }
}

/// Outcomes that no ticket waits for.
pub(crate) struct Unheard<R> {
    rejected: Vec<Rejected<R>>,
    returned: Vec<Returned<R>>,
    dropped: u64,
    room: usize,                                          // for each of the two lists
    sink: Option<Box<dyn Fn(Rejected<R>) + Send + Sync>>, // takes what is rejected
}

impl<R> Unheard<R> {
    pub(crate) fn with_room(room: usize, sink: Option<Box<dyn Fn(Rejected<R>) + Send + Sync>>) -> Self {
        Self { rejected: Vec::new(), returned: Vec::new(), dropped: 0, room, sink }
    }

    pub(crate) fn keep(&mut self, outcome: Outcome<R>, counters: &Counters) {
        match outcome {
            Outcome::Settled(_) => {}
            Outcome::Rejected(rejected) => match &self.sink {
                Some(sink) => {
                    // The user's code: its panic costs the row it was given, nothing else.
                    if catch_unwind(AssertUnwindSafe(|| sink(rejected))).is_err() {
                        counters.sink_panics.fetch_add(1, Relaxed);
                    }
                }
                None if self.rejected.len() < self.room => self.rejected.push(rejected),
                None => self.dropped += 1,
            },
            Outcome::Returned(returned) if self.returned.len() < self.room => self.returned.push(returned),
            Outcome::Returned(_) => self.dropped += 1,
        }
    }

    pub(crate) fn report(self, stats: WriterStats, violation: Option<Error>) -> Report<R> {
        let Self { rejected, returned, dropped, .. } = self;
        Report {
            stats,
            rejected,
            returned,
            unheard_dropped: dropped,
            violation,
            strategies: Vec::new(),
            crossover_rows: None,
            path: Vec::new(),
        }
    }
}
