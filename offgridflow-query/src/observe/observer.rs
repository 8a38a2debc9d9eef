//! Statistics per statement, in bounded memory.

use crate::error::Class;
use crate::histogram::{Histogram, HistogramSnapshot};
use crate::observe::fingerprint::{Fingerprint, normalize};
use crate::observe::scope;
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::panic::Location;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, PoisonError, RwLock};
use tokio::time::Instant;

/// Bytes of normal text kept a statement.
const TEXT_BYTES: usize = 1_024;
const DEFAULT_STATEMENTS: usize = 2_048;

/// Keys are hashes or addresses already: one multiplication spreads them.
#[derive(Default)]
struct Spread(u64);

impl Hasher for Spread {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|&byte| self.write_u64(byte.into()));
    }

    fn write_u64(&mut self, value: u64) {
        self.0 = (self.0.rotate_left(5) ^ value).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }

    fn write_usize(&mut self, value: usize) {
        self.write_u64(value as u64);
    }
}

type Spreading = BuildHasherDefault<Spread>;

#[derive(Debug, Default)]
struct Entry {
    fingerprint: Option<Fingerprint>, // `None` for "other"
    text: String,
    summary: String,
    calls: AtomicU64,
    errors: AtomicU64,
    cancelled: AtomicU64,
    rows: AtomicU64,
    latency: Histogram,
}

/// Counts and times statements by [`Fingerprint`].
///
/// The table is bounded (2 048 statements unless told otherwise): first come, first kept; further statements count in
/// one row called "other". A statement costs about 5 KiB. Clones share the table.
///
/// A text that is `&'static str` is recognised by its address; other texts are fingerprinted each time, because the
/// addresses of the heap are reused. Neither way allocates once the statement is known.
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
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    database: &'static str,
    capacity: usize,
    entries: RwLock<HashMap<u64, Arc<Entry>, Spreading>>, // by fingerprint, at most `capacity`
    known: RwLock<HashMap<(usize, usize), Arc<Entry>, Spreading>>, // by address and length of static texts, at most twice as many
    other: Arc<Entry>,
}

impl Observer {
    /// An observer for 2 048 statements; `database` is the metric label (`sqlite`, `postgresql`).
    #[must_use]
    pub fn new(database: &'static str) -> Self {
        Self::with_capacity(database, DEFAULT_STATEMENTS)
    }

    /// An observer for `statements` statements.
    #[must_use]
    pub fn with_capacity(database: &'static str, statements: usize) -> Self {
        let other = Entry { text: "other".into(), summary: "other".into(), ..Entry::default() };
        let inner = Inner {
            database,
            capacity: statements,
            entries: RwLock::default(),
            known: RwLock::default(),
            other: Arc::new(other),
        };
        Self { inner: Arc::new(inner) }
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
            let observation = self.observe(self.known(sql), at);
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
        self.observe(self.known(sql), Location::caller())
    }

    /// Starts the clock for a text that was built at run time.
    #[track_caller]
    pub fn start_text(&self, sql: &str) -> Observation {
        self.observe(self.entry(sql), Location::caller())
    }

    fn known(&self, sql: &'static str) -> Arc<Entry> {
        let key = (sql.as_ptr().addr(), sql.len());
        let known = self.inner.known.read().unwrap_or_else(PoisonError::into_inner).get(&key).cloned();
        known.unwrap_or_else(|| self.remember(key, sql))
    }

    fn observe(&self, entry: Arc<Entry>, at: &'static Location<'static>) -> Observation {
        scope::note(entry.fingerprint, &entry.text, at);
        Observation { database: self.inner.database, entry, started: Instant::now(), over: false }
    }

    fn remember(&self, key: (usize, usize), sql: &str) -> Arc<Entry> {
        let entry = self.entry(sql);
        let mut known = self.inner.known.write().unwrap_or_else(PoisonError::into_inner);
        if known.len() < self.inner.capacity.saturating_mul(2) && entry.fingerprint.is_some() {
            known.insert(key, Arc::clone(&entry));
        }
        entry
    }

    fn entry(&self, sql: &str) -> Arc<Entry> {
        let fingerprint = Fingerprint::of(sql);
        let key = fingerprint.as_u64();
        if let Some(entry) = self.inner.entries.read().unwrap_or_else(PoisonError::into_inner).get(&key) {
            return Arc::clone(entry);
        }
        let mut entries = self.inner.entries.write().unwrap_or_else(PoisonError::into_inner);
        if entries.len() >= self.inner.capacity && !entries.contains_key(&key) {
            return Arc::clone(&self.inner.other);
        }
        Arc::clone(entries.entry(key).or_insert_with(|| {
            let text = shortened(normalize(sql));
            let summary = summary(&text);
            Arc::new(Entry { fingerprint: Some(fingerprint), text, summary, ..Entry::default() })
        }))
    }

