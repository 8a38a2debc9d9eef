//! What went wrong, sorted by what the caller can do about it.

use std::fmt;

/// Who is to blame, and so what to do next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scope {
    /// One row cannot be stored as it is; its neighbours can. The row is *rejected*.
    Row,
    /// Nothing is wrong with the rows; the same write may succeed later. Retried within the budget.
    Transient,
    /// The statement as a whole cannot work (schema, rights). Every row is *returned*.
    Batch,
}

/// The class of a database error, one vocabulary for every database.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum Class {
    /// A unique or exclusion constraint, or a primary key.
    Unique,
    /// A foreign key points nowhere.
    ForeignKey,
    /// A NULL in a NOT NULL column.
    NotNull,
    /// A CHECK constraint.
    Check,
    /// A value the column's type does not take (range, length, syntax).
    Data,
    /// A trigger or function raised an error.
    Raised,
    /// The row could not be encoded, so it was never sent.
    Encoding,
    /// The row is larger than the configured or the database's limit.
    TooLarge,
    /// Deadlock, serialization failure, lock time-out, a busy SQLite file.
    Contention,
    /// The connection was lost or never came about.
    Connection,
    /// No connection came free in time.
    PoolTimeout,
    /// The pool is closed: no connection comes any more.
    Closed,
    /// Out of disk, memory or connections.
    Resource,
    /// The statement was cancelled or ran into a time-out.
    Cancelled,
    /// Table, column or type do not fit the statement.
    Schema,
    /// The role may not do this.
    Permission,
    /// The database is read-only.
    ReadOnly,
    /// Anything else.
    Other,
}

impl Class {
    /// Every class, in the order of the variants.
    #[cfg(feature = "observe")]
    pub(crate) const ALL: [Self; 18] = {
        use Class::*;
        [
            Unique,
            ForeignKey,
            NotNull,
            Check,
            Data,
            Raised,
            Encoding,
            TooLarge,
            Contention,
            Connection,
            PoolTimeout,
            Closed,
            Resource,
            Cancelled,
            Schema,
            Permission,
            ReadOnly,
            Other,
        ]
    };

    /// What a caller can do about an error of this class.
    #[must_use]
    pub fn scope(self) -> Scope {
        use Class::*;
        match self {
            Unique | ForeignKey | NotNull | Check | Data | Raised | Encoding | TooLarge => Scope::Row,
            Contention | Connection | PoolTimeout | Resource | Cancelled => Scope::Transient,
            Closed | Schema | Permission | ReadOnly | Other => Scope::Batch,
        }
    }

    /// The class as a metric label.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        use Class::*;
        match self {
            Unique => "unique",
            ForeignKey => "foreign_key",
            NotNull => "not_null",
            Check => "check",
            Data => "data",
            Raised => "raised",
            Encoding => "encoding",
            TooLarge => "too_large",
            Contention => "contention",
            Connection => "connection",
            PoolTimeout => "pool_timeout",
            Closed => "closed",
            Resource => "resource",
            Cancelled => "cancelled",
            Schema => "schema",
            Permission => "permission",
            ReadOnly => "read_only",
            Other => "other",
        }
    }
}

/// A database's refusal, without the values of the row that caused it.
///
/// The message is the server's, with quoted literals removed where the server is known to quote data; PostgreSQL's
/// DETAIL and CONTEXT lines, which echo whole rows, are never kept.
///
/// ```
/// use offgridflow_query::{Cause, Class, Scope};
/// let cause = Cause::new(Class::Unique, "duplicate key").with_code("23505").with_constraint("readings_pkey");
/// assert_eq!(cause.to_string(), "duplicate key (unique, 23505, constraint readings_pkey)");
/// assert_eq!(cause.class().scope(), Scope::Row);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Cause {
    class: Class,
    code: Option<Box<str>>,
    constraint: Option<Box<str>>,
    message: Box<str>,
    /// The database was busy with one row when it failed.
    #[cfg_attr(feature = "serde", serde(skip))]
    amid_rows: bool,
}

impl Cause {
    /// A cause of `class`, in words for a person.
    #[must_use]
    pub fn new(class: Class, message: impl Into<String>) -> Self {
        Self { class, code: None, constraint: None, message: message.into().into(), amid_rows: false }
    }

    /// Adds the database's own code (SQLSTATE, SQLite's extended result code).
    #[must_use]
    pub fn with_code(mut self, code: impl Into<String>) -> Self {
        self.code = Some(code.into().into());
        self
    }

    /// The same of another class.
    #[cfg(any(feature = "sqlite", feature = "postgres"))]
    pub(crate) fn into_class(self, class: Class) -> Self {
        Self { class, ..self }
    }

    /// It came while the database was busy with one row, which may be to blame though the class says otherwise.
    #[cfg(any(feature = "sqlite", feature = "postgres"))]
    pub(crate) fn amid_rows(self) -> Self {
        Self { amid_rows: true, ..self }
    }

