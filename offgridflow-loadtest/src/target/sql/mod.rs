//! SQL statements under load, on connections of a pool of their own.

mod link;
mod pool;
mod statement;

use std::sync::Arc;

pub use statement::{SqlStatement, SqlTransaction, SqlValue};

use tokio::sync::OnceCell;

#[cfg(feature = "cli")]
use crate::histogram::as_f64;
use crate::{
    error::ConfigError,
    op::{Op, Phase},
    outcome::{FailKind, Outcome, TargetError},
    route::MAX_STEPS,
    workload::{ShardCtx, Workload},
};
use link::{Failed, Server};
use pool::{Held, Pools};
use statement::Asked;

/// A database under load: PostgreSQL or SQLite, asked for statements and transactions with values that are made for each operation.
///
/// A pool of its own tells four clocks apart that a pool of a library adds up. Each has a row among the report's [steps](crate::Report::steps): `pool: wait` for a free connection, `pool: connect`
/// where a new one is opened, and of each statement `NAME: query`, up to its first row or its end, and `NAME: fetch`, the rows after that. An operation's admission wait is the first two, its service time the rest.
///
/// Statements are prepared once a connection and used again; the first use is a round trip longer. Each is a route, and so is each transaction.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use offgridflow_loadtest::{LoadTest, Rate, SqlStatement, SqlTarget};
/// use std::time::Duration;
/// let folder = tempfile::tempdir()?;
/// let url = format!("sqlite://{}/load.db?mode=rwc", folder.path().display());
/// let target = SqlTarget::new(&url)?
///     .pool(4) // Default: 10 connections.
///     .prepare_with("CREATE TABLE IF NOT EXISTS site (id INTEGER PRIMARY KEY, name TEXT)")
///     .statement(SqlStatement::new("read", "SELECT name FROM site WHERE id = $1").weight(9).bind(|op| op.rng().below(100).into()))
///     .statement(SqlStatement::new("write", "INSERT OR REPLACE INTO site VALUES ($1, $2)")
///         .bind(|op| op.rng().below(100).into())
///         .bind(|op| format!("site {}", op.index()).into()));
/// let report = LoadTest::new(target).rate(Rate::constant(200.0, Duration::from_secs(2))).run().await?;
/// assert_eq!(report.total.ok, 400);
/// assert!(report.route("read").is_some() && report.step("read: query").is_some() && report.step("pool: wait").is_some());
/// # Ok(()) }
/// ```
#[derive(Debug)]
#[must_use = "a target does nothing until it is loaded"]
pub struct SqlTarget {
    server: Server,
    most: usize,
    before: Vec<String>,
    asked: Vec<Asked>,
    pools: Pools,
    prepared: OnceCell<()>,
}

/// The places of the pool's own steps; those of statements follow.
const WAIT: usize = 0;
const CONNECT: usize = 1;
const OWN: usize = 2;

impl SqlTarget {
    /// The database of a URL: `postgres://…` or `sqlite://…`.
    ///
    /// # Errors
    /// A URL of another kind, or one that cannot be read. It may hold a password and is never shown.
    pub fn new(url: &str) -> Result<Self, ConfigError> {
        let server = Server::parse(url)?;
        Ok(Self {
            server,
            most: 10,
            before: Vec::new(),
            asked: Vec::new(),
            pools: Pools::default(),
            prepared: OnceCell::new(),
        })
    }

    /// How many connections, over all shards (each has its part, at least one). Default 10. More operations in flight wait for one, which is the pool's time.
    pub fn pool(mut self, connections: usize) -> Self {
        self.most = connections.max(1);
        self
    }

    /// Runs this before anything else is asked, once, on a connection that is closed again: to make a table, or to fill one.
    pub fn prepare_with(mut self, sql: impl Into<String>) -> Self {
        self.before.push(sql.into());
        self
    }

    /// Adds a statement, asked as often as its weight says among all.
    pub fn statement(mut self, statement: SqlStatement) -> Self {
        self.asked.push(Asked::alone(statement));
        self
    }

    /// Adds a transaction, as one operation.
    pub fn transaction(mut self, transaction: SqlTransaction) -> Self {
        self.asked.push(Asked::together(transaction));
        self
    }

    /// How many connections the server allows, those it keeps for superusers left out; `None` if it has no limit.
    #[cfg(feature = "cli")]
    pub(crate) async fn allowed(&self) -> Result<Option<usize>, String> {
        let found = async { self.server.connect().await?.allowed().await };
        found.await.map_err(|error: Failed| format!("{}: {error}", self.server))
    }

