//! Latencies in bounded memory.

mod blocks;
mod coarse;
mod counts;
mod distribution;
mod latencies;
#[cfg(feature = "hlog")]
pub(crate) mod log;
mod observed;
mod omission;
mod scale;
#[cfg(feature = "serde")]
mod wire;

pub(crate) use {blocks::BLOCKS, coarse::Coarse, observed::Observed, omission::Omission};
pub use {
    distribution::{Distribution, Quantile, min_samples},
    latencies::Latencies,
    observed::Interval,
};

#[expect(clippy::cast_precision_loss, reason = "counts below 2^53")]
pub(crate) fn as_f64(count: u64) -> f64 {
    count as f64
}

/// The rank (from 1) of the quantile `q` among `count`: the smallest that at least a share `q` does not exceed.
pub(crate) fn rank(q: f64, count: u64) -> u64 {
    to_count(libm::ceil(q.clamp(0.0, 1.0) * as_f64(count) - 1e-9)).max(1)
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a non-negative whole number")]
pub(crate) fn to_count(value: f64) -> u64 {
    value as u64
}