    /// Every statement, the one with the largest total time first.
    #[must_use]
    pub fn report(&self) -> ObserverReport {
        let entries = self.inner.entries.read().unwrap_or_else(PoisonError::into_inner);
        let mut statements: Vec<StatementStats> = entries.values().map(|entry| entry.stats()).collect();
        drop(entries);
        statements.sort_by_key(|stats| std::cmp::Reverse((stats.latency.sum_ns, stats.fingerprint)));
        ObserverReport { statements, other: self.inner.other.stats(), capacity: self.inner.capacity }
    }

    /// The `n` statements with the largest total time.
    #[must_use]
    pub fn top(&self, n: usize) -> Vec<StatementStats> {
        let mut statements = self.report().statements;
        statements.truncate(n);
        statements
    }
}

impl Entry {
    fn stats(&self) -> StatementStats {
        StatementStats {
            fingerprint: self.fingerprint,
            text: self.text.clone(),
            calls: self.calls.load(Relaxed),
            errors: self.errors.load(Relaxed),
            cancelled: self.cancelled.load(Relaxed),
            rows: self.rows.load(Relaxed),
            latency: self.latency.snapshot(),
        }
    }
}

fn shortened(mut text: String) -> String {
    if text.len() > TEXT_BYTES {
        text.truncate(text.floor_char_boundary(TEXT_BYTES - 3));
        text.push('…');
    }
    text
}

/// OpenTelemetry's query summary: the operation and its first table.
fn summary(text: &str) -> String {
    let mut words = text.split([' ', '(', ')', ',']).filter(|word| !word.is_empty());
    let operation = words.next().unwrap_or("other");
    let table = match operation {
        "update" => words.next(),
        _ => {
            words.by_ref().find(|word| matches!(*word, "from" | "into" | "table")).and_then(|_| words.next())
        }
    };
    table.map_or_else(|| operation.to_owned(), |table| format!("{operation} {table}"))
}

/// One execution under way. Dropped without a word, it counts as cancelled.
#[must_use = "the clock stops when this is dropped"]
#[derive(Debug)]
pub struct Observation {
    database: &'static str,
    entry: Arc<Entry>,
    started: Instant,
    over: bool,
}

impl Observation {
    /// The statement answered, or changed, `rows` rows.
    pub fn succeeded(mut self, rows: usize) {
        self.entry.rows.fetch_add(rows as u64, Relaxed);
        self.end(None);
    }

    /// The statement failed.
    pub fn failed(mut self, class: Class) {
        self.entry.errors.fetch_add(1, Relaxed);
        self.end(Some(class.as_str()));
    }

    fn end(&mut self, error: Option<&'static str>) {
        let took = self.started.elapsed();
        self.over = true;
        self.entry.calls.fetch_add(1, Relaxed);
        self.entry.latency.record(took);
        crate::telemetry::operation(self.database, &self.entry.summary, error, took);
    }
}

impl Drop for Observation {
    fn drop(&mut self) {
        if !self.over {
            self.entry.cancelled.fetch_add(1, Relaxed);
            self.end(Some("cancelled"));
        }
    }
}

/// The figures of one statement.
#[derive(Debug, Clone)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct StatementStats {
    /// Its identity; `None` for the row of all statements that found no place.
    pub fingerprint: Option<Fingerprint>,
    /// Its normal form, without values, at most 1 KiB.
    pub text: String,
    /// Executions, failed and cancelled ones included.
    pub calls: u64,
    /// Executions that failed.
    pub errors: u64,
    /// Executions whose future was dropped.
    pub cancelled: u64,
    /// Rows answered or changed.
    pub rows: u64,
    /// Durations, in nanoseconds; `sum_ns` is the total time.
    pub latency: HistogramSnapshot,
}

/// Everything an [`Observer`] knows.
#[derive(Debug, Clone)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct ObserverReport {
    /// The statements, largest total time first.
    pub statements: Vec<StatementStats>,
    /// All executions of statements that found the table full.
    pub other: StatementStats,
    /// Statements that the table holds at most.
    pub capacity: usize,
}
