//! Q8: many writers update overlapping rows, on a table with one unique index and on one with two; and tables of every width.
//! Control: the same updates by hand, in the order in which they come.

use std::time::Duration;

use benches::figures::{full, seed};
use offgridflow_query::sqlx::{Row as _, query};
use offgridflow_query::{
    Acquire, BatchExecutor, BatchWriter, Chunk, ChunkWriter, Class, Column, Conflict, ConnectionPool, Kind,
    Outcome, PgGate, Retry, Shape, Strategy, WritePlan, row,
};

use crate::Failure;
use crate::dice::Dice;
use crate::programs::{gate, number, run};

const TASKS: u64 = 16;
const KEYS: u64 = 500;
const BATCH: usize = 200;

struct Level {
    id: i64,
    other: i64,
    value: i64,
}
row!(Level in "levels" { id, other, value } key { id });

/// Rows by chance. Where the second column is unique, too, a row may take what another one has: it is refused then.
fn levels(dice: &mut Dice) -> Vec<Level> {
    let below = |dice: &mut Dice, end| i64::try_from(dice.below(end)).unwrap_or(0);
    (0..BATCH)
        .map(|_| Level { id: below(dice, KEYS), other: below(dice, 100 * KEYS), value: below(dice, 1 << 40) })
        .collect()
}

pub(crate) async fn main() -> Result<(), Failure> {
    let (seed, rounds) = (seed(), if full() { 200 } else { 20 });
    // A deadlock is looked for after this long instead of a second: there are many in the control.
    let settings = vec![("deadlock_timeout".to_owned(), "50ms".to_owned())];
    let server = testkit::Postgres::start_with(&testkit::PostgresOptions { settings })?;
    // Sessions report late what they saw, so that each part has a database, and counts, of its own.
    let databases = ["one", "control", "two"].map(|name| server.create_database(name));
    let [one, control, two] = databases.map(|database| database.map_err(Failure::from));
    let [one_db, control_db, two_db] = [one?, control?, two?];
    let table = "CREATE TABLE levels (id INT8 PRIMARY KEY, other INT8";
    let gate = gate_of(&one_db, &format!("{table}, value INT8)")).await?;
    let refused = widths(&gate).await?;
    let one = updates(&gate, seed, rounds).await?;
    let control =
        unsorted(&gate_of(&control_db, &format!("{table}, value INT8)")).await?, seed, rounds).await?;
    let two =
        updates(&gate_of(&two_db, &format!("{table} UNIQUE, value INT8)")).await?, seed, rounds).await?;
    benches::row!(
        "one unique index: {one:?}\ntwo: {two:?}\nunsorted by hand: {control} deadlocks\nwidths refused: {refused:?}"
    );
    let lost = one.lost + two.lost + one.returned + two.returned;
    let pass = one.deadlocks == 0 && lost == 0 && refused.is_empty();
    println!(
        "{} measured=deadlocks={},second-index-deadlocks={}-retried-{},lost={lost},widths-refused={} control=unsorted-{control}-deadlocks \
         n={TASKS}-tasks,{rounds}-rounds-of-{BATCH} seed {seed}",
        if pass && control > 0 { "PASS" } else { "FAIL" },
        one.deadlocks,
        two.deadlocks,
        two.retries,
        refused.len(),
    );
    Ok(())
}

async fn gate_of(database: &testkit::Database, table: &str) -> Result<PgGate, Failure> {
    let gate = gate(&database.url(), 20)?;
    run(&gate, table).await?;
    Ok(gate)
}

#[derive(Debug, Default)]
struct Updates {
    deadlocks: i64,
    retries: u64,
    returned: u64,
    lost: u64,
}

