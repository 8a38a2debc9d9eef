//! Criterion suites, one question a group and a named baseline in each: `cargo bench -p benches`.
//!
//! - `cache`: what a hit, a miss, a batch and contention cost over raw maps, and with the feature `rivals` beside other caches.
//! - `query`: what batched rows gain over a loop, and what looking at statements and lending connections costs.
//! - `metrics`: the arithmetic behind verdicts, schedules and histograms.
#![forbid(unsafe_code)]

pub mod figures;
