//! Probes inside a live application: small measurements at a bounded share of its time, judged against objectives.
//!
//! ```
//! use std::time::Duration;
//! use offgridflow_bench::service::{BenchService, Objective, SloVerdict, probe_fn};
//!
//! # #[tokio::main(flavor = "current_thread", start_paused = true)] async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let lookup = probe_fn("lookup", || async { tokio::time::sleep(Duration::from_millis(3)).await; Ok(()) });
//! let service = BenchService::builder()
//!     .interval(Duration::from_secs(1))                                  // Default: 10 s.
//!     .back_off_above(f64::INFINITY)                                     // Default: 2 tasks a processor.
//!     .probe(lookup, Objective::p95(Duration::from_millis(5)))
//!     .start()?;
//! tokio::time::sleep(Duration::from_secs(30)).await;
//! assert!(matches!(service.snapshot()[0].verdict, SloVerdict::NotEnoughData { .. })); // a p95 needs 59 samples
//! tokio::time::sleep(Duration::from_secs(60)).await;
//! assert_eq!(service.snapshot()[0].verdict, SloVerdict::Met);
//! service.shutdown().await;
//! # Ok(()) }
//! ```

mod adapters;
mod burn;
mod deploy;
mod load;
mod objective;
mod probe;
mod prometheus;
mod row;
mod runner;
mod window;

pub use adapters::{cache_probe, http_probe, sql_probe};
pub use burn::{BurnAlert, BurnRates};
pub use deploy::{DeployVerdict, Reference};
pub use objective::{Objective, SloVerdict};
pub use probe::{Probe, ProbeError, probe_fn};
pub use prometheus::prometheus;
pub use row::ProbeReport;
#[cfg(feature = "metrics")]
pub use runner::describe_metrics;
pub use runner::{BenchService, BenchServiceBuilder, ConfigError};
