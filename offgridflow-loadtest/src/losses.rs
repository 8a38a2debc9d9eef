//! What a run lost to a thread that is gone.

use std::time::Duration;

/// A shard that did not come back.
#[derive(Debug, Clone, Copy, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub(crate) struct Stuck {
    pub(crate) shard: usize,
    /// When its thread last ran the engine.
    #[cfg_attr(feature = "serde", serde(with = "crate::report::nanos"))]
    pub(crate) since: Duration,
    /// The end of the last window that came from it.
    #[cfg_attr(feature = "serde", serde(with = "crate::report::nanos"))]
    pub(crate) until: Duration,
    /// By `since`.
    pub(crate) in_flight: u64,
}

/// A task of the engine that panicked.
#[derive(Debug, Clone, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub(crate) struct Fault {
    pub(crate) shard: usize,
    /// When its thread last ran the engine.
    #[cfg_attr(feature = "serde", serde(with = "crate::report::nanos"))]
    pub(crate) at: Duration,
    pub(crate) said: String,
}