    /// Whether only a search can tell if a row is to blame: for a code that says nothing of rows, and for a table, a type or a right that
    /// was found missing amid them, as by a trigger that sends one row elsewhere or does not let it pass.
    pub(crate) fn is_strange(&self) -> bool {
        let raised = matches!(self.class, Class::Schema | Class::Permission | Class::ReadOnly);
        self.class == Class::Other || self.amid_rows && raised
    }

    /// Whether smaller writes can show which row it is that keeps a write from passing: one that waits for a lock, one for which a trigger raises
    /// what passes elsewhere. What the whole table is locked for, or the whole server lacks, is no row's.
    pub(crate) fn may_be_a_rows(&self) -> bool {
        self.amid_rows && matches!(self.class, Class::Contention | Class::Resource | Class::Connection)
    }

    /// Puts in front where it happened.
    #[cfg(any(feature = "sqlite", feature = "postgres"))]
    pub(crate) fn at(mut self, place: impl fmt::Display) -> Self {
        self.message = format!("{place}: {}", self.message).into();
        self
    }

    /// Adds the constraint's name.
    #[must_use]
    pub fn with_constraint(mut self, name: impl Into<String>) -> Self {
        self.constraint = Some(name.into().into());
        self
    }

    /// The class of the error.
    #[must_use]
    pub fn class(&self) -> Class {
        self.class
    }

    /// The database's own code, if it gave one.
    #[must_use]
    pub fn code(&self) -> Option<&str> {
        self.code.as_deref()
    }

    /// The constraint that was violated, if the database named it.
    #[must_use]
    pub fn constraint(&self) -> Option<&str> {
        self.constraint.as_deref()
    }

    /// The message, without data.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}", self.message, self.class.as_str())?;
        if let Some(code) = &self.code {
            write!(f, ", {code}")?;
        }
        if let Some(name) = &self.constraint {
            write!(f, ", constraint {name}")?;
        }
        f.write_str(")")
    }
}

impl std::error::Error for Cause {}

/// A setting or a shape that cannot work. Found when something is built, before any row is taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// A name that no database takes.
    #[error("{name:?} cannot be an identifier: {why}")]
    Ident {
        /// The name as given.
        name: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// A shape without columns, with a column twice, or with a key that names no column.
    #[error("the shape of {table:?} cannot work: {why}")]
    Shape {
        /// The table's name.
        table: String,
        /// What is wrong with it.
        why: String,
    },
    /// A setting out of its range.
    #[error("{setting} cannot be {value}: {why}")]
    Setting {
        /// The setting's name.
        setting: &'static str,
        /// The value given.
        value: String,
        /// What range it has.
        why: &'static str,
    },
    /// A statement that is not the plain INSERT this crate can batch.
    #[error("cannot batch this statement: {why} (at byte {at})")]
    Statement {
        /// Byte offset of the first character that did not fit.
        at: usize,
        /// What was expected there.
        why: &'static str,
    },
    /// An address that the database's driver cannot read.
    #[error("the database address cannot be used: {why}")]
    Address {
        /// The driver's words, without the address (it may hold a password).
        why: String,
    },
}

/// What a writer as a whole can fail with; the fate of single rows is an [`Outcome`](crate::Outcome).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A setting cannot work.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The writer is closed: nothing more goes in. Start another one.
    #[error("the writer is closed")]
    Closed,
    /// A group larger than the queue can never be taken whole. Raise `queue_rows` or split the group.
    #[error(
        "a group of {rows} rows does not fit a queue of {queue_rows}; raise queue_rows or split the group"
    )]
    GroupTooLarge {
        /// Rows in the group.
        rows: usize,
        /// The queue's limit.
        queue_rows: usize,
    },
    /// A named batch needs a ledger. Give the writer one with `ledger(table)`.
    #[error("a named batch needs a ledger; give the writer one with ledger(table)")]
    NoLedger,
    /// A flush gave fewer or more fates than it had rows. This is a bug in this crate or in an executor: report it.
    #[error("flush {flush} took {taken} rows and accounts for {settled}; please report this")]
    Conservation {
        /// The flush, counted from 1 in this writer.
        flush: u64,
        /// Rows that went in.
        taken: u64,
        /// committed + rejected + superseded + skipped + returned.
        settled: u64,
    },
    /// The task behind the writer ended before its time (panic, or the runtime shut down). Its rows were returned.
    #[error("the writer's task ended early; its unsettled rows were returned")]
    Aborted,
}

/// As its words.
#[cfg(feature = "serde")]
impl serde::Serialize for Error {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(all(test, feature = "observe"))]
mod tests {
    use super::Class;

    #[test]
    fn every_class_stands_at_its_own_place() {
        assert!(Class::ALL.into_iter().enumerate().all(|(place, class)| class as usize == place));
        assert_eq!(Class::Other as usize + 1, Class::ALL.len(), "the last one");
    }
}
