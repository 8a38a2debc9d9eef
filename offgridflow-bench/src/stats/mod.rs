//! The statistics, as pure functions: what each assumes, costs and rests on stands beside it.
//!
//! - For the gate: [`Betting`] decides, [`holm`] holds the suite together, [`hodges_lehmann`] and [`hierarchical`] estimate,
//!   [`minimum_detectable`] says what could not have been seen; [`signed_rank_p`], [`benjamini_hochberg`] and [`benjamini_yekutieli`]
//!   fill columns of the report.
//! - For the history: [`likeliest_split`] and [`drift`].
//! - For recordings made apart: [`ratio_of_medians`]. For objectives: [`quantile_bounds`].

mod betting;
mod bootstrap;
mod changepoint;
mod detectable;
mod drift;
mod family;
mod hierarchical;
mod quantile;
mod signed_rank;

pub use betting::{Betting, Tail};
pub(crate) use bootstrap::below;
pub use bootstrap::{Interval, ratio_of_medians};
pub use changepoint::{Split, likeliest_split, successive_spread};
pub use detectable::minimum_detectable;
pub use drift::{Drift, drift};
pub use family::{benjamini_hochberg, benjamini_yekutieli, holm};
pub use hierarchical::hierarchical;
pub use quantile::{QuantileBounds, least_samples, median, quantile_bounds};
pub(crate) use signed_rank::middle_of;
pub use signed_rank::{hodges_lehmann, robust_spread, signed_rank_p};