    /// Each statement and transaction with its part of the operations.
    #[cfg(feature = "cli")]
    pub(crate) fn outline(&self) -> Vec<String> {
        let all: u64 = self.asked.iter().map(|asked| asked.weight).sum();
        let line = |asked: &Asked| {
            let kind = if asked.is_transaction { "transaction" } else { "statement" };
            format!("{kind:<11} {:5.1} %  {}", as_f64(asked.weight) * 100.0 / as_f64(all.max(1)), asked.name)
        };
        self.asked.iter().map(line).collect()
    }

    async fn prepare(&self) -> Result<(), Failed> {
        if self.before.is_empty() {
            return Ok(());
        }
        let mut link = self.server.connect().await?;
        for sql in &self.before {
            link.run(sql, Vec::new(), || ()).await?;
        }
        Ok(())
    }

    /// Where the steps of what is asked begin.
    fn first_step(&self, picked: usize) -> usize {
        OWN + 2 * self.asked[..picked].iter().map(|asked| asked.statements.len()).sum::<usize>()
    }

    /// A connection, and the permit that comes with it.
    async fn connection(&self, session: &SqlSession, op: &Op) -> Result<Held, TargetError> {
        op.begin_wait(WAIT);
        let mut held = session.pool.wait().await;
        op.end_step(&Outcome::ok());
        if !held.is_open() {
            op.begin_wait(CONNECT);
            let opened = held.open(&self.server).await.map_err(|error| error.connecting());
            op.end_step(&opened.as_ref().map_or_else(|error| error.clone().into(), |()| Outcome::ok()));
            opened?;
        }
        op.mark(Phase::Admitted);
        Ok(held)
    }

    async fn ask(&self, held: &mut Held, asked: &Asked, first: usize, op: &Op) -> Result<(), Failed> {
        let link = held.link();
        if asked.is_transaction {
            link.begin().await?;
        }
        for (nth, statement) in asked.statements.iter().enumerate() {
            let values: Vec<SqlValue> = statement.values(op);
            let place = first + 2 * nth;
            op.begin_step(place);
            let between = || {
                op.mark(Phase::FirstByte);
                op.end_step(&Outcome::ok());
                op.begin_step(place + 1);
            };
            match link.run(statement.sql(), values, between).await {
                Ok(()) => op.end_step(&Outcome::ok()),
                Err(error) => {
                    op.end_step(&error.outcome());
                    if asked.is_transaction && error.is_answer() {
                        let _ = link.end(false).await; // so that the connection can be used again
                    }
                    return Err(error);
                }
            }
        }
        if asked.is_transaction {
            link.end(true).await?;
        }
        Ok(())
    }
}

/// Where a session's connections come from: the pool of its shard.
#[derive(Debug)]
pub struct SqlSession {
    pool: Arc<pool::Pool>,
}

impl Workload for SqlTarget {
    type Session = SqlSession;

    async fn open(&self, ctx: &ShardCtx) -> Result<SqlSession, TargetError> {
        self.prepared.get_or_try_init(|| self.prepare()).await.map_err(|error| error.connecting())?;
        let share = (self.most / ctx.shards()).max(1);
        Ok(SqlSession { pool: self.pools.of(ctx.shard(), share) })
    }

    async fn call(&self, session: &mut SqlSession, op: &mut Op) -> Outcome {
        let Some(picked) = op.picked().filter(|&picked| picked < self.asked.len()) else {
            return TargetError::unanswered(FailKind::App, "there is no statement: add one").into();
        };
        let mut held = match self.connection(session, op).await {
            Ok(held) => held,
            Err(error) => return error.into(),
        };
        let result = self.ask(&mut held, &self.asked[picked], self.first_step(picked), op).await;
        // What was dropped half-way, or lost its connection, never comes back to the pool.
        match result {
            Ok(()) => {
                held.keep();
                Outcome::ok()
            }
            Err(error) => {
                if error.is_answer() {
                    held.keep();
                }
                error.outcome()
            }
        }
    }

    fn routes(&self) -> Vec<String> {
        self.asked.iter().map(|asked| asked.name.clone()).collect()
    }

    fn pick(&self, op: &Op) -> usize {
        op.rng().weighted(self.asked.iter().map(|asked| asked.weight))
    }

    fn steps(&self) -> Vec<String> {
        let own = ["pool: wait".to_owned(), "pool: connect".to_owned()];
        let asked = self.asked.iter().flat_map(Asked::steps);
        own.into_iter().chain(asked).take(MAX_STEPS + 1).collect()
    }

    async fn check(&self) -> Result<String, String> {
        let found = async {
            self.prepared.get_or_try_init(|| self.prepare()).await?;
            self.server.connect().await?.version().await
        };
        found.await.map_err(|error: Failed| format!("{}: {error}", self.server))
    }

    fn describe(&self) -> String {
        format!("{}, {} connections", self.server, self.most)
    }

    fn findings(&self) -> Vec<String> {
        let (opened, most) = (self.pools.opened(), self.most);
        vec![format!("{opened} connections were opened, {most} at a time at most")]
    }
}