async fn updates(gate: &PgGate, seed: u64, rounds: usize) -> Result<Updates, Failure> {
    let tasks = (0..TASKS).map(|task| {
        let gate = gate.clone();
        tokio::spawn(async move {
            let retry = Retry { attempts: 20, budget: Duration::from_secs(60), ..Retry::default() };
            let writer =
                BatchWriter::<Level>::builder(gate).conflict(Conflict::Update).retry(retry).start()?;
            let mut dice = Dice::new(seed ^ (task << 32));
            for _ in 0..rounds {
                let outcomes = writer.push_many(levels(&mut dice)).await?.outcomes().await;
                let clash = |outcome: &Outcome<Level>| matches!(outcome, Outcome::Rejected(r) if r.cause.class() == Class::Unique);
                if !outcomes.iter().all(|outcome| outcome.is_settled() || clash(outcome)) {
                    return Err(format!("a row was neither stored nor a duplicate: {outcomes:?}").into());
                }
            }
            let stats = writer.close().await?.stats;
            Ok::<_, Failure>((stats.retries, stats.returned, stats.rows_in.abs_diff(stats.settled())))
        })
    });
    let mut sum = Updates::default();
    for task in tasks.collect::<Vec<_>>() {
        let (retries, returned, lost) = task.await??;
        sum.retries += retries;
        sum.returned += returned;
        sum.lost += lost;
    }
    sum.deadlocks = deadlocks(gate).await?;
    Ok(sum)
}

/// One INSERT … ON CONFLICT of the same rows, each key once, in the order of its last coming; a deadlock is passed over.
async fn unsorted(gate: &PgGate, seed: u64, rounds: usize) -> Result<i64, Failure> {
    let tasks = (0..TASKS).map(|task| {
        let gate = gate.clone();
        tokio::spawn(async move {
            let mut dice = Dice::new(seed ^ (task << 32));
            let mut conn = gate.acquire(Acquire::default()).await?;
            for _ in 0..rounds {
                let mut rows = levels(&mut dice);
                let mut seen = std::collections::BTreeSet::new();
                rows.reverse();
                rows.retain(|row| seen.insert(row.id));
                let ids: Vec<i64> = rows.iter().map(|row| row.id).collect();
                let values: Vec<i64> = rows.iter().map(|row| row.value).collect();
                let sql = "INSERT INTO levels (id, value) SELECT * FROM UNNEST($1, $2) \
                           ON CONFLICT (id) DO UPDATE SET value = excluded.value";
                let _passed_over = query(sql).bind(ids).bind(values).execute(&mut *conn).await;
            }
            Ok::<_, Failure>(())
        })
    });
    for task in tasks.collect::<Vec<_>>() {
        task.await??;
    }
    deadlocks(gate).await
}

/// Deadlocks that the server counts. Sessions report as they end, so all others of the database are ended first: the gate is
/// of no use after this.
async fn deadlocks(gate: &PgGate) -> Result<i64, Failure> {
    let mut conn = gate.acquire(Acquire::default()).await?;
    let end = "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity \
               WHERE datname = current_database() AND pid <> pg_backend_pid()";
    query(end).execute(&mut *conn).await?;
    let count = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()";
    Ok(query(count).fetch_one(&mut *conn).await?.try_get(0)?)
}

/// Values for as many columns as there are.
struct Columns(i64);

const WIDTHS: [usize; 9] = [1, 2, 16, 64, 255, 256, 1_000, 1_599, 1_600];

/// The widths at which a writer could not store its rows.
async fn widths(gate: &PgGate) -> Result<Vec<usize>, Failure> {
    let mut refused = Vec::new();
    for width in WIDTHS {
        let names: Vec<String> = (0..width).map(|at| format!("c{at}")).collect();
        let columns: Vec<String> = names.iter().map(|name| format!("{name} INT2")).collect();
        run(gate, &format!("DROP TABLE IF EXISTS widths; CREATE TABLE widths ({})", columns.join(", ")))
            .await?;
        for strategy in [Strategy::Unnest, Strategy::Copy] {
            let shape = Shape::new("widths", names.iter().map(|name| Column::new(name, Kind::Int2)));
            let mut chunk = Chunk::new(shape.clone());
            for row in 0..300 {
                chunk.push(|to| Columns(row).put(width, to))?;
            }
            let mut plan = WritePlan::new(Conflict::Error);
            plan.prepared = std::sync::Arc::new(gate.prepare(&shape, &plan).await?);
            plan.strategy = Some(strategy);
            if gate.write(&[chunk.slice(0..300)], &plan).await.is_err() {
                refused.push(width);
            }
        }
        if number(gate, "SELECT count(*) FROM widths").await? != 600 {
            refused.push(width);
        }
    }
    Ok(refused)
}

impl Columns {
    fn put(&self, width: usize, to: &mut ChunkWriter<'_>) {
        for at in 0..width {
            to.i16(i16::try_from((self.0 + i64::try_from(at).unwrap_or(0)) % 1_000).unwrap_or(0));
        }
    }
}
