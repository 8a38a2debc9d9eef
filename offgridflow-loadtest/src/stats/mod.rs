//! What may be claimed from one run, as pure functions over a few numbers.

mod interval;
mod student;
mod warm_up;

pub(crate) use warm_up::{trend, warm_up_cut};

pub use interval::{BandReason, BandRefusal, BlockTally, QuantileBand, quantile_band};
