//! Benchmark comparison with stated uncertainty, and probes that watch a live service against its objectives.
//!
//! Three things, each usable alone:
//!
//! - `gate` (feature `gate`, and the command) judges a git revision of unmodified criterion benchmarks against another, with a proven rate of false
//!   alarms over the suite.
//! - [`compare`] reads what [criterion](https://docs.rs/criterion) recorded (a [`CriterionDir`]) and says of every
//!   benchmark whether it became slower, faster, or cannot be told apart, with an interval on the ratio.
//! - [`BenchService`](service::BenchService) (feature `service`) runs [`Probe`](service::Probe)s inside a live application
//!   at a bounded share of its time, and judges them against objectives: met, breached, or not enough data.
//!
//! ```
//! use offgridflow_bench::{Comparison, Effect, Measurement, Options};
//!
//! // Nanoseconds an iteration, as criterion records them: the new side is 20 % slower.
//! let noisy = |centre: f64| (0..100).map(|i| centre + f64::from(i % 7)).collect();
//! let base = Measurement::new("parse", noisy(1_000.0));
//! let new = Measurement::new("parse", noisy(1_200.0));
//!
//! let comparison = Comparison::of(&base, &new, &Options::default())?;
//! assert_eq!(comparison.effect, Effect::Slower);
//! assert!((comparison.ratio.estimate - 1.2).abs() < 0.01);
//! # Ok::<(), offgridflow_bench::Error>(())
//! ```
//!
//! # When this is the wrong tool
//!
//! Two recordings made at different times differ by whatever else changed on the machine; no statistic over them can tell
//! that from a change of the code, and [`Report`] says so. Within one process, samples are alike for reasons that a new
//! process would not share. To write benchmarks, use criterion; this crate reads what it leaves behind.
#![deny(unsafe_code)] // the counting allocator argues its exceptions
#![cfg_attr(docsrs, feature(doc_cfg))]

#[cfg(feature = "allocations")]
#[cfg_attr(docsrs, doc(cfg(feature = "allocations")))]
pub mod allocations;
mod compare;
mod criterion_io;
#[cfg(feature = "gate")]
#[cfg_attr(docsrs, doc(cfg(feature = "gate")))]
pub mod document;
mod error;
#[cfg(any(feature = "gate", feature = "history"))]
mod fnv;
#[cfg(feature = "gate")]
#[cfg_attr(docsrs, doc(cfg(feature = "gate")))]
pub mod gate;
pub mod history;
mod measurement;
#[cfg(feature = "gate")]
#[cfg_attr(docsrs, doc(cfg(feature = "gate")))]
pub mod origin;
pub mod selftest;
#[cfg(feature = "service")]
#[cfg_attr(docsrs, doc(cfg(feature = "service")))]
pub mod service;
pub mod stats;

pub use compare::{Comparison, Effect, Options, Report, compare};
pub use criterion_io::CriterionDir;
pub use error::Error;
pub use measurement::{Measurement, MeasurementSource};

#[cfg(all(doctest, feature = "service"))]
#[doc = include_str!("../README.md")]
struct Readme;
