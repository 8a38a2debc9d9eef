//! Load as it once was: the arrivals of a log, at their own distances.

mod builder;
mod clf;
mod csv;
mod entry;
mod error;
mod format;
#[cfg(feature = "serde")]
mod ndjson;
mod records;
mod timestamp;
mod trace;
mod visits;

#[cfg(feature = "cli")]
pub(crate) use timestamp::parse as parse_instant;
pub use {
    builder::ReplayBuilder,
    entry::Entry,
    error::{RefusedLine, ReplayError},
    format::{Fields, LogFormat},
    trace::{Replay, ReplaySummary},
};
pub(crate) use {csv::cells as csv_cells, records::Records};
