//! How rows travel, and what a database allows for one table.

use crate::delivery::LedgerEntry;
use crate::turn::Turns;

/// How the rows of one write travel to the database. Every strategy that is allowed for a table gives the same table,
/// or the same error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum Strategy {
    /// PostgreSQL: one array a column, unnested by an INSERT whose text never changes. Best for few rows.
    Unnest,
    /// PostgreSQL: COPY in binary format, straight into the table. Best for many rows without a conflict rule.
    Copy,
    /// PostgreSQL: COPY in binary format into a temporary table, then one INSERT with the conflict rule. Best for many.
    Staging,
    /// SQLite: blocks of VALUES.
    Blocks,
}

impl Strategy {
    /// The strategy as a word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unnest => "unnest",
            Self::Copy => "copy",
            Self::Staging => "staging",
            Self::Blocks => "blocks",
        }
    }
}

/// What a database says about one table before the first row is sent: which strategies it allows, and why not others.
///
/// ```
/// use offgridflow_query::{Prepared, Strategy};
/// let prepared = Prepared::new([Strategy::Unnest, Strategy::Copy]);
/// assert!(prepared.allows(Strategy::Copy) && !prepared.allows(Strategy::Staging));
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Prepared {
    strategies: Vec<Strategy>, // the one for few rows first; empty: the executor knows only one way
    refused: Vec<(Strategy, String)>,
    pub(crate) types: Vec<u32>, // PostgreSQL: the type of each column of the shape; empty elsewhere
    pub(crate) target: Option<Box<str>>, // PostgreSQL: the table with its schema, whatever a session's search path says
    pub(crate) ledger: Option<LedgerEntry>, // PostgreSQL: of no batch, with the schema in which it was found
    pub(crate) unchanged: Option<Box<str>>, // PostgreSQL: the query that fails where the table is no longer so
    pub(crate) version: Option<i64>,        // SQLite: of the schema
    pub(crate) server: Option<Box<str>>,    // what a transaction's token is compared with; `None`: no tokens
    pub(crate) turns: Option<Turns>,        // where writers of this process queue up
    pub(crate) exact_key: bool, // whether the database calls two keys equal exactly when their values are
    pub(crate) sifted: bool, // PostgreSQL: a trigger may drop rows; on SQLite none does where keys are exact
    pub(crate) bulk_rows: usize, // from how many rows on the last strategy is expected to win
}

impl Prepared {
    /// These strategies are allowed, the one for few rows first.
    #[must_use]
    pub fn new(strategies: impl IntoIterator<Item = Strategy>) -> Self {
        Self { strategies: strategies.into_iter().collect(), ..Self::default() }
    }

    /// Adds why a strategy is not allowed, in words for a person.
    #[must_use]
    pub fn refusing(mut self, strategy: Strategy, why: impl Into<String>) -> Self {
        self.refused.push((strategy, why.into()));
        self
    }

    /// Says that the database calls two keys equal exactly when their values are, so that rows may be sorted by them and
    /// several flushes under way without a later write being overtaken. Otherwise rows are sent as they came.
    #[must_use]
    pub fn with_exact_key(mut self) -> Self {
        self.exact_key = true;
        self
    }

    /// The strategies allowed, the one for few rows first.
    #[must_use]
    pub fn strategies(&self) -> &[Strategy] {
        &self.strategies
    }

    /// The strategies that are not allowed, each with the reason.
    #[must_use]
    pub fn refused(&self) -> &[(Strategy, String)] {
        &self.refused
    }

    /// Whether `strategy` may be used.
    #[must_use]
    pub fn allows(&self, strategy: Strategy) -> bool {
        self.strategies.contains(&strategy)
    }
}
