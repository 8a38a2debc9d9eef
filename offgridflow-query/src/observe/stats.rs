//! The figures of statements: as of now, and between two readings.

use crate::error::Class;
use crate::histogram::{Counts, HistogramSnapshot};
use crate::observe::entry::Born;
use crate::observe::fingerprint::Fingerprint;
use std::cmp::Reverse;
use std::collections::HashMap;

/// Everything an [`Observer`](crate::Observer) knew at one instant. Two of them make a [report](Self::since) of the time in between.
#[derive(Debug, Clone)]
pub struct ObserverSnapshot {
    pub(super) statements: Vec<Reading>,
    pub(super) other: Reading,
    pub(super) capacity: usize,
    pub(super) evicted: u64,
}

impl ObserverSnapshot {
    /// The figures since the observer began, or was reset.
    #[must_use]
    pub fn report(&self) -> ObserverReport {
        self.compared(Reading::stats, self.other.stats(), self.evicted)
    }

    /// The figures of the time since `earlier`, a snapshot of the same observer; statements that did not run are left out. Where the
    /// observer was reset in between, or a statement lost its place and found it again, everything since then counts.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> ObserverReport {
        let before: HashMap<_, _> = earlier.statements.iter().map(|one| (one.fingerprint, one)).collect();
        let since = |now: &Reading| match before.get(&now.fingerprint) {
            Some(then) => now.since(then).stats(),
            None => now.stats(),
        };
        // What a statement did before `earlier` went to the others when it lost its place later.
        let still: HashMap<_, _> = self.statements.iter().map(|one| (one.fingerprint, one.born)).collect();
        let gone = earlier.statements.iter().filter(|one| still.get(&one.fingerprint) != Some(&one.born));
        let other = match self.other.born == earlier.other.born {
            true => gone.fold(self.other.since(&earlier.other), |other, one| other.less(one)),
            false => self.other.clone(), // it was reset
        };
        let evicted = self.evicted.checked_sub(earlier.evicted).unwrap_or(self.evicted);
        let mut report = self.compared(since, other.stats(), evicted);
        report.statements.retain(|stats| stats.calls > 0);
        report
    }

    fn compared(
        &self,
        stats: impl Fn(&Reading) -> StatementStats,
        other: StatementStats,
        evicted: u64,
    ) -> ObserverReport {
        let statements = self.statements.iter().map(stats).collect();
        let mut report = ObserverReport { statements, other, capacity: self.capacity, evicted };
        report.statements = report.top(usize::MAX, By::TotalTime);
        report
    }
}

/// The counters of one statement at one instant.
#[derive(Debug, Clone, Default)]
pub(super) struct Reading {
    pub(super) fingerprint: Option<Fingerprint>,
    pub(super) born: Born,
    pub(super) text: String,
    pub(super) errors: [u64; Class::ALL.len()],
    pub(super) cancelled: u64,
    pub(super) rows: u64,
    pub(super) retries: u64,
    pub(super) latency: Counts, // one observation a call
    pub(super) waited: Counts,
    pub(super) first_row: Counts,
    pub(super) consumer: Counts,
}

impl Reading {
    fn stats(&self) -> StatementStats {
        let classes = Class::ALL.into_iter().zip(self.errors).filter(|(_, times)| *times > 0);
        StatementStats {
            fingerprint: self.fingerprint,
            text: self.text.clone(),
            calls: self.latency.count(),
            errors: self.errors.iter().sum(),
            by_class: classes.map(|(class, times)| ErrorCount { class, times }).collect(),
            cancelled: self.cancelled,
            rows: self.rows,
            retries: self.retries,
            latency: self.latency.figures(),
            waited: self.waited.figures(),
            first_row: self.first_row.figures(),
            consumer: self.consumer.figures(),
        }
    }

    /// What came after `earlier`; everything, if the statement began anew in between.
    fn since(&self, earlier: &Self) -> Self {
        match self.born == earlier.born {
            true => self.less(earlier),
            false => self.clone(),
        }
    }

    /// Without what `earlier` counted.
    fn less(&self, earlier: &Self) -> Self {
        Self {
            fingerprint: self.fingerprint,
            born: self.born,
            text: self.text.clone(),
            errors: std::array::from_fn(|class| self.errors[class].saturating_sub(earlier.errors[class])),
            cancelled: self.cancelled.saturating_sub(earlier.cancelled),
            rows: self.rows.saturating_sub(earlier.rows),
            retries: self.retries.saturating_sub(earlier.retries),
            latency: self.latency.since(&earlier.latency),
            waited: self.waited.since(&earlier.waited),
            first_row: self.first_row.since(&earlier.first_row),
            consumer: self.consumer.since(&earlier.consumer),
        }
    }
}

/// What the first statements of a list have most of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum By {
    /// Time of all executions together.
    #[default]
    TotalTime,
    /// The 95th percentile of one execution.
    P95,
    /// Rows answered or changed.
    Rows,
    /// Executions that failed.
    Errors,
    /// Executions.
    Calls,
}

impl By {
    fn of(self, stats: &StatementStats) -> u64 {
        match self {
            Self::TotalTime => stats.latency.sum_ns,
            Self::P95 => stats.latency.p95_ns,
            Self::Rows => stats.rows,
            Self::Errors => stats.errors,
            Self::Calls => stats.calls,
        }
    }
}

/// The figures of one statement.
#[derive(Debug, Clone)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct StatementStats {
    /// Its identity; `None` for the row of all statements that have no place of their own.
    pub fingerprint: Option<Fingerprint>,
    /// Its normal form, without values, at most 1 KiB.
    pub text: String,
    /// Executions, failed and cancelled ones included.
    pub calls: u64,
    /// Executions that failed.
    pub errors: u64,
    /// The same by class; classes without errors are left out.
    pub by_class: Vec<ErrorCount>,
    /// Executions whose future was dropped.
    pub cancelled: u64,
    /// Rows answered or changed.
    pub rows: u64,
    /// Executions that were tried again ([`Observation::retried`](crate::Observation::retried)).
    pub retries: u64,
    /// Durations, in nanoseconds; `sum_ns` is the total time. The parts below are those of executions that an
    /// [executor](crate::Observer::on) watched, and empty for others.
    pub latency: HistogramSnapshot,
    /// The wait for a connection before it, not part of the latency: for the first statement on a connection from
    /// [`Observer::acquire`](crate::Observer::acquire).
    pub waited: HistogramSnapshot,
    /// Until the first row, or the end where there is none.
    pub first_row: HistogramSnapshot,
    /// Between the rows, in the hands of whoever reads them: the database is not to blame.
    pub consumer: HistogramSnapshot,
}

/// Errors of one class.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct ErrorCount {
    /// The class.
    pub class: Class,
    /// How often it was met.
    pub times: u64,
}

/// The figures of an [`Observer`](crate::Observer): since its beginning, or of a stretch of time.
#[derive(Debug, Clone)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct ObserverReport {
    /// The statements, largest total time first.
    pub statements: Vec<StatementStats>,
    /// What statements did that gave their place up.
    pub other: StatementStats,
    /// Statements that the table holds at most.
    pub capacity: usize,
    /// How often a statement gave its place up.
    pub evicted: u64,
}

impl ObserverReport {
    /// The first `n` statements in an order of their own.
    #[must_use]
    pub fn top(&self, n: usize, by: By) -> Vec<StatementStats> {
        let mut first: Vec<&StatementStats> = self.statements.iter().collect();
        first.sort_by_key(|stats| Reverse((by.of(stats), stats.fingerprint)));
        first.into_iter().take(n).cloned().collect()
    }
}
