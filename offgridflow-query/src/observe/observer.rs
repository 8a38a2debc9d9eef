//! Statistics per statement, in bounded memory.

use crate::error::Class;
use crate::observe::entry::{End, Entry};
use crate::observe::findings::Findings;
use crate::observe::observation::Observation;
use crate::observe::plans::Watching;
use crate::observe::scope::{self, Place};
use crate::observe::stats::{By, ObserverReport, ObserverSnapshot, StatementStats};
use crate::observe::table::Table;
use std::panic::Location;
use std::sync::Arc;
use std::time::Duration;

const DEFAULT_STATEMENTS: usize = 2_048;

/// Counts and times statements by [`Fingerprint`](crate::Fingerprint).
///
/// The table is bounded (2 048 statements unless told otherwise): where it is full, the statement that was used least gives its
/// place up and counts in one row called "other", so no execution is lost. A statement costs about 5 KiB. Clones share the table.
///
/// A text that is `&'static str` is recognised by its address; other texts are looked up as they are, and fingerprinted when they are
/// new or longer than 1 KiB. Neither way allocates once the statement is known.
///
/// Three ways lead here: [`on`](Self::on), an executor for sqlx's own queries, which sees most; [`time`](Self::time) around any future;
/// and `ObserverLayer` (feature `layer`), for which no code is changed, and which sees least.
///
/// ```
/// use offgridflow_query::Observer;
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// let observer = Observer::new("sqlite");
/// let answer = observer.time("SELECT 1", async { Ok::<i32, std::io::Error>(1) }).await;
/// assert_eq!(answer.unwrap(), 1);
/// let top = observer.top(10);
/// assert_eq!((top[0].text.as_str(), top[0].calls), ("select ?", 1));
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Observer {
    pub(super) inner: Arc<Inner>,
}

#[derive(Debug)]
pub(super) struct Inner {
    pub(super) database: &'static str,
    pub(super) table: Table,
    pub(super) findings: Findings,
    pub(super) plans: Watching,
}

impl Inner {
    pub(super) fn new(database: &'static str, statements: usize) -> Self {
        Self {
            database,
            table: Table::new(statements),
            findings: Findings::default(),
            plans: Watching::default(),
        }
    }

    pub(super) fn over(&self, entry: &Entry, end: End, took: Duration, at: Place) {
        self.plans.look(entry, end, took, at);
        match entry.is_evicted() {
            false => entry.over(end, took),
            true => self.table.other().over(end, took),
        }
        crate::telemetry::operation(self.database, &entry.summary, end.error(), took);
    }
}

impl Observer {
    /// An observer for 2 048 statements; `database` is the metric label (`sqlite`, `postgresql`).
    #[must_use]
    pub fn new(database: &'static str) -> Self {
        Self::with_capacity(database, DEFAULT_STATEMENTS)
    }

    /// An observer for `statements` statements, at least one.
    #[must_use]
    pub fn with_capacity(database: &'static str, statements: usize) -> Self {
        crate::telemetry::observer_made();
        Self { inner: Arc::new(Inner::new(database, statements)) }
    }

    pub(super) fn found_in(&self) -> &Findings {
        &self.inner.findings
    }

    /// Runs `work` and counts it under `sql`. The value's rows are not counted; see [`time_rows`](Self::time_rows).
    ///
    /// # Errors
    /// Whatever `work` fails with.
    ///
    /// # Cancel safety
    /// As `work`; a drop counts as cancelled.
    #[track_caller]
    pub fn time<T, E>(
        &self,
        sql: &'static str,
        work: impl Future<Output = Result<T, E>>,
    ) -> impl Future<Output = Result<T, E>> {
        self.time_rows(sql, work, |_| 0)
    }

    /// As [`time`](Self::time), and counts the rows of the answer.
    ///
    /// # Errors
    /// Whatever `work` fails with.
    #[track_caller]
    pub fn time_rows<T, E>(
        &self,
        sql: &'static str,
        work: impl Future<Output = Result<T, E>>,
        rows: impl FnOnce(&T) -> usize,
    ) -> impl Future<Output = Result<T, E>> {
        let at = Location::caller();
        async move {
            let observation = self.observe(self.inner.table.of_static(sql), sql, at.into());
            let result = work.await;
            match &result {
                Ok(value) => observation.succeeded(rows(value)),
                Err(_) => observation.failed(Class::Other),
            }
            result
        }
    }

    /// Starts the clock for a text that lives as long as the program.
    #[track_caller]
    pub fn start(&self, sql: &'static str) -> Observation {
        self.observe(self.inner.table.of_static(sql), sql, Location::caller().into())
    }

    /// Starts the clock for a text that was built at run time.
    #[track_caller]
    pub fn start_text(&self, sql: &str) -> Observation {
        self.start_at(sql, Location::caller().into())
    }

    fn start_at(&self, sql: &str, at: Place) -> Observation {
        self.observe(self.inner.table.of_text(sql), sql, at)
    }

    fn observe(&self, entry: Arc<Entry>, sql: &str, at: Place) -> Observation {
        self.inner.plans.want(&entry, sql, || None);
        self.begin(entry, at)
    }

    /// The entry of a text for an execution that asks for its plan itself.
    #[cfg(any(feature = "sqlite", feature = "postgres"))]
    pub(super) fn entry(&self, sql: &str) -> Arc<Entry> {
        self.inner.table.of_text(sql)
    }

    pub(super) fn begin(&self, entry: Arc<Entry>, at: Place) -> Observation {
        scope::note(entry.fingerprint, &entry.text, at);
        Observation::begin(Arc::clone(&self.inner), entry, at)
    }

    /// Counts an execution that somebody else timed, for `scope` where it has one.
    #[cfg(feature = "layer")]
    pub(super) fn record(
        &self,
        sql: &str,
        scope: Option<&scope::Tally>,
        at: Place,
        (answered, changed): (u64, u64),
        took: Duration,
    ) {
        let entry = self.inner.table.of_text(sql);
        if let Some(scope) = scope {
            scope.note_all(entry.fingerprint, &entry.text, at);
        }
        self.inner.plans.want(&entry, sql, || None);
        self.inner.over(&entry, End::Answered(entry.rows_of(answered, changed)), took, at);
    }

    /// Every figure as of now, to be compared with another time's.
    #[must_use]
    pub fn snapshot(&self) -> ObserverSnapshot {
        let table = &self.inner.table;
        let (entries, other) = table.all();
        ObserverSnapshot {
            statements: entries.iter().map(|entry| entry.read()).collect(),
            other,
            capacity: table.capacity(),
            evicted: table.evicted(),
        }
    }

    /// Every statement, the one with the largest total time first.
    #[must_use]
    pub fn report(&self) -> ObserverReport {
        self.snapshot().report()
    }

    /// The `n` statements with the largest total time.
    #[must_use]
    pub fn top(&self, n: usize) -> Vec<StatementStats> {
        self.report().top(n, By::TotalTime)
    }

    /// Forgets every statement, and what was found of them. Executions that are under way are not counted when they end.
    pub fn reset(&self) {
        self.inner.table.clear();
        self.inner.findings.clear();
        self.inner.plans.clear();
    }
}
