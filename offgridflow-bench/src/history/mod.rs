//! The history of benchmarks: JSON lines as the truth, change points proposed by statistics.
//!
//! Each record is a *ratio* to an anchor commit measured in the same run, so a new runner shifts nothing. [`series`] orders and chains
//! them, [`findings`] names steps and drifts with an expected share of wrong ones, and a [`Blessing`] accepts one that is meant.

mod findings;
#[cfg(feature = "history")]
mod index;
mod record;
mod series;

pub use findings::{Finding, HistoryOptions, Movement, findings};
#[cfg(feature = "history")]
#[cfg_attr(docsrs, doc(cfg(feature = "history")))]
pub use index::Index;
#[cfg(feature = "gate")]
pub(crate) use record::parse_lines;
pub use record::{Blessing, Record, append_line, read_lines};
pub use series::{Series, series};
