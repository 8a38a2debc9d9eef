//! Why a log cannot be replayed.

use std::{fmt, io, path::PathBuf, time::Duration};

use crate::error::ConfigError;

/// Why there is nothing to replay.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReplayError {
    /// The file cannot be opened.
    #[error("cannot open {}", path.display())]
    Open {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Reading failed half-way.
    #[error("cannot read the log beyond line {line}")]
    Read {
        /// The last line that was read, from 1.
        line: u64,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// There is no entry at all.
    #[error("the log is empty")]
    Empty,
    /// Too many lines are not what the format says, or ask for what is not replayed.
    #[error("{} {format}{}: {}", how_many(*refused, *records), above(*refused, *records, *allowed), Listed(examples))]
    Refused {
        /// The format asked for, as the command names it.
        format: String,
        /// How many lines could not be used.
        refused: u64,
        /// How many there are, blank ones and a header left out.
        records: u64,
        /// The share that may be refused.
        allowed: f64,
        /// The first of them.
        examples: Vec<RefusedLine>,
    },
    /// A column that was named is not in the header.
    #[error("there is no column `{name}` in the header `{header}`")]
    NoColumn {
        /// Which column.
        name: String,
        /// The beginning of the first row.
        header: String,
    },
    /// The log is longer than what may be held.
    #[error("more than {limit} entries: cut the log, or raise `max_entries`")]
    TooManyEntries {
        /// How many are allowed.
        limit: usize,
    },
    /// The distinct requests are more than what may be held.
    #[error(
        "the distinct requests are more than {limit_bytes} bytes of text: take the query strings out of the log, or cut it"
    )]
    TooMuchText {
        /// How much is allowed, in bytes.
        limit_bytes: usize,
    },
    /// A run lasts at most 100 days.
    #[error("the replay would last {lasts:?}, and a run at most 100 days: raise the speed, or cut the log")]
    TooLong {
        /// How long it would last at the speed asked for.
        lasts: Duration,
    },
    /// A setting of the reader is impossible.
    #[error(transparent)]
    Config(#[from] ConfigError),
}

/// A line that is not what the format says, or asks for what is not replayed.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct RefusedLine {
    /// Which line of the log, from 1.
    pub line: u64,
    /// Why it cannot be used.
    pub reason: String,
}

impl fmt::Display for RefusedLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {} {}", self.line, self.reason)
    }
}

fn how_many(refused: u64, records: u64) -> String {
    if refused == records {
        return format!("none of {records} lines can be used as");
    }
    format!("{refused} of {records} lines cannot be used as")
}

fn above(refused: u64, records: u64, allowed: f64) -> String {
    if refused == records {
        String::new()
    } else {
        format!(", above the {}% that `max_refused` allows", 100.0 * allowed)
    }
}

/// Refused lines in one sentence.
pub(super) struct Listed<'a>(pub(super) &'a [RefusedLine]);

impl fmt::Display for Listed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, line) in self.0.iter().enumerate() {
            write!(f, "{}{line}", if index == 0 { "" } else { "; " })?;
        }
        Ok(())
    }
}
