//! Which places in the program hold memory: a sampling allocator around the program's own.

mod clock;
mod estimate;
mod gap;
mod live;
mod local;
mod profiler;
mod site;
mod snapshot;
mod symbols;
mod tracked;

pub use estimate::Estimate;
pub use profiler::{HeapCaps, HeapProfiler, SampledHeap};
pub use snapshot::{AGES, HeapSite, HeapSnapshot, Held};
pub use tracked::Tracked;

/// Names of the functions around addresses, which are where calls return to.
#[cfg(feature = "http")]
pub(crate) fn names(addresses: Vec<usize>) -> std::collections::HashMap<usize, String> {
    symbols::names(addresses)
}
