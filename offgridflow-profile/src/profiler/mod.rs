//! All parts together, started by one line.

mod budget_file;
mod builder;
mod caps;
mod capture;
mod cpu_desk;
mod cpu_worker;
mod desk;
mod latency;
mod observer;
mod parts;
#[cfg(feature = "tokio")]
mod spawn;
mod task_trends;
mod watcher;

pub use builder::{Cpu, ProfilerBuilder};
pub use caps::{Capability, Caps, Support};
pub use latency::{LatencyCounts, LatencyFeed};
pub use parts::{IncidentSummary, Profiler, ProfilerStats};
pub use task_trends::TaskTrend;
#[cfg(feature = "http")]
pub(crate) use {desk::Desk, parts::Parts};
