//! An executor for sqlx's own queries that sees what a layer cannot: rows as they come, whoever takes his time with them, errors.

use crate::gate::GateDatabase;
use crate::observe::observation::Observation;
use crate::observe::observer::Observer;
use crate::observe::scope::Place;
use crate::pool::{Acquire, ConnectionPool, Guard};
use crate::pool_error::PoolError;
use futures_core::Stream;
use futures_core::future::BoxFuture;
use futures_core::stream::BoxStream;
use sqlx::error::BoxDynError;
use sqlx::{Database, Describe, Either, Execute, Executor, SqlStr, Statement};
use std::fmt;
use std::ops::{Deref, DerefMut};
use std::panic::Location;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::time::Instant;

/// A connection on which every statement is observed; sqlx's queries take it where they take the connection.
///
/// It is good for one statement, like `&mut conn`. Made by [`Observer::on`] and [`Watched::on`].
pub struct Observed<'c, DB: GateDatabase> {
    conn: &'c mut DB::Connection,
    observer: Observer,
    waited: Option<Duration>,
    at: Place,
}

/// A lent connection, and how long it was waited for. Made by [`Observer::acquire`].
#[derive(Debug)]
pub struct Watched<DB: GateDatabase> {
    guard: Guard<DB::Connection>,
    observer: Observer,
    waited: Option<Duration>, // `None` once a statement took it
}

impl Observer {
    /// Observes one statement on `conn`: a connection, or what derefs to one, such as a transaction (`&mut *tx`).
    ///
    /// ```
    /// # use offgridflow_query::{Acquire, ConnectionPool, GateConfig, Observer, SqliteGate, sqlx};
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let (gate, observer) = (SqliteGate::from_url("sqlite::memory:", GateConfig::default())?, Observer::new("sqlite"));
    /// let mut conn = gate.acquire(Acquire::default()).await?;
    /// let two: (i64,) = sqlx::query_as("SELECT ? + 1").bind(1).fetch_one(observer.on(&mut *conn)).await?;
    /// let failed = sqlx::query("SELECT a FROM nowhere").fetch_all(observer.on(&mut *conn)).await;
    /// assert_eq!((two.0, failed.is_err()), (2, true));
    /// let report = observer.report();
    /// assert_eq!((report.statements.len(), report.statements.iter().map(|one| one.errors).sum::<u64>()), (2, 1));
    /// # Ok(()) }
    /// ```
    ///
    /// The place in the code is the caller's. A stream of rows that is dropped before its end counts as cancelled. Queries of several
    /// statements at once count as one.
    #[track_caller]
    pub fn on<'c, C: IsConnection>(&self, conn: &'c mut C) -> Observed<'c, C::Database> {
        Observed { conn, observer: self.clone(), waited: None, at: Location::caller().into() }
    }

    /// Takes a connection from `pool`, and counts the wait for it with the first statement on it.
    ///
    /// # Errors
    /// As [`ConnectionPool::acquire`].
    ///
    /// # Cancel safety
    /// As [`ConnectionPool::acquire`].
    #[track_caller]
    pub fn acquire<P: ConnectionPool<Conn = C>, C: IsConnection>(
        &self,
        pool: &P,
        ask: Acquire,
    ) -> impl Future<Output = Result<Watched<C::Database>, PoolError>> + Send {
        let (acquiring, observer) = (pool.acquire(ask), self.clone());
        async move {
            let asked = Instant::now();
            let guard = acquiring.await?;
            Ok(Watched { guard, observer, waited: Some(asked.elapsed()) })
        }
    }
}

impl<DB: GateDatabase> Watched<DB> {
    /// Observes one statement, as [`Observer::on`].
    #[track_caller]
    pub fn on(&mut self) -> Observed<'_, DB> {
        let (at, waited) = (Location::caller().into(), self.waited.take());
        Observed { conn: &mut self.guard, observer: self.observer.clone(), waited, at }
    }
}

