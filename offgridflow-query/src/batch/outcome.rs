//! What became of a row.

use crate::error::Cause;
use std::fmt;

/// What became of one row. Every row gets exactly one outcome.
#[must_use = "a row that was not stored is in here"]
pub enum Outcome<R> {
    /// Stored, superseded or skipped, in a transaction that is committed.
    Settled(Receipt),
    /// The database refuses this row, whatever its neighbours are.
    Rejected(Rejected<R>),
    /// Not stored for no fault of its own, or nobody can say.
    Returned(Returned<R>),
}

/// Proof that the transaction of a row is committed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Receipt {
    /// The flush that carried the row, counted from 1 in its writer.
    pub flush: u64,
    /// What the database holds now.
    pub fate: Fate,
}

/// The ways in which a row can be settled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum Fate {
    /// The row is stored.
    Committed,
    /// A later row of the same flush with the same key is stored instead: the last write wins.
    Superseded,
    /// The database kept what it had: the key exists under [`Conflict::Ignore`](crate::Conflict::Ignore), or a
    /// trigger dropped the row.
    Skipped,
    /// The row's batch was stored by an earlier push of the same name: see
    /// [`push_batch`](crate::BatchWriter::push_batch). Counted as skipped.
    Replayed,
}

/// A row that the database refuses, handed back.
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(bound = ""))]
#[non_exhaustive]
pub struct Rejected<R> {
    /// The row, unchanged.
    #[cfg_attr(feature = "serde", serde(skip))]
    pub row: R,
    /// What the database said.
    pub cause: Cause,
}

/// A row that was not stored though nothing is known to be wrong with it, handed back.
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(bound = ""))]
#[non_exhaustive]
pub struct Returned<R> {
    /// The row, unchanged.
    #[cfg_attr(feature = "serde", serde(skip))]
    pub row: R,
    /// Why it was not stored, or why nobody can say.
    pub why: Why,
}

/// Why a row came back.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum Why {
    /// The link broke at COMMIT, or the flush was cut short (the runtime ended, an executor panicked): the row is stored
    /// or not. Write it again if its key makes that harmless.
    #[error("the outcome of COMMIT is unknown: {0}")]
    CommitUnknown(Cause),
    /// The database stayed unavailable until the retry budget was spent. Write it again later.
    #[error("the database stayed unavailable: {0}")]
    Unavailable(Cause),
    /// The statement as a whole cannot work. Mend schema or rights first.
    #[error("the batch cannot be written: {0}")]
    Batch(Cause),
    /// Another row of its all-or-nothing group was refused.
    #[error("another row of its group was refused")]
    GroupRefused,
    /// It was fine in rehearsals, but met a new conflict each time it was to be stored: somebody else writes the same
    /// rows. Write it again.
    #[error("somebody else's writes were in the way each time: {0}")]
    Contended(Cause),
    /// Its all-or-nothing group cannot be one transaction.
    #[error("its group was refused as a whole: {0}")]
    GroupConflict(Cause),
    /// More rows of this flush were rejected than `max_rejects` allows; the rest was not tried.
    #[error("too many rows of this flush were rejected; the rest was not tried")]
    TooManyRejects,
    /// The writer closed, or its runtime ended, before the row was tried.
    #[error("the writer ended before the row was tried")]
    Closed,
}

/// A row that is not known to be stored: the error of [`Ticket::committed`](crate::Ticket::committed).
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum NotCommitted<R> {
    /// The database refuses the row.
    #[error("the row was rejected: {}", .0.cause)]
    Rejected(Rejected<R>),
    /// The row was not stored for no fault of its own, or nobody can say.
    #[error("the row was not stored: {}", .0.why)]
    Returned(Returned<R>),
}

impl<R> Outcome<R> {
    /// The receipt, or the row.
    ///
    /// # Errors
    /// The row with the reason why it is not stored.
    pub fn committed(self) -> Result<Receipt, NotCommitted<R>> {
        match self {
            Self::Settled(receipt) => Ok(receipt),
            Self::Rejected(rejected) => Err(NotCommitted::Rejected(rejected)),
            Self::Returned(returned) => Err(NotCommitted::Returned(returned)),
        }
    }

    /// Whether the row's transaction is committed.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        matches!(self, Self::Settled(_))
    }
}

impl<R> NotCommitted<R> {
    /// The row.
    #[must_use]
    pub fn into_row(self) -> R {
        match self {
            Self::Rejected(rejected) => rejected.row,
            Self::Returned(returned) => returned.row,
        }
    }
}

// Rows are data: no `Debug` here shows one, and none is serialized.

impl<R> fmt::Debug for Outcome<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Settled(receipt) => receipt.fmt(f),
            Self::Rejected(rejected) => rejected.fmt(f),
            Self::Returned(returned) => returned.fmt(f),
        }
    }
}

impl<R> fmt::Debug for Rejected<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rejected").field("cause", &self.cause).finish_non_exhaustive()
    }
}

impl<R> fmt::Debug for Returned<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Returned").field("why", &self.why).finish_non_exhaustive()
    }
}

impl<R> fmt::Debug for NotCommitted<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rejected(rejected) => rejected.fmt(f),
            Self::Returned(returned) => returned.fmt(f),
        }
    }
}

/// The outcome of a row before the row itself is attached.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Verdict {
    Settled(Fate),
    Rejected(Cause),
    Returned(Why),
}

impl Verdict {
    pub(crate) fn attach<R>(self, row: R, flush: u64) -> Outcome<R> {
        match self {
            Self::Settled(fate) => Outcome::Settled(Receipt { flush, fate }),
            Self::Rejected(cause) => Outcome::Rejected(Rejected { row, cause }),
            Self::Returned(why) => Outcome::Returned(Returned { row, why }),
        }
    }
}
