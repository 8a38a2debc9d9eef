use std::time::Duration;

use offgridflow_query::{Cause, ConfigError, Error, PoolError, sqlx};

/// Why the database could not be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The address is of no database that is known here.
    #[error("a database URL begins with `sqlite:` or `postgres:`")]
    Scheme,
    /// The folder of a SQLite file is not there.
    #[error("there is no folder {} for the SQLite file", .0.display())]
    Folder(std::path::PathBuf),
    /// It did not answer in time.
    #[error("the database did not answer within {0:?}")]
    Down(Duration, #[source] PoolError),
    /// No connection could be had.
    #[error("no database connection")]
    Pool(#[from] PoolError),
    /// A setting makes no sense.
    #[error("the database settings make no sense")]
    Config(#[from] ConfigError),
    /// A statement failed.
    #[error("a statement failed")]
    Statement(#[from] sqlx::Error),
    /// A transaction could not be begun or ended.
    #[error("a transaction failed: {0}")]
    Transaction(Cause),
    /// The schema could not be changed.
    #[error("a migration failed")]
    Migration(#[from] sqlx::migrate::MigrateError),
    /// The writer did not take or did not store rows.
    #[error("the batch writer failed")]
    Writer(#[from] Error),
    /// A factor in another unit would give new meaning to old quantities.
    #[error("the unit of `{category}` is `{unit}`; quantities in another unit are another category")]
    Unit {
        /// The category.
        category: String,
        /// Its unit.
        unit: String,
    },
    /// An activity that is stored would emit more than can be held.
    #[error("the factor is too large for what is stored of `{category}`")]
    TooLarge {
        /// The category.
        category: String,
    },
    /// An owner has as many valid keys as it may.
    #[error("two keys are valid already: revoke one first")]
    TwoKeys,
    /// The system gives no random numbers.
    #[error("no key could be made")]
    Randomness(#[source] std::io::Error),
    /// A row holds what no version of this program writes.
    #[error("the database holds a {0} that cannot be read")]
    Corrupt(&'static str),
}

impl From<Cause> for StoreError {
    fn from(cause: Cause) -> Self {
        Self::Transaction(cause)
    }
}
