//! What may be claimed from one run, as pure functions over a few numbers.

mod blocks;
mod interval;
mod refusal;
mod student;
mod warm_up;

pub(crate) use warm_up::{trend, warm_up_cut};

pub use blocks::BlockTally;
pub use interval::{QuantileBand, quantile_band};
pub use refusal::{BandReason, BandRefusal};
