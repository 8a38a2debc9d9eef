//! One connection, to either database.

use std::{fmt, future::poll_fn, pin::Pin, str::FromStr, sync::Arc};

use futures_core::Stream;
use sqlx::{
    Arguments, AssertSqlSafe, ConnectOptions, Connection, Executor, PgConnection, SqlSafeStr,
    SqliteConnection,
    postgres::{PgArguments, PgConnectOptions},
    sqlite::{SqliteArguments, SqliteConnectOptions},
};

use super::SqlValue;
use crate::{
    error::ConfigError,
    outcome::{FailKind, Outcome, TargetError},
};

/// Where a database is; shown without its password.
#[derive(Clone)]
pub(super) enum Server {
    Postgres(Box<PgConnectOptions>),
    Sqlite(Box<SqliteConnectOptions>),
}

/// A connection.
pub(super) enum Link {
    Postgres(Box<PgConnection>),
    Sqlite(Box<SqliteConnection>),
}

/// Why a statement has no result.
#[derive(Debug)]
pub(super) struct Failed(sqlx::Error);

impl Server {
    pub(super) fn parse(url: &str) -> Result<Self, ConfigError> {
        let unread =
            |_: sqlx::Error| ConfigError::new("target.url", "is no URL of a database that can be read");
        if url.starts_with("postgres://") || url.starts_with("postgresql://") {
            let options = PgConnectOptions::from_str(url).map_err(unread)?.disable_statement_logging();
            return Ok(Self::Postgres(Box::new(options)));
        }
        if url.starts_with("sqlite:") {
            let options = SqliteConnectOptions::from_str(url).map_err(unread)?.disable_statement_logging();
            return Ok(Self::Sqlite(Box::new(options)));
        }
        Err(ConfigError::new("target.url", "a database begins with postgres:// or sqlite://"))
    }

    pub(super) async fn connect(&self) -> Result<Link, Failed> {
        Ok(match self {
            Self::Postgres(options) => {
                Link::Postgres(Box::new(PgConnection::connect_with(options).await.map_err(Failed)?))
            }
            Self::Sqlite(options) => {
                Link::Sqlite(Box::new(SqliteConnection::connect_with(options).await.map_err(Failed)?))
            }
        })
    }
}

/// Calls `between` once, as soon as there is a first row or the end, and reads all rows.
macro_rules! run {
    ($connection:expr, $sql:expr, $values:expr, $between:expr, $arguments:ty) => {{
        let mut arguments = <$arguments>::default();
        for value in $values {
            let added = match value {
                SqlValue::Null => arguments.add(None::<i64>),
                SqlValue::Int(value) => arguments.add(value),
                SqlValue::Real(value) => arguments.add(value),
                SqlValue::Bool(value) => arguments.add(value),
                SqlValue::Text(value) => arguments.add(value),
                SqlValue::Bytes(value) => arguments.add(value),
            };
            added.map_err(|error| Failed(sqlx::Error::Encode(error)))?;
        }
        let sql = AssertSqlSafe(Arc::<str>::from($sql)).into_sql_str();
        let mut stream = (&mut **$connection).fetch(sqlx::query_with(sql, arguments));
        let mut between = Some($between);
        loop {
            let next = poll_fn(|context| Pin::new(&mut stream).poll_next(context)).await;
            let next = next.transpose().map_err(Failed)?;
            if let Some(between) = between.take() {
                between();
            }
            if next.is_none() {
                break Ok(());
            }
        }
    }};
}

impl Link {
    /// Runs a statement to its end; `between` is called at its first row, or at its end without one.
    pub(super) async fn run(
        &mut self,
        sql: &str,
        values: Vec<SqlValue>,
        between: impl FnOnce(),
    ) -> Result<(), Failed> {
        match self {
            Self::Postgres(connection) => run!(connection, sql, values, between, PgArguments),
            Self::Sqlite(connection) => run!(connection, sql, values, between, SqliteArguments),
        }
    }

    pub(super) async fn begin(&mut self) -> Result<(), Failed> {
        let sql = match self {
            Self::Postgres(_) => "BEGIN",
            Self::Sqlite(_) => "BEGIN IMMEDIATE",
        };
        self.run(sql, Vec::new(), || ()).await
    }

    pub(super) async fn end(&mut self, commit: bool) -> Result<(), Failed> {
        self.run(if commit { "COMMIT" } else { "ROLLBACK" }, Vec::new(), || ()).await
    }

    /// How many connections are allowed, if there is a limit.
    #[cfg(feature = "cli")]
    pub(super) async fn allowed(&mut self) -> Result<Option<usize>, Failed> {
        let Self::Postgres(connection) = self else { return Ok(None) };
        let sql = "SELECT current_setting('max_connections')::bigint - current_setting('superuser_reserved_connections')::bigint";
        let allowed: i64 = sqlx::query_scalar(sql).fetch_one(&mut **connection).await.map_err(Failed)?;
        Ok(usize::try_from(allowed).ok())
    }

    /// What answers there.
    pub(super) async fn version(&mut self) -> Result<String, Failed> {
        match self {
            Self::Postgres(connection) => {
                let version: Result<String, _> =
                    sqlx::query_scalar("SELECT current_setting('server_version')")
                        .fetch_one(&mut **connection)
                        .await;
                version.map(|version| format!("PostgreSQL {version}")).map_err(Failed)
            }
            Self::Sqlite(connection) => {
                let version: Result<String, _> =
                    sqlx::query_scalar("SELECT sqlite_version()").fetch_one(&mut **connection).await;
                version.map(|version| format!("SQLite {version}")).map_err(Failed)
            }
        }
    }
}

impl Failed {
    /// Whether the database answered; its connection can then be used again.
    pub(super) fn is_answer(&self) -> bool {
        matches!(&self.0, sqlx::Error::Database(error) if !is_fatal(error.code().as_deref()))
    }

    pub(super) fn outcome(&self) -> Outcome {
        let said = self.to_string();
        let error = match &self.0 {
            sqlx::Error::Database(error) if self.is_answer() => {
                let code = error.code().unwrap_or_default().into_owned();
                TargetError::answered(FailKind::Check(format!("SQLSTATE {code}").into()), said)
            }
            sqlx::Error::Encode(_) => TargetError::unanswered(FailKind::App, said),
            sqlx::Error::Protocol(_) => TargetError::unanswered(FailKind::Protocol, said),
            _ => TargetError::unanswered(FailKind::Reset, said),
        };
        Outcome::Failed(error)
    }

    /// No connection could be opened.
    pub(super) fn connecting(&self) -> TargetError {
        TargetError::unanswered(FailKind::Connect, self.to_string())
    }
}

/// Class 57P: the server ends the connection with its answer.
fn is_fatal(code: Option<&str>) -> bool {
    code.is_some_and(|code| code.starts_with("57P"))
}

impl fmt::Display for Failed {
    /// Without values: a message of PostgreSQL names columns and constraints, its detail would name data.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            sqlx::Error::Database(error) => f.write_str(error.message()),
            error => error.fmt(f),
        }
    }
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Postgres(options) => {
                let database = options.get_database().unwrap_or_default();
                write!(f, "postgres://{}:{}/{database}", options.get_host(), options.get_port())
            }
            Self::Sqlite(options) => write!(f, "sqlite://{}", options.get_filename().display()),
        }
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Postgres(_) => "a connection to PostgreSQL",
            Self::Sqlite(_) => "a connection to SQLite",
        })
    }
}