impl<DB: GateDatabase> Deref for Watched<DB> {
    type Target = Guard<DB::Connection>;

    fn deref(&self) -> &Self::Target {
        &self.guard
    }
}

impl<DB: GateDatabase> DerefMut for Watched<DB> {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.guard
    }
}

impl<DB: GateDatabase> fmt::Debug for Observed<'_, DB> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Observed").field("at", &self.at).finish_non_exhaustive()
    }
}

/// A connection whose database is known. Implemented for sqlx's connections.
pub trait IsConnection: Sized + Send + 'static {
    /// The database.
    type Database: GateDatabase<Connection = Self>;
}

#[cfg(feature = "postgres")]
impl IsConnection for sqlx::PgConnection {
    type Database = sqlx::Postgres;
}

#[cfg(feature = "sqlite")]
impl IsConnection for sqlx::SqliteConnection {
    type Database = sqlx::Sqlite;
}

impl<'c, DB: GateDatabase> Observed<'c, DB> {
    /// Takes the query apart as far as its text, and starts the clock.
    fn begin<'q, E: Execute<'q, DB>>(self, query: E) -> (&'c mut DB::Connection, Asked<E, DB>, Observation) {
        let asked = Asked::new(query);
        let entry = self.observer.entry(asked.text());
        self.observer.inner.plans.want(&entry, asked.text(), || asked.values());
        let observation = self.observer.begin(entry, self.at);
        if let Some(waited) = self.waited {
            observation.waited(waited);
        }
        (self.conn, asked, observation)
    }
}

impl<'c, DB> Executor<'c> for Observed<'c, DB>
where
    DB: GateDatabase,
    &'c mut DB::Connection: Executor<'c, Database = DB>,
{
    type Database = DB;

    fn fetch_many<'e, 'q: 'e, E>(
        self,
        query: E,
    ) -> BoxStream<'e, Result<Either<DB::QueryResult, DB::Row>, sqlx::Error>>
    where
        'c: 'e,
        E: 'q + Execute<'q, DB>,
    {
        let (conn, asked, observation) = self.begin(query);
        Box::pin(Steps::<DB>::new(conn.fetch_many(asked), observation))
    }

    fn fetch_optional<'e, 'q: 'e, E>(self, query: E) -> BoxFuture<'e, Result<Option<DB::Row>, sqlx::Error>>
    where
        'c: 'e,
        E: 'q + Execute<'q, DB>,
    {
        let (conn, asked, observation) = self.begin(query);
        let answer = conn.fetch_optional(asked);
        Box::pin(async move {
            let result = answer.await;
            match &result {
                Ok(row) => {
                    observation.streamed(observation.elapsed(), Duration::ZERO);
                    observation.succeeded(usize::from(row.is_some()));
                }
                Err(error) => observation.failed(DB::cause(error).class()),
            }
            result
        })
    }

    /// Not a statement yet: executions of what is prepared are observed.
    fn prepare_with<'e>(
        self,
        sql: SqlStr,
        parameters: &'e [DB::TypeInfo],
    ) -> BoxFuture<'e, Result<DB::Statement, sqlx::Error>>
    where
        'c: 'e,
    {
        self.conn.prepare_with(sql, parameters)
    }

    /// For sqlx's macros, while they compile.
    fn describe<'e>(self, sql: SqlStr) -> BoxFuture<'e, Result<Describe<DB>, sqlx::Error>>
    where
        'c: 'e,
    {
        self.conn.describe(sql)
    }
}

/// A query whose text was looked at.
enum Asked<E, DB: Database> {
    Text { sql: SqlStr, arguments: Option<Result<Option<DB::Arguments>, BoxDynError>>, persistent: bool },
    Prepared { query: E, sql: SqlStr },
}

impl<E, DB: Database> Asked<E, DB> {
    fn new<'q>(mut query: E) -> Self
    where
        E: Execute<'q, DB>,
    {
        if let Some(sql) = query.statement().map(|statement| statement.sql().clone()) {
            return Self::Prepared { query, sql };
        }
        let (arguments, persistent) = (Some(query.take_arguments()), query.persistent());
        Self::Text { sql: query.sql(), arguments, persistent }
    }

