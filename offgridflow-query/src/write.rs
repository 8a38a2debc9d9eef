//! One write: how it is done, what it did, and how it failed.

use crate::delivery::{LedgerEntry, TxToken};
use crate::error::{Cause, Class, Scope};
use crate::shape::Conflict;
use crate::strategy::{Prepared, Strategy};
use std::sync::Arc;
use std::time::Duration;

/// How a write ends when every statement went through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Ending {
    /// COMMIT: the rows are stored when the call returns `Ok`.
    Commit,
    /// ROLLBACK: nothing is stored; `Ok` means that COMMIT would have been tried. Burns sequence values and fires triggers.
    RollBack,
}

/// What stands between the pool and the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Pooling {
    /// Nothing, or a pooler that gives each connection a session of its own: statements are prepared once. Default.
    #[default]
    Session,
    /// A pooler that gives each *transaction* a session (pgbouncer's `pool_mode = transaction`): every statement with
    /// values runs inside BEGIN … COMMIT and is prepared for that one use.
    Transaction,
}

/// How one write is done.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct WritePlan {
    /// What happens to rows whose key is stored already.
    pub conflict: Conflict,
    /// Whether the transaction is kept.
    pub ending: Ending,
    /// How long a statement may wait for somebody else's lock.
    pub lock_timeout: Duration,
    /// How long an answer is waited for over a link; statements that carry rows have a millisecond a row, and one for
    /// every 10 KiB, more. When it is over the link counts as lost.
    pub answer_timeout: Duration,
    /// How the rows travel; `None` leaves it to the database.
    pub strategy: Option<Strategy>,
    /// What the database said about the table.
    pub prepared: Arc<Prepared>,
    /// What stands between the pool and the server.
    pub pooling: Pooling,
    /// The row that is written into the ledger in the same transaction. If it is there already, nothing is stored and
    /// every row is skipped.
    pub ledger: Option<LedgerEntry>,
}

impl WritePlan {
    /// Commits, waits at most 5 s for a lock and 30 s for an answer, leaves the strategy to the database.
    #[must_use]
    pub fn new(conflict: Conflict) -> Self {
        Self {
            conflict,
            ending: Ending::Commit,
            lock_timeout: Duration::from_secs(5),
            answer_timeout: Duration::from_secs(30),
            strategy: None,
            prepared: Arc::default(),
            pooling: Pooling::default(),
            ledger: None,
        }
    }

    /// The same plan as a rehearsal that stores nothing.
    #[must_use]
    pub fn rehearsal(&self) -> Self {
        Self { ending: Ending::RollBack, ledger: None, ..self.clone() }
    }
}

/// What a successful write did.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Wrote {
    /// Rows that the database did not store and did not refuse (DO NOTHING, a trigger returning NULL): positions
    /// counted through all parts, ascending.
    pub skipped: Vec<usize>,
    /// Statements that carried rows.
    pub statements: u64,
    /// How the rows travelled, if the executor says.
    pub strategy: Option<Strategy>,
    /// The batch was in the ledger already: nothing was stored by this write, and its rows are skipped.
    pub replayed: bool,
}

impl Wrote {
    /// `statements` statements stored everything but `skipped`.
    #[must_use]
    pub fn new(skipped: Vec<usize>, statements: u64) -> Self {
        Self { skipped, statements, ..Self::default() }
    }

    /// Nothing was stored, because the ledger has the batch.
    #[must_use]
    pub fn replay() -> Self {
        Self { replayed: true, ..Self::default() }
    }

    /// Adds how the rows travelled.
    #[must_use]
    pub fn by(mut self, strategy: Strategy) -> Self {
        self.strategy = Some(strategy);
        self
    }
}

/// Why nothing was stored, or why nobody can say.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WriteError {
    /// The transaction was rolled back, or never began.
    #[error("nothing was stored: {cause}")]
    Failed {
        /// The row at fault, counted through all parts, if it is known.
        row: Option<usize>,
        /// What the database said; its class decides between isolating, retrying and giving back.
        cause: Cause,
    },
    /// The link was lost at COMMIT: the rows are stored or not, all of them or none.
    #[error("the outcome of COMMIT is unknown: {cause}")]
    CommitUnknown {
        /// What the driver said.
        cause: Cause,
        /// The transaction, if the server can be asked what became of it.
        token: Option<Box<TxToken>>,
        /// What the write did if it was committed.
        wrote: Box<Wrote>,
    },
}

impl WriteError {
    /// Nothing was stored, no row is named.
    #[must_use]
    pub fn failed(cause: Cause) -> Self {
        Self::Failed { row: None, cause }
    }

    /// The link was lost at COMMIT, and nobody can be asked.
    #[must_use]
    pub fn commit_unknown(cause: Cause) -> Self {
        Self::CommitUnknown { cause, token: None, wrote: Box::default() }
    }

    /// What the database or the driver said.
    #[must_use]
    pub fn cause(&self) -> &Cause {
        match self {
            Self::Failed { cause, .. } | Self::CommitUnknown { cause, .. } => cause,
        }
    }

    /// Whether the connection must not be used again.
    #[must_use]
    pub fn broke_connection(&self) -> bool {
        matches!(self, Self::CommitUnknown { .. }) || self.cause().class() == Class::Connection
    }

    /// Whether the same write may succeed later without harm.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Failed { cause, .. } if cause.class().scope() == Scope::Transient)
    }
}
