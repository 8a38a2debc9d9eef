//! What the server keeps: activities, factors and jobs, on SQLite or PostgreSQL through the same statements.

mod activities;
mod advice;
mod emissions;
mod error;
mod factors;
mod jobs;
mod keys;
mod migrations;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use offgridflow_query::sqlx::database::HasStatementCache;
use offgridflow_query::sqlx::query::Query;
use offgridflow_query::sqlx::{self, AssertSqlSafe, Database, Postgres, Sqlite};
use offgridflow_query::{
    Acquire, BatchWriter, Conflict, ConnectionPool, Gate, GateConfig, Insight, Observer, PgGate, PlanBudget,
    PlanWatcher, PoolStatus, SlowLog, SqliteGate, WriterStats,
};

pub use emissions::{Grouping, Total};
pub use error::StoreError;
pub use jobs::{Job, Queue};
pub use keys::IssuedKey;

use crate::carbon::Activity;

/// Runs `$body` on a lent connection of whichever database is open, and counts it under its statement; the time spent
/// waiting for the connection is the gate's to tell.
macro_rules! on {
    ($store:expr, $statement:expr, $connection:ident => $body:expr) => {
        match &$store.gates {
            $crate::store::Gates::Sqlite(gate) => {
                let mut lent = {
                    let _waiting = ::offgridflow_profile::wait_site!("connection");
                    gate.acquire(::offgridflow_query::Acquire::default()).await?
                };
                let $connection = &mut *lent;
                $store.observer.time($statement, async { $body }).await
            }
            $crate::store::Gates::Postgres(gate) => {
                let mut lent = {
                    let _waiting = ::offgridflow_profile::wait_site!("connection");
                    gate.acquire(::offgridflow_query::Acquire::default()).await?
                };
                let $connection = &mut *lent;
                $store.observer.time($statement, async { $body }).await
            }
        }
    };
}
pub(crate) use on;

/// A statement; with the current request's trace behind it, where that is wanted. That text is new each time, so it is not kept prepared.
fn statement<'q, DB: Database + HasStatementCache>(sql: &'static str) -> Query<'q, DB, DB::Arguments> {
    match crate::trace::comment() {
        Some(comment) => sqlx::query(AssertSqlSafe(format!("{sql} {comment}"))).persistent(false),
        None => sqlx::query(sql),
    }
}

/// What a statement may take before it is noted down.
const SLOW: Duration = Duration::from_millis(100);

/// The database, with its gate, the writer of activities, and what was seen of its statements.
#[derive(Debug)]
pub struct Store {
    gates: Gates,
    writer: BatchWriter<Activity>,
    observer: Observer,
    _watcher: PlanWatcher,
    advice: advice::Advice,
    space: String,
}

#[derive(Debug, Clone)]
enum Gates {
    Sqlite(SqliteGate),
    Postgres(PgGate),
}

impl Store {
    /// Opens the database at a `sqlite:` or `postgres:` address, waits for it, and brings its schema up to date.
    ///
    /// `say` hears a sentence for every second it is waited for.
    ///
    /// # Errors
    /// An address of another kind, a database that does not answer within `patience`, or a migration that fails.
    pub async fn open(url: &str, patience: Duration, say: impl Fn(String)) -> Result<Self, StoreError> {
        let gates = Gates::open(url)?;
        gates.wait(patience, say).await?;
        migrations::up(&gates).await?;
        let writer = gates.writer()?;
        let observer =
            Observer::new(gates.system()).with_slow_log(SlowLog::over(SLOW).or_times_typical(20.0));
        let _watcher = gates.watch_plans(&observer);
        let store = Self {
            gates,
            writer,
            observer,
            _watcher,
            advice: advice::Advice::default(),
            space: space_of(url),
        };
        store.seed_factors().await?;
        Ok(store)
    }