    /// A copy of its values, unless they are bound to a prepared statement, which does not show them.
    fn values(&self) -> Option<Box<dyn std::any::Any + Send>>
    where
        DB: GateDatabase,
    {
        match self {
            Self::Text { arguments: Some(Ok(Some(values))), .. } => Some(Box::new(values.clone())),
            _ => None,
        }
    }

    fn text(&self) -> &str {
        let (Self::Text { sql, .. } | Self::Prepared { sql, .. }) = self;
        sql.as_str()
    }
}

impl<'q, E: Execute<'q, DB>, DB: Database> Execute<'q, DB> for Asked<E, DB> {
    fn sql(self) -> SqlStr {
        let (Self::Text { sql, .. } | Self::Prepared { sql, .. }) = self;
        sql
    }

    fn statement(&self) -> Option<&DB::Statement> {
        match self {
            Self::Text { .. } => None,
            Self::Prepared { query, .. } => query.statement(),
        }
    }

    fn take_arguments(&mut self) -> Result<Option<DB::Arguments>, BoxDynError> {
        match self {
            Self::Text { arguments, .. } => arguments.take().unwrap_or(Ok(None)),
            Self::Prepared { query, .. } => query.take_arguments(),
        }
    }

    fn persistent(&self) -> bool {
        match self {
            Self::Text { persistent, .. } => *persistent,
            Self::Prepared { query, .. } => query.persistent(),
        }
    }
}

type Step<DB> = Either<<DB as Database>::QueryResult, <DB as Database>::Row>;

/// The rows of a statement on their way to whoever asked.
struct Steps<'e, DB: GateDatabase> {
    inner: BoxStream<'e, Result<Step<DB>, sqlx::Error>>,
    observation: Option<Observation>, // `None` once over
    first_row: Option<Duration>,
    handed_out: Option<Instant>, // a row is with the consumer since then
    consumer: Duration,
    rows: u64,
    changed: u64,
}

impl<'e, DB: GateDatabase> Steps<'e, DB> {
    fn new(inner: BoxStream<'e, Result<Step<DB>, sqlx::Error>>, observation: Observation) -> Self {
        let observation = Some(observation);
        Self {
            inner,
            observation,
            first_row: None,
            handed_out: None,
            consumer: Duration::ZERO,
            rows: 0,
            changed: 0,
        }
    }

    fn note(&mut self, step: &Step<DB>) {
        match step {
            Either::Left(result) => self.changed += DB::changed(result),
            Either::Right(_) => {
                self.rows += 1;
                self.handed_out = Some(Instant::now());
                let elapsed = || self.observation.as_ref().map(Observation::elapsed);
                self.first_row = self.first_row.or_else(elapsed);
            }
        }
    }

    fn over(&mut self, error: Option<&sqlx::Error>) {
        let Some(observation) = self.observation.take() else { return };
        observation.streamed(self.first_row.unwrap_or_else(|| observation.elapsed()), self.consumer);
        let rows = observation.rows(self.rows, self.changed);
        match error {
            Some(error) => observation.failed(DB::cause(error).class()),
            None => observation.succeeded(usize::try_from(rows).unwrap_or(usize::MAX)),
        }
    }
}

impl<DB: GateDatabase> Unpin for Steps<'_, DB> {}

impl<DB: GateDatabase> Stream for Steps<'_, DB> {
    type Item = Result<Step<DB>, sqlx::Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if let Some(since) = self.handed_out.take() {
            self.consumer += since.elapsed();
        }
        let step = ready!(self.inner.as_mut().poll_next(cx));
        match &step {
            Some(Ok(step)) => self.note(step),
            Some(Err(error)) => self.over(Some(error)),
            None => self.over(None),
        }
        Poll::Ready(step)
    }
}
