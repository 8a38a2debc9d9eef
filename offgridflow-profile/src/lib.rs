//! A profiler that states how sure it is: memory verdicts with an error rate, CPU profiles on demand.
//!
//! - [`Profiler`] (feature `profiler`): all parts started by one line, with triggers that capture what was before them.
//! - [`Series`] and [`Series::verdict`] (feature `trend`): readings of memory in, *leak*, *warm-up*, *step*, *stable* or
//!   *unknown* out, with the slope's interval, a p-value, and a sentence that says why.
//! - [`MemoryWatch`] (feature `memory`): reads this process's memory and its limit on a thread of its own.
//! - [`Tracked`] and [`SampledHeap`] (feature `heap`): which sites hold memory, with intervals and ages.
//! - [`Profiled`] and [`wait_site!`] (feature `tasks`): tasks by the place that starts them, waits by the place that waits.
//! - [`ProfileService`] (feature `http`): Go's `/debug/pprof` addresses, and more, as a tower service.
//! - [`Ring`] (feature `ring`): the newest profiles, on disk or in memory, within bounds.
//! - [`PprofCpu`] (feature `cpu-pprof`): where the CPU time goes, on demand, as a neutral [`Profile`] that becomes
//!   pprof protobuf, folded stacks, or (feature `flamegraph`) an SVG.
//!
//! ```
//! use std::time::Duration;
//! use offgridflow_profile::{Sample, Series, Shape, TrendOptions};
//!
//! // One reading a second for half an hour; 4 KiB more each second, beneath a megabyte of noise.
//! let noise = |s: u64| s.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 44;
//! let sample = |s| Sample { at: Duration::from_secs(s), bytes: 100_000_000 + 4_096 * s + noise(s) };
//! let series: Series = (0..1_800).map(sample).collect();
//!
//! let verdict = series.verdict(&TrendOptions::default());
//! assert_eq!(verdict.shape, Shape::Leak);
//! assert!((verdict.slope.unwrap().estimate / 4_096.0 - 1.0).abs() < 0.1);
//! println!("{}", verdict.why);
//! ```
//!
//! # When this is the wrong tool
//!
//! CPU profiles come from signals every few milliseconds: for single slow requests use tracing.
#![cfg_attr(not(any(feature = "heap", feature = "memory", feature = "cpu-pprof")), forbid(unsafe_code))]
// An allocator is unsafe by its trait (`heap::tracked`), and so is what C's library alone knows (`sys`).
#![cfg_attr(any(feature = "heap", feature = "memory", feature = "cpu-pprof"), deny(unsafe_code))]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod binomial;
mod cpu;
#[cfg(any(feature = "cpu-pprof", feature = "profiler"))]
mod deadline;
mod error;
#[cfg(feature = "metrics")]
mod exposition;
#[cfg(feature = "heap")]
mod heap;
#[cfg(feature = "http")]
mod http;
#[cfg(feature = "profiler")]
mod incident;
mod normal;
mod profile;
#[cfg(feature = "profiler")]
mod profiler;
#[cfg(feature = "ring")]
mod ring;
#[cfg(feature = "memory")]
mod source;
#[cfg(feature = "memory")]
mod split;
#[cfg(any(feature = "heap", feature = "cpu-pprof"))]
mod symbols;
#[cfg(any(feature = "memory", feature = "cpu-pprof"))]
mod sys;
#[cfg(feature = "tasks")]
mod tasks;
#[cfg(feature = "trend")]
mod trend;
#[cfg(feature = "profiler")]
mod trigger;
#[cfg(feature = "memory")]
mod watch;

