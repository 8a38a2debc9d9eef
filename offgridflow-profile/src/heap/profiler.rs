use std::hint::black_box;
use std::sync::atomic::{AtomicU64, Ordering::AcqRel, Ordering::Acquire};

use super::snapshot::HeapSnapshot;
use super::{local, tracked};
use crate::ProfileError;

/// Takes snapshots of what holds memory.
pub trait HeapProfiler: Send + Sync {
    /// What is in use now, and what was allocated since the start, by site.
    ///
    /// Reads symbol tables from disk: milliseconds to a second. Not for an async worker.
    ///
    /// # Errors
    /// When the engine cannot.
    fn snapshot(&self) -> Result<HeapSnapshot, ProfileError>;

    /// What this engine can do here.
    fn caps(&self) -> HeapCaps;
}

/// What a heap profiler can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct HeapCaps {
    /// Its name.
    pub engine: &'static str,
    /// Mean bytes between samples.
    pub rate_bytes: u64,
    /// Whether names of functions can be had; otherwise addresses stand in their place.
    pub names: bool,
}

/// Samples what [`Tracked`](super::Tracked) allocates. There is one for the process: starting again with the same rate gives it again.
#[derive(Debug, Clone, Copy)]
pub struct SampledHeap {
    rate: u64,
}

/// The rate of the first start.
static STARTED: AtomicU64 = AtomicU64::new(0);

impl SampledHeap {
    /// A sample in 512 KiB, as Go and jemalloc take: 64 MiB of one site are known to about 9 %.
    pub const DEFAULT_RATE: u64 = 512 << 10;

    /// Begins to sample, on average once in `rate_bytes`. It goes on until the process ends; what was
    /// allocated before is not seen, nor the first 64 KiB that each other thread allocates after.
    ///
    /// # Errors
    /// [`ProfileError::Unsupported`] when the program's allocator is not a [`Tracked`](super::Tracked), [`ProfileError::Setting`] for a rate of 0,
    /// or for another one than that of the first start.
    pub fn start(rate_bytes: u64) -> Result<Self, ProfileError> {
        let refuse =
            |hint| Err(ProfileError::Setting { setting: "rate_bytes", value: rate_bytes.to_string(), hint });
        if rate_bytes == 0 {
            return refuse("must be above 0; 524288 is usual");
        }
        if !installed() {
            return Err(ProfileError::Unsupported {
                what: "heap profiling",
                hint: "add `#[global_allocator] static A: Tracked<System> = Tracked::system();` to the program",
            });
        }
        match STARTED.compare_exchange(0, rate_bytes, AcqRel, Acquire) {
            Err(rate) if rate != rate_bytes => {
                return refuse("it was started with another rate, which holds for the whole process");
            }
            _ => local::set_rate(rate_bytes),
        }
        Ok(Self { rate: rate_bytes })
    }
}

/// Whether allocations of this program are counted.
fn installed() -> bool {
    let before = local::left();
    drop(black_box(Vec::<u8>::with_capacity(black_box(64))));
    local::left() != before
}

impl HeapProfiler for SampledHeap {
    fn snapshot(&self) -> Result<HeapSnapshot, ProfileError> {
        Ok(HeapSnapshot::take(self.rate, tracked::samples(), tracked::dropped()))
    }

    fn caps(&self) -> HeapCaps {
        HeapCaps { engine: "sampled", rate_bytes: self.rate, names: cfg!(target_os = "linux") }
    }
}
