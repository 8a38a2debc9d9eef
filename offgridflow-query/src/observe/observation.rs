//! One execution under way.

use crate::error::Class;
use crate::observe::entry::{End, Entry};
use crate::observe::observer::Inner;
use crate::observe::scope::Place;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// One execution under way. Dropped without a word, it counts as cancelled.
#[must_use = "the clock stops when this is dropped"]
#[derive(Debug)]
pub struct Observation {
    observer: Arc<Inner>,
    entry: Arc<Entry>,
    at: Place,
    started: Instant,
    over: bool,
}

impl Observation {
    pub(super) fn begin(observer: Arc<Inner>, entry: Arc<Entry>, at: Place) -> Self {
        Self { observer, entry, at, started: Instant::now(), over: false }
    }

    /// The statement answered, or changed, `rows` rows.
    pub fn succeeded(mut self, rows: usize) {
        self.end(End::Answered(rows as u64));
    }

    /// The statement failed.
    pub fn failed(mut self, class: Class) {
        self.end(End::Failed(class));
    }

    /// The statement is tried again; the clock goes on.
    pub fn retried(&self) {
        self.entry.retried();
    }

    /// The connection was waited for before the clock started.
    pub fn waited(&self, wait: Duration) {
        self.entry.waited(wait);
    }

    /// The parts of an execution whose rows came one by one: the time until the first, and the time they were with their reader.
    pub fn streamed(&self, first_row: Duration, consumer: Duration) {
        self.entry.streamed(first_row, consumer);
    }

    /// Since the clock started.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    /// Rows of the statement, of those that it answered and those that it is said to have changed.
    #[cfg(any(feature = "sqlite", feature = "postgres"))]
    pub(super) fn rows(&self, answered: u64, changed: u64) -> u64 {
        self.entry.rows_of(answered, changed)
    }

    fn end(&mut self, end: End) {
        let took = self.started.elapsed();
        self.over = true;
        self.observer.over(&self.entry, end, took, self.at);
    }
}

impl Drop for Observation {
    fn drop(&mut self) {
        if !self.over {
            self.end(End::Cancelled);
        }
    }
}
