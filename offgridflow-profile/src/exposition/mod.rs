//! Figures in Prometheus' text format, which has what the `metrics` facade lacks: counters of fractions, such as seconds.

mod process;
#[cfg(feature = "profiler")]
mod profiler;
mod text;

pub use process::{describe_metrics, process_prometheus};
