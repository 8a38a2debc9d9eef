//! Trials on SQLite, which knows no costs: the statement is run with and without the index, in a transaction that is rolled back. Steps of
//! SQLite's machine say the same on a busy machine as on an idle one; times know what a step costs. An index helps if both say so.

use super::candidates::{self, Candidate, Key, Order};
use super::{
    AT_LEAST, AdviceLimits, IdleIndex, IdleReason, IndexAdvice, IndexVerdict, TryIndex, quoted_name, refused,
};
use crate::backend::built;
use crate::backend::sqlite::busy;
use crate::error::{Cause, Class};
use crate::gate::GateDatabase;
use crate::observe::entry::is_read;
use crate::observe::fingerprint::normalize;
use crate::observe::plans::watch::{Explain, ExplainFor, has_places};
use crate::transaction::Transact;
use sqlx::sqlite::SqliteArguments;
use sqlx::{Executor, Sqlite, SqliteConnection};
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

const TRIAL: &str = "offgridflow_trial";
/// Executions with and without the index; the fastest counts, which noise can only make slower.
const RUNS: usize = 5;
/// So many times are they measured again with the index, where its times do not say what its steps do.
const ROUNDS: usize = 4;
/// Steps of SQLite's machine between two looks at the clock.
const STEPS: i32 = 100;

const INDEXED: &str = "SELECT l.name, (SELECT CASE WHEN count(i.name) = count(*) THEN group_concat(i.name, char(31)) END \
     FROM pragma_index_info(l.name) AS i) FROM pragma_index_list(?1) AS l WHERE NOT l.partial";

const INDICES: &str = "SELECT m.name, l.name, l.\"unique\", l.origin, (SELECT CASE WHEN count(i.name) = count(*) \
     THEN group_concat(i.name || char(30) || i.coll || char(30) || i.\"desc\", char(31)) END FROM pragma_index_xinfo(l.name) AS i WHERE i.key), l.partial \
     FROM sqlite_schema AS m, pragma_index_list(m.name) AS l WHERE m.type = 'table' ORDER BY 1, 2";

fn cause(error: sqlx::Error) -> Cause {
    Sqlite::cause(&error)
}

impl TryIndex for Sqlite {
    async fn advise(
        conn: &mut SqliteConnection,
        sql: &str,
        values: Option<SqliteArguments>,
        limits: &AdviceLimits,
    ) -> Result<Vec<IndexAdvice>, Cause> {
        let plan = Self::explain(conn, sql, values.clone(), ExplainFor::ItsValues).await?;
        let text = normalize(sql);
        let mut advice = Vec::new();
        for candidate in candidates::of_text(&plan, &text) {
            if !is_open(conn, &candidate).await? {
                continue;
            }
            let verdict = match reason_not_to(conn, &text, sql, values.as_ref(), limits).await? {
                Some(why) => IndexVerdict::Inconclusive(why),
                None => measured(conn, &candidate, sql, values.clone().unwrap_or_default(), limits).await?,
            };
            let (on, name) = (target(&candidate)?, name(&candidate)?);
            let columns = candidate.keys.iter().map(Key::shown).collect();
            advice.push(IndexAdvice {
                table: candidate.table,
                columns,
                verdict,
                statement: format!("CREATE INDEX {name} ON {on}"),
                writes: None,
            });
        }
        Ok(advice)
    }

    async fn idle(conn: &mut SqliteConnection) -> Result<Vec<IdleIndex>, Cause> {
        let rows: Vec<(String, String, bool, String, Option<String>, bool)> =
            sqlx::query_as(INDICES).fetch_all(&mut *conn).await.map_err(cause)?;
        let mut by_table: HashMap<&str, Vec<(&str, &str)>> = HashMap::new();
        for (table, name, _, _, columns, partial) in &rows {
            if let (Some(columns), false) = (columns, partial) {
                by_table.entry(table).or_default().push((name, columns));
            }
        }
        let covered = |table: &str, own: &str, columns: &str| {
            let begins =
                |other: &str| other.strip_prefix(columns).is_some_and(|rest| rest.starts_with('\u{1f}'));
            by_table[table]
                .iter()
                .find(|(name, other)| *name != own && begins(other))
                .map(|(name, _)| (*name).to_owned())
        };
        let mut idle = Vec::new();
        for (table, index, unique, origin, columns, partial) in &rows {
            let (Some(columns), false, false, "c") = (columns, *unique, *partial, origin.as_str()) else {
                continue;
            };
            if let Some(other) = covered(table, index, columns) {
                let why = IdleReason::CoveredBy(other);
                idle.push(IdleIndex { table: table.clone(), index: index.clone(), why, bytes: None });
            }
        }
        Ok(idle)
    }
}

