//! Ending a run early.

use std::sync::{
    Arc, OnceLock,
    atomic::{AtomicU8, Ordering::Relaxed},
};

use tokio::time::Instant;

/// The run takes longer than its plan allows: what is left is counted as it is.
const OVERDUE: u8 = 1;
/// Somebody asked for the end.
const ASKED: u8 = 2;

/// Ends a run early from anywhere. The report covers what happened; its gates are not evaluated.
#[derive(Debug, Clone, Default)]
pub struct StopHandle {
    state: Arc<State>,
}

#[derive(Debug, Default)]
struct State {
    said: AtomicU8, // the highest of what was said
    asked_at: OnceLock<Instant>,
}

impl StopHandle {
    /// Asks the run to end: nothing new begins, what is in flight gets a second to finish. Takes effect
    /// within 100 ms; asking again changes nothing.
    pub fn stop(&self) {
        self.state.asked_at.get_or_init(Instant::now);
        self.state.said.fetch_max(ASKED, Relaxed);
    }

    /// Whether somebody asked.
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        self.state.said.load(Relaxed) == ASKED
    }

    /// When somebody first did.
    pub(crate) fn asked_at(&self) -> Option<Instant> {
        self.state.asked_at.get().copied()
    }

    /// Nothing new begins and what is left is counted, though nobody asked.
    pub(crate) fn give_up(&self) {
        self.state.said.fetch_max(OVERDUE, Relaxed);
    }

    /// Whether shards have to end, for whatever reason.
    pub(crate) fn ends(&self) -> bool {
        self.state.said.load(Relaxed) > 0
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
