//! What flights and the clock of invalidations are built of; the loom model of `tests/loom_flight.rs` has loom's in its place.

pub(crate) use std::sync::atomic::{AtomicU64, Ordering};
pub(crate) use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError, RwLock};

/// Locks that the table of flights is spread over; hits never take one.
pub(crate) const SHARDS: usize = 64;

/// Slots of the table of removals that hits look at, a power of two: 128 KiB once anything was removed by tag or by another node.
pub(crate) const SLOTS: usize = 16_384;
