//! Which places in the program hold memory: a sampling allocator around the program's own.

mod clock;
mod estimate;
mod gap;
mod live;
mod local;
mod machinery;
mod profiler;
mod site;
mod snapshot;
mod tracked;

pub use estimate::Estimate;
pub use profiler::{HeapCaps, HeapProfiler, SampledHeap};
pub use snapshot::{AGES, HeapSite, HeapSnapshot, Held};
pub use tracked::Tracked;
