//! Signs of life of a shard, for the time between two windows.

use std::{
    sync::{
        OnceLock,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

/// What a shard's thread leaves word of as it goes. A few relaxed stores an operation; no other thread beats.
#[derive(Debug, Default)]
pub(crate) struct Pulse {
    beats: AtomicU64,
    at_ns: AtomicU64,
    in_flight: AtomicU64,
    fault: OnceLock<String>,
}

impl Pulse {
    /// The thread ran at `at`, from the start of the run, with so many operations in flight.
    pub(crate) fn beat(&self, at: Duration, in_flight: u64) {
        self.beats.store(self.beats.load(Relaxed) + 1, Relaxed);
        self.at_ns.store(u64::try_from(at.as_nanos()).unwrap_or(u64::MAX), Relaxed);
        self.in_flight.store(in_flight, Relaxed);
    }

    /// A task of the engine panicked on it, and said this.
    pub(crate) fn fail(&self, panic: String) {
        let _ = self.fault.set(panic); // the first is the cause of the others
    }

    /// What the first such task said.
    pub(crate) fn fault(&self) -> Option<&str> {
        self.fault.get().map(String::as_str)
    }

    /// How often it has beaten.
    pub(crate) fn beats(&self) -> u64 {
        self.beats.load(Relaxed)
    }

    /// When it last did.
    pub(crate) fn at(&self) -> Duration {
        Duration::from_nanos(self.at_ns.load(Relaxed))
    }

    /// How many operations were in flight by then.
    pub(crate) fn in_flight(&self) -> u64 {
        self.in_flight.load(Relaxed)
    }
}
