//! What a run lost to a thread that is gone.

use std::time::Duration;

/// A shard that did not come back.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Stuck {
    pub(crate) shard: usize,
    /// When its thread last ran the engine.
    pub(crate) since: Duration,
    /// The end of the last window that came from it.
    pub(crate) until: Duration,
    /// By `since`.
    pub(crate) in_flight: u64,
}

/// A task of the engine that panicked.
#[derive(Debug, Clone, Default)]
pub(crate) struct Fault {
    pub(crate) shard: usize,
    /// When its thread last ran the engine.
    pub(crate) at: Duration,
    pub(crate) said: String,
}