/// Table and keys: `"t" ("a", lower("b"), "c" COLLATE NOCASE)`. LIKE takes small letters for large ones, and needs an index that does.
fn target(candidate: &Candidate) -> Result<String, Cause> {
    let key = |key: &Key| {
        let collation = if key.order == Order::Like { " COLLATE NOCASE" } else { "" };
        Ok(format!("{}{collation}", key.sql()?))
    };
    let keys: Result<Vec<String>, _> = candidate.keys.iter().map(key).collect();
    Ok(format!("{} ({})", quoted_name(None, &candidate.table)?, keys.map_err(refused)?.join(", ")))
}

/// What the index would be called, quoted: `t_a_lower_b_c_nocase_idx`.
fn name(candidate: &Candidate) -> Result<crate::Ident, Cause> {
    let part = |key: &Key| {
        let function = key.function.map_or(String::new(), |function| format!("{function}_"));
        let collation = if key.order == Order::Like { "_nocase" } else { "" };
        format!("{function}{}{collation}", key.column)
    };
    let parts: Vec<String> = candidate.keys.iter().map(part).collect();
    crate::Ident::new(&format!("{}_{}_idx", candidate.table, parts.join("_"))).map_err(refused)
}

/// Whether the table has these columns, and no index that begins with them.
async fn is_open(conn: &mut SqliteConnection, candidate: &Candidate) -> Result<bool, Cause> {
    let columns: Vec<String> = sqlx::query_scalar("SELECT lower(name) FROM pragma_table_info(?1)")
        .bind(candidate.table.clone())
        .fetch_all(&mut *conn)
        .await
        .map_err(cause)?;
    let indexed: Vec<(String, Option<String>)> =
        sqlx::query_as(INDEXED).bind(candidate.table.clone()).fetch_all(&mut *conn).await.map_err(cause)?;
    let wanted: Vec<String> = candidate.keys.iter().map(|key| key.column.to_ascii_lowercase()).collect();
    let begins = |names: &str| {
        let names: Vec<String> = names.split('\u{1f}').map(str::to_ascii_lowercase).collect();
        names.starts_with(&wanted)
    };
    // One over an expression or for LIKE that could serve would be in the plan.
    let covered = candidate.keys.iter().all(Key::is_plain)
        && indexed.iter().any(|(_, names)| names.as_deref().is_some_and(begins));
    Ok(!covered && wanted.iter().all(|column| columns.contains(column)))
}

/// Why nothing is tried.
async fn reason_not_to(
    conn: &mut SqliteConnection,
    text: &str,
    sql: &str,
    values: Option<&SqliteArguments>,
    limits: &AdviceLimits,
) -> Result<Option<String>, Cause> {
    if !is_read(text) {
        return Ok(Some("SQLite knows no costs, and a statement that writes is not run for a trial".into()));
    }
    if values.is_none() && has_places(sql) {
        return Ok(Some(
            "SQLite knows no costs, and without values the statement cannot be run for a trial".into(),
        ));
    }
    let bytes: i64 =
        sqlx::query_scalar("SELECT page_count * page_size FROM pragma_page_count, pragma_page_size")
            .fetch_one(&mut *conn)
            .await
            .map_err(cause)?;
    let bytes = u64::try_from(bytes).unwrap_or(0);
    let most = limits.table_bytes;
    Ok((bytes > most).then(|| {
        format!(
            "the database has {} MiB, more than the {} MiB that may be indexed for a trial",
            bytes >> 20,
            most >> 20
        )
    }))
}

async fn measured(
    conn: &mut SqliteConnection,
    candidate: &Candidate,
    sql: &str,
    values: SqliteArguments,
    limits: &AdviceLimits,
) -> Result<IndexVerdict, Cause> {
    crate::observe::plans::watch::alone(sql)?; // several statements at once are not run for a trial
    let Some(before) = cost(conn, sql, &values, limits).await? else {
        return Ok(too_long("running the statement", limits));
    };
    if let Err(busy) = begin(conn, limits.lock).await {
        return Ok(IndexVerdict::Inconclusive(busy.to_string()));
    }
    let tried = trial(conn, candidate, sql, &values, before, limits).await;
    conn.rollback().await.map_err(|error| Cause::new(Class::Connection, error.to_string()))?;
    match tried {
        // A function of the application's own may be none that an index takes.
        Err(refusal) if refusal.class() != Class::Connection => {
            Ok(IndexVerdict::Inconclusive(refusal.to_string()))
        }
        tried => tried,
    }
}

