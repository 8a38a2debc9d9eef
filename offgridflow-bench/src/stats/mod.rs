//! The statistics, as pure functions: order-statistic bounds on quantiles, and a block bootstrap.

mod bootstrap;
mod quantile;

pub use bootstrap::{Interval, ratio_of_medians};
pub use quantile::{QuantileBounds, least_samples, median, quantile_bounds};