    /// `SQLite` or `PostgreSQL`.
    #[must_use]
    pub fn database(&self) -> &'static str {
        match self.gates {
            Gates::Sqlite(_) => "SQLite",
            Gates::Postgres(_) => "PostgreSQL",
        }
    }

    /// Tells this database apart from others that share a Redis: a hash of its address, without its secrets.
    #[must_use]
    pub fn space(&self) -> &str {
        &self.space
    }

    /// The writer of activities: acknowledged means committed.
    #[must_use]
    pub fn writer(&self) -> &BatchWriter<Activity> {
        &self.writer
    }

    /// What was seen of the statements.
    #[must_use]
    pub fn observer(&self) -> &Observer {
        &self.observer
    }

    /// Everything that is known of the statements; with what would help those that became slower, if `advise`: few of them, for a bounded time, in one round
    /// for all who ask within some seconds.
    pub async fn insight(&self, advise: bool) -> Insight {
        let insight = self.observer.insight().with_pool("main", self.pool_status());
        if !advise {
            return insight;
        }
        let slower = advice::chosen(insight.regressions.iter().map(|one| one.fingerprint));
        let texts = slower.iter().filter_map(|one| self.observer.sql(*one)).collect();
        let tried = self.advice.of(slower, |end| advice::tried(&self.gates, texts, end)).await;
        tried.into_iter().fold(insight, |insight, (sql, advice)| insight.with_advice(&sql, advice))
    }

    /// The pool at this instant.
    #[must_use]
    pub fn pool_status(&self) -> PoolStatus {
        match &self.gates {
            Gates::Sqlite(gate) => gate.status(),
            Gates::Postgres(gate) => gate.status(),
        }
    }

    /// The writer's figures.
    #[must_use]
    pub fn writer_stats(&self) -> WriterStats {
        self.writer.stats()
    }

    /// Whether the database answers.
    ///
    /// # Errors
    /// What it said instead.
    pub async fn ping(&self) -> Result<(), StoreError> {
        use offgridflow_query::sqlx::Connection;
        on!(self, "ping", connection => Ok(connection.ping().await?))
    }

    /// Writes what is queued and closes; the number of rows that were acknowledged as stored.
    ///
    /// # Errors
    /// When the writer's task had died.
    pub async fn close(&self) -> Result<u64, StoreError> {
        let report = self.writer.close().await?;
        match &self.gates {
            Gates::Sqlite(gate) => gate.close().await,
            Gates::Postgres(gate) => gate.close().await,
        }
        Ok(report.stats.committed)
    }
}

impl Gates {
    fn open(url: &str) -> Result<Self, StoreError> {
        match url.split_once(':').map(|(scheme, _)| scheme) {
            Some("sqlite") if folder_of(url).is_some_and(|folder| !folder.is_dir()) => {
                Err(StoreError::Folder(folder_of(url).unwrap_or_default()))
            }
            Some("sqlite") => Ok(Self::Sqlite(Gate::<Sqlite>::from_url(url, config())?)),
            Some("postgres" | "postgresql") => Ok(Self::Postgres(Gate::<Postgres>::from_url(url, config())?)),
            _ => Err(StoreError::Scheme),
        }
    }

    async fn wait(&self, patience: Duration, say: impl Fn(String)) -> Result<(), StoreError> {
        let began = Instant::now();
        loop {
            let tried = match self {
                Self::Sqlite(gate) => gate.acquire(briefly()).await.map(drop),
                Self::Postgres(gate) => gate.acquire(briefly()).await.map(drop),
            };
            match tried {
                Ok(()) => return Ok(()),
                Err(error) if began.elapsed() >= patience => return Err(StoreError::Down(patience, error)),
                Err(error) => {
                    say(format!("waiting for the database, {} s: {error}", began.elapsed().as_secs()));
                }
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    }

    fn watch_plans(&self, observer: &Observer) -> PlanWatcher {
        match self {
            Self::Sqlite(gate) => observer.watch_plans(gate.clone(), PlanBudget::default()),
            Self::Postgres(gate) => observer.watch_plans(gate.clone(), PlanBudget::default()),
        }
    }

    /// The name OpenTelemetry gives it.
    fn system(&self) -> &'static str {
        match self {
            Self::Sqlite(_) => "sqlite",
            Self::Postgres(_) => "postgresql",
        }
    }

    /// A second activity of the same id is a duplicate: what is stored stays.
    fn writer(&self) -> Result<BatchWriter<Activity>, StoreError> {
        Ok(match self {
            Self::Sqlite(gate) => BatchWriter::builder(gate.clone()).conflict(Conflict::Ignore).start()?,
            Self::Postgres(gate) => BatchWriter::builder(gate.clone()).conflict(Conflict::Ignore).start()?,
        })
    }
}

fn config() -> GateConfig {
    GateConfig { name: "main".to_owned(), ..GateConfig::default() }
}

/// Reverts the schema at `url` to nothing: every table of the server's is dropped.
///
/// # Errors
/// As [`Store::open`].
pub async fn migrate_down(url: &str) -> Result<(), StoreError> {
    migrations::down(&Gates::open(url)?).await
}

/// Brings the schema at `url` up to date.
///
/// # Errors
/// As [`Store::open`].
pub async fn migrate_up(url: &str) -> Result<(), StoreError> {
    migrations::up(&Gates::open(url)?).await
}

/// A connection soon or not at all, so that whoever waits hears of it.
fn briefly() -> Acquire {
    Acquire::default().within(Duration::from_secs(1))
}

/// Servers of one database name it alike: the address without the part before `@` and behind `?`, hashed.
fn space_of(url: &str) -> String {
    let place = url.split('?').next().unwrap_or(url);
    let place = place.rsplit_once('@').map_or(place, |(_, place)| place);
    // FNV-1a: a name, not a secret.
    let hash = place.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    format!("{hash:016x}")
}

/// The folder that a SQLite file is to stand in; `None` for this one, and for memory.
fn folder_of(url: &str) -> Option<PathBuf> {
    let path = url.strip_prefix("sqlite:")?.split('?').next()?;
    let path = path.strip_prefix("//").unwrap_or(path);
    Path::new(path).parent().filter(|folder| !folder.as_os_str().is_empty()).map(Path::to_owned)
}