#[cfg(feature = "cpu-pprof")]
#[cfg_attr(docsrs, doc(cfg(feature = "cpu-pprof")))]
pub use cpu::PprofCpu;
pub use cpu::{CpuCaps, CpuProfiler, CpuSpec, CpuTally};
pub use error::ProfileError;
#[cfg(feature = "metrics")]
#[cfg_attr(docsrs, doc(cfg(feature = "metrics")))]
pub use exposition::{describe_metrics, process_prometheus};
#[cfg(feature = "heap")]
#[cfg_attr(docsrs, doc(cfg(feature = "heap")))]
pub use heap::{AGES, Estimate, HeapCaps, HeapProfiler, HeapSite, HeapSnapshot, Held, SampledHeap, Tracked};
#[cfg(feature = "http")]
#[cfg_attr(docsrs, doc(cfg(feature = "http")))]
pub use http::{Access, ProfileService, ProfileServiceBuilder};
#[cfg(feature = "push")]
#[cfg_attr(docsrs, doc(cfg(feature = "push")))]
pub use incident::PyroscopeSink;
#[cfg(feature = "profiler")]
#[cfg_attr(docsrs, doc(cfg(feature = "profiler")))]
pub use incident::{DirSink, Evidence, Incident, IncidentSink, Suspect, suspects};
pub use profile::{Change, Counting, Diff, Frame, Mapping, Profile, Stack, ValueKind};
#[cfg(feature = "profiler")]
#[cfg_attr(docsrs, doc(cfg(feature = "profiler")))]
pub use profiler::{
    Capability, Caps, Cpu, IncidentSummary, LatencyCounts, LatencyFeed, Profiler, ProfilerBuilder,
    ProfilerStats, Support, TaskTrend,
};
#[cfg(feature = "ring")]
#[cfg_attr(docsrs, doc(cfg(feature = "ring")))]
pub use ring::{Ring, RingStats, Window};
#[cfg(all(feature = "memory", feature = "sysinfo"))]
#[cfg_attr(docsrs, doc(cfg(feature = "sysinfo")))]
pub use source::SystemSource;
#[cfg(feature = "memory")]
#[cfg_attr(docsrs, doc(cfg(feature = "memory")))]
pub use source::{
    AllocatorStats, GroupMemory, Limit, LimitKind, MemoryDetail, MemoryReading, MemorySource, Pressure,
    ProcSource, Resident, Stall, memory_source,
};
#[cfg(feature = "tasks")]
#[cfg_attr(docsrs, doc(cfg(feature = "tasks")))]
pub use tasks::{
    Profiled, ProfiledFuture, TaskSite, WaitGuard, WaitKind, WaitSite, Waited, WaitingFuture, lock_profile,
    task_profile, tasks, wait_profile, waits,
};
#[cfg(feature = "trend")]
#[cfg_attr(docsrs, doc(cfg(feature = "trend")))]
pub use trend::{
    Alarm, LeakAlarm, Sample, Series, Shape, SlopeInterval, TrendDetector, TrendOptions, Verdict,
    WindowDetector, assert_flat,
};
#[cfg(feature = "profiler")]
#[cfg_attr(docsrs, doc(cfg(feature = "profiler")))]
pub use trigger::{
    Budget, Explanation, Fired, Observation, Place, TaskCount, Trigger, TriggerEngine, TriggerState, WaitTime,
};
/// Series whose truth is known, to check the error rates of the verdict.
#[cfg(feature = "families")]
#[cfg_attr(docsrs, doc(cfg(feature = "families")))]
pub mod families {
    pub use crate::trend::{Family, Stream, Truth, five_rises, plain_mann_kendall};
}
#[cfg(feature = "memory")]
#[cfg_attr(docsrs, doc(cfg(feature = "memory")))]
pub use split::MemorySplit;
#[cfg(feature = "memory")]
#[cfg_attr(docsrs, doc(cfg(feature = "memory")))]
pub use watch::{MemoryStatus, MemoryWatch, MemoryWatchBuilder};

#[cfg(all(
    doctest,
    feature = "memory",
    feature = "ring",
    feature = "heap",
    feature = "tasks",
    feature = "cpu-pprof",
    feature = "flamegraph"
))]
#[doc = include_str!("../README.md")]
struct Readme;
