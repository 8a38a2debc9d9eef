//! Ending a run early.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering::Relaxed},
};

/// Ends a run early from anywhere. The report covers what happened; its gates are not evaluated.
#[derive(Debug, Clone, Default)]
pub struct StopHandle {
    asked: Arc<AtomicBool>,
}

impl StopHandle {
    /// Asks the run to end: nothing new begins, what is in flight gets a second to finish. Takes effect
    /// within 100 ms; asking again changes nothing.
    pub fn stop(&self) {
        self.asked.store(true, Relaxed);
    }

    /// Whether somebody asked.
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        self.asked.load(Relaxed)
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
