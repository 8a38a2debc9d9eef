//! What may be claimed from one run, as pure functions over a few numbers.

mod interval;
mod student;

pub use interval::{BandReason, BandRefusal, BlockTally, QuantileBand, quantile_band};
