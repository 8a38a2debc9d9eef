//! What flights and the clock of invalidations are built of; the loom model of `tests/loom_flight.rs` has loom's in its place.

pub(crate) use std::sync::atomic::{AtomicU64, Ordering};
pub(crate) use std::sync::{Mutex, MutexGuard, PoisonError, RwLock};

/// Locks that the table of flights is spread over; hits never take one.
pub(crate) const SHARDS: usize = 64;
