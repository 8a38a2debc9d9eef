//! What is known of one statement.

use crate::error::Class;
use crate::histogram::Histogram;
use crate::observe::fingerprint::{Fingerprint, beginning};
use crate::observe::plans::Learned;
use crate::observe::stats::Reading;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// Bytes of normal text kept a statement.
const TEXT_BYTES: usize = 1_024;
/// Bytes of a summary, which is a metric's label: what OpenTelemetry allows.
const SUMMARY_BYTES: usize = 255;

#[derive(Debug, Default)]
pub(super) struct Entry {
    pub(super) fingerprint: Option<Fingerprint>, // `None` for "other"
    pub(super) text: String,
    pub(super) summary: String,
    #[cfg_attr(
        not(any(feature = "sqlite", feature = "postgres", feature = "layer")),
        expect(dead_code, reason = "only they hear of rows that a read is said to have changed")
    )]
    reads: bool,
    cancelled: AtomicU64,
    rows: AtomicU64,
    retries: AtomicU64,
    errors: [AtomicU64; Class::ALL.len()],
    latency: Histogram,          // one observation a call
    split: OnceLock<Box<Split>>, // for statements that an executor watches
    born: Born,
    forgotten: AtomicU64, // calls that no longer count for its place
    evicted: AtomicBool,
    pub(super) plans: Learned,
}

/// Tells an entry from one of the same statement before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Born(u64);

impl Default for Born {
    fn default() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Self(NEXT.fetch_add(1, Relaxed))
    }
}

/// Parts of the latency, and the wait before it.
#[derive(Debug, Default)]
struct Split {
    waited: Histogram,
    first_row: Histogram,
    consumer: Histogram,
}

/// How one execution ended.
#[derive(Debug, Clone, Copy)]
pub(super) enum End {
    Answered(u64), // rows
    Failed(Class),
    Cancelled,
}

impl End {
    pub(super) fn error(self) -> Option<&'static str> {
        match self {
            Self::Answered(_) => None,
            Self::Failed(class) => Some(class.as_str()),
            Self::Cancelled => Some("cancelled"),
        }
    }
}

impl Entry {
    pub(super) fn new(fingerprint: Fingerprint, sql: &str) -> Self {
        let text = shortened(beginning(sql, TEXT_BYTES), TEXT_BYTES);
        let (summary, reads) = (summary(&text), is_read(&text));
        Self { fingerprint: Some(fingerprint), text, summary, reads, ..Self::default() }
    }

    pub(super) fn other() -> Self {
        Self { text: "other".into(), summary: "other".into(), ..Self::default() }
    }

    pub(super) fn over(&self, end: End, took: Duration) {
        let (counter, by) = match end {
            End::Answered(rows) => (&self.rows, rows),
            End::Failed(class) => (&self.errors[class as usize], 1),
            End::Cancelled => (&self.cancelled, 1),
        };
        counter.fetch_add(by, Relaxed);
        self.latency.record(took);
    }

    pub(super) fn retried(&self) {
        self.retries.fetch_add(1, Relaxed);
    }

    pub(super) fn waited(&self, wait: Duration) {
        self.split().waited.record(wait);
    }

    pub(super) fn streamed(&self, first_row: Duration, consumer: Duration) {
        self.split().first_row.record(first_row);
        self.split().consumer.record(consumer);
    }

    /// What a read "changed" is what an earlier statement did (SQLite), or its rows once more (PostgreSQL).
    #[cfg(any(feature = "sqlite", feature = "postgres", feature = "layer"))]
    pub(super) fn rows_of(&self, answered: u64, changed: u64) -> u64 {
        if answered == 0 && !self.reads { changed } else { answered }
    }

    /// Calls, older ones less.
    pub(super) fn usage(&self) -> u64 {
        self.latency.count().saturating_sub(self.forgotten.load(Relaxed))
    }

    pub(super) fn age(&self) {
        self.forgotten.fetch_add(self.usage().div_ceil(2), Relaxed);
    }

    pub(super) fn born(&self) -> Born {
        self.born
    }

    pub(super) fn evict(&self) {
        self.evicted.store(true, Relaxed);
    }

    pub(super) fn is_evicted(&self) -> bool {
        self.evicted.load(Relaxed)
    }

    /// Adds what another entry counted.
    pub(super) fn absorb(&self, entry: &Self) {
        let add = |to: &AtomicU64, from: &AtomicU64| to.fetch_add(from.load(Relaxed), Relaxed);
        add(&self.cancelled, &entry.cancelled);
        add(&self.rows, &entry.rows);
        add(&self.retries, &entry.retries);
        for (to, from) in self.errors.iter().zip(&entry.errors) {
            add(to, from);
        }
        self.latency.absorb(&entry.latency);
        if let Some(theirs) = entry.split.get() {
            let ours = self.split();
            ours.waited.absorb(&theirs.waited);
            ours.first_row.absorb(&theirs.first_row);
            ours.consumer.absorb(&theirs.consumer);
        }
    }

    fn split(&self) -> &Split {
        self.split.get_or_init(Box::default)
    }

    /// Concurrent executions may be in some of the figures and not yet in others.
    pub(super) fn read(&self) -> Reading {
        let read = |counter: &AtomicU64| counter.load(Relaxed);
        let split = self.split.get();
        let part = |of: fn(&Split) -> &Histogram| split.map(|split| of(split).read()).unwrap_or_default();
        Reading {
            fingerprint: self.fingerprint,
            born: self.born,
            text: self.text.clone(),
            errors: std::array::from_fn(|class| read(&self.errors[class])),
            cancelled: read(&self.cancelled),
            rows: read(&self.rows),
            retries: read(&self.retries),
            latency: self.latency.read(),
            waited: part(|split| &split.waited),
            first_row: part(|split| &split.first_row),
            consumer: part(|split| &split.consumer),
        }
    }
}

/// At most so many bytes of a text, which holds no more than them.
pub(super) fn shortened(mut text: String, most: usize) -> String {
    if text.len() > most {
        text.truncate(text.floor_char_boundary(most - 3));
        text.push('…');
        text.shrink_to_fit();
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
    let summary = table.map_or_else(|| operation.to_owned(), |table| format!("{operation} {table}"));
    shortened(summary, SUMMARY_BYTES)
}

/// Whether a statement in its normal form changes nothing.
pub(super) fn is_read(text: &str) -> bool {
    let text = text.trim_start_matches('(');
    let has = |wanted: &[&str]| text.split([' ', '(']).any(|word| wanted.contains(&word));
    let reads = text.starts_with("select")
        || text.starts_with("with") && !has(&["insert", "update", "delete", "merge"]);
    reads && !has(&["into"]) // which makes a table
}

/// Whether a statement in its normal form reads by a value that it is given, so that many values could be asked for at once.
pub(super) fn is_lookup(text: &str) -> bool {
    let has = |part: &str| text.contains(part);
    let by_value = has(" = ?") || has("? = ") || has(" = upper(?") || has(" = lower(?") || has(" in (?)");
    let many = has("any(") || has(" any (");
    let next_page = has(" limit ?") && has(" > ?") && has(" order by ") || has(" offset ");
    let locks = has(" for update") || has(" skip locked");
    is_read(text) && by_value && !many && !next_page && !locks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_are_told_from_writes() {
        for read in [
            "select a from t",
            "(select a from t) union (select b from u)",
            "with x as (select a) select * from x",
        ] {
            assert!(is_read(read), "{read}");
        }
        for write in [
            "insert into t values (?)",
            "with x as (delete from t returning a) select * from x",
            "select a into t from u",
        ] {
            assert!(!is_read(write), "{write}");
        }
    }
}
