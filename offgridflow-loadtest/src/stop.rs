//! Ending a run early.

use std::sync::{
    Arc,
    atomic::{AtomicU8, Ordering::Relaxed},
};

/// The run takes longer than its plan allows: what is left is counted as it is.
const OVERDUE: u8 = 1;
/// Somebody asked for the end.
const ASKED: u8 = 2;

/// Ends a run early from anywhere. The report covers what happened; its gates are not evaluated.
#[derive(Debug, Clone, Default)]
pub struct StopHandle {
    state: Arc<AtomicU8>, // the highest of what was said
}

impl StopHandle {
    /// Asks the run to end: nothing new begins, what is in flight gets a second to finish. Takes effect
    /// within 100 ms; asking again changes nothing.
    pub fn stop(&self) {
        self.state.fetch_max(ASKED, Relaxed);
    }

    /// Whether somebody asked.
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        self.state.load(Relaxed) == ASKED
    }

    /// Nothing new begins and what is left is counted, though nobody asked.
    pub(crate) fn give_up(&self) {
        self.state.fetch_max(OVERDUE, Relaxed);
    }

    /// Whether shards have to end, for whatever reason.
    pub(crate) fn ends(&self) -> bool {
        self.state.load(Relaxed) > 0
    }
}

/// Stops the shards when the run's future is dropped.
#[derive(Debug)]
pub(crate) struct StopOnDrop(pub(crate) StopHandle);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.stop();
    }
}
