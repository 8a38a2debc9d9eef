//! What may be claimed from one run, as pure functions over a few numbers.

mod interval;
mod student;
#[allow(dead_code, reason = "the report that prints the cut comes separately")]
mod warm_up;

pub use interval::{BandReason, BandRefusal, BlockTally, QuantileBand, quantile_band};
