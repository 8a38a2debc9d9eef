//! One module a database; everything that is said in SQL is said here.

#[cfg(feature = "postgres")]
pub(crate) mod postgres;
#[cfg(feature = "sqlite")]
pub(crate) mod sqlite;

use crate::error::{Cause, Class};
use sqlx::{AssertSqlSafe, SqlSafeStr, SqlStr};
use std::sync::Arc;

/// The only place that vouches for built SQL: every name in it went through [`Ident`](crate::Ident), every value is bound.
pub(crate) fn built(sql: String) -> SqlStr {
    AssertSqlSafe(Arc::<str>::from(sql)).into_sql_str()
}

/// Errors that are not the database's own: the link, the driver, the pool.
pub(crate) fn driver_cause(error: &sqlx::Error) -> Cause {
    let class = match error {
        sqlx::Error::Encode(_) | sqlx::Error::InvalidArgument(_) => Class::Encoding,
        sqlx::Error::Configuration(_) => Class::Permission,
        sqlx::Error::PoolTimedOut => Class::PoolTimeout,
        sqlx::Error::PoolClosed => Class::Closed,
        sqlx::Error::Io(_) | sqlx::Error::Tls(_) | sqlx::Error::Protocol(_) | sqlx::Error::WorkerCrashed => {
            Class::Connection
        }
        _ => Class::Other,
    };
    Cause::new(class, error.to_string())
}