fn too_long(what: &str, limits: &AdviceLimits) -> IndexVerdict {
    IndexVerdict::Inconclusive(format!("{what} takes longer than {:?}", limits.build))
}

/// Begins to write, or gives up after `patience`.
async fn begin(conn: &mut SqliteConnection, patience: Duration) -> Result<(), Cause> {
    let usual = busy::wait(conn, patience).await.map_err(cause)?;
    let begun = conn.begin().await;
    usual.restore(conn).await.map_err(cause)?;
    begun
}

async fn trial(
    conn: &mut SqliteConnection,
    candidate: &Candidate,
    sql: &str,
    values: &SqliteArguments,
    before: Cost,
    limits: &AdviceLimits,
) -> Result<IndexVerdict, Cause> {
    let (began, make) = (Instant::now(), built(format!("CREATE INDEX {TRIAL} ON {}", target(candidate)?)));
    let make = async |conn: &mut SqliteConnection| conn.execute(sqlx::raw_sql(make)).await.map_err(cause);
    if within(conn, limits.build, make).await?.is_none() {
        return Ok(too_long("building the index", limits));
    }
    let build = Some(began.elapsed());
    if !Sqlite::explain(conn, sql, Some(values.clone()), ExplainFor::ItsValues).await?.uses(TRIAL) {
        return Ok(IndexVerdict::NoHelp);
    }
    let mut fastest = Duration::MAX;
    for _ in 0..ROUNDS {
        let Some(after) = cost(conn, sql, values, limits).await? else { break };
        if (before.steps as f64) < after.steps.max(1) as f64 * AT_LEAST {
            break;
        }
        fastest = fastest.min(after.time);
        let (before, after) = (before.time.as_nanos() as f64, fastest.as_nanos() as f64);
        if before >= after * AT_LEAST {
            return Ok(IndexVerdict::Helps { before, after, build, bytes: None });
        }
    }
    Ok(IndexVerdict::NoHelp)
}

/// What a statement takes.
#[derive(Clone, Copy)]
struct Cost {
    steps: u64,     // of SQLite's machine, in hundreds, for all its executions
    time: Duration, // of the fastest
}

/// `None` if it takes too long.
async fn cost(
    conn: &mut SqliteConnection,
    sql: &str,
    values: &SqliteArguments,
    limits: &AdviceLimits,
) -> Result<Option<Cost>, Cause> {
    let timed = within(conn, limits.build, async |conn| timed(conn, sql, values).await).await?;
    Ok(timed.map(|(time, steps)| Cost { steps, time }))
}

/// The work's result and its steps in hundreds; `None` if it takes too long: it is interrupted.
async fn within<T>(
    conn: &mut SqliteConnection,
    longest: Duration,
    work: impl AsyncFnOnce(&mut SqliteConnection) -> Result<T, Cause>,
) -> Result<Option<(T, u64)>, Cause> {
    let (began, steps) = (Instant::now(), Arc::<AtomicU64>::default());
    let counted = Arc::clone(&steps);
    let go_on = move || {
        counted.fetch_add(1, Ordering::Relaxed);
        began.elapsed() < longest
    };
    conn.lock_handle().await.map_err(cause)?.set_progress_handler(STEPS, go_on);
    let done = work(conn).await;
    conn.lock_handle().await.map_err(cause)?.remove_progress_handler();
    match done {
        Err(_) if began.elapsed() >= longest => Ok(None),
        done => done.map(|done| Some((done, steps.load(Ordering::Relaxed)))),
    }
}

async fn timed(conn: &mut SqliteConnection, sql: &str, values: &SqliteArguments) -> Result<Duration, Cause> {
    let mut best = Duration::MAX;
    for _ in 0..RUNS {
        let began = Instant::now();
        let asked = sqlx::query_with(built(sql.to_owned()), values.clone()).persistent(false);
        conn.fetch_all(asked).await.map_err(cause)?;
        best = best.min(began.elapsed());
    }
    Ok(best)
}
