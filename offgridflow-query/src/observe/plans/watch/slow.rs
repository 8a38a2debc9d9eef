//! The latest slow statements.

use crate::observe::fingerprint::Fingerprint;
use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

/// Which executions are slow, and how many of them are kept.
///
/// ```
/// use offgridflow_query::{Observer, SlowLog};
/// use std::time::Duration;
/// let observer = Observer::new("sqlite").with_slow_log(SlowLog::over(Duration::from_millis(100)).or_times_typical(10.0));
/// # let _ = observer;
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SlowLog {
    over: Duration,
    times_typical: Option<f64>,
    keep: usize,
}

impl SlowLog {
    /// Executions that take this long or longer; the latest 256 are kept.
    #[must_use]
    pub fn over(limit: Duration) -> Self {
        Self { over: limit, times_typical: None, keep: 256 }
    }

    /// Also those that take so many times as long as the statement's own median of its last 64 executions.
    #[must_use]
    pub fn or_times_typical(self, times: f64) -> Self {
        Self { times_typical: Some(times), ..self }
    }

    /// Keeps the latest `executions`.
    #[must_use]
    pub fn keep(self, executions: usize) -> Self {
        Self { keep: executions, ..self }
    }

    pub(crate) fn is_slow(&self, took: Duration, typical_ns: Option<u64>) -> bool {
        let beyond = |times: f64, typical: u64| took.as_nanos() as f64 >= typical as f64 * times;
        took >= self.over
            || self.times_typical.zip(typical_ns).is_some_and(|(times, typical)| beyond(times, typical))
    }
}

/// One slow execution. Without values: the text is the normal form.
#[derive(Debug, Clone)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct SlowStatement {
    /// When it ended, by the system's clock.
    pub ended: SystemTime,
    /// The statement.
    pub fingerprint: Option<Fingerprint>,
    /// Its normal form, at most 1 KiB.
    pub text: String,
    /// How long it took.
    pub took: Duration,
    /// The class of the error, or `cancelled`; `None` if it succeeded.
    pub error: Option<&'static str>,
    /// Where it was asked for: place in the code, or span.
    pub at: String,
}

/// The ring behind a [`SlowLog`].
#[derive(Debug)]
pub(crate) struct SlowRing {
    pub(crate) log: SlowLog,
    ring: Mutex<VecDeque<SlowStatement>>,
}

impl SlowRing {
    pub(crate) fn new(log: SlowLog) -> Self {
        Self { log, ring: Mutex::default() }
    }

    pub(crate) fn push(&self, slow: SlowStatement) {
        if self.log.keep == 0 {
            return;
        }
        let mut ring = self.ring.lock().unwrap_or_else(PoisonError::into_inner);
        if ring.len() >= self.log.keep {
            ring.pop_front();
        }
        ring.push_back(slow);
    }

    /// The latest first.
    pub(crate) fn read(&self) -> Vec<SlowStatement> {
        self.ring.lock().unwrap_or_else(PoisonError::into_inner).iter().rev().cloned().collect()
    }

    pub(crate) fn clear(&self) {
        self.ring.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}
