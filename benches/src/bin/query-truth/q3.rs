//! Q3: batches with random bad rows, on both databases. The table must hold the good ones, the bad ones must come back with
//! the right class, and every row must be accounted for. Control: a writer that does not search for the bad row.

use std::collections::BTreeSet;

use benches::figures::{full, seed};
use benches::row;
use offgridflow_query::sqlx::{AssertSqlSafe, Row as _, query, raw_sql};
use offgridflow_query::{
    Acquire, BatchConnection, BatchExecutor, BatchWriter, Chunk, Conflict, ConnectionPool, Gate, GateConfig,
    GateDatabase, Outcome, Row, SqliteGate, WritePlan, sqlx,
};

use crate::Failure;
use crate::dice::Dice;
use crate::poison::{Expected, POSTGRES, Part, SQLITE, batch};
use crate::programs::gate;

/// What went wrong over many batches.
#[derive(Default)]
struct Found {
    batches: usize,
    rows: u64,
    bad: u64,
    wrong_table: u64,
    wrong_class: u64,
    unaccounted: u64,
    control_wrong: u64,
}

pub(crate) async fn main() -> Result<(), Failure> {
    let (seed, batches) = (seed(), if full() { 5_000 } else { 350 });
    let server = testkit::Postgres::start()?;
    let large = gate(&server.url(), 4)?;
    let folder = tempfile::tempdir()?;
    let url = format!("sqlite:{}", folder.path().join("poison.db").display());
    let small = SqliteGate::from_url(&url, GateConfig::default())?;
    let mut dice = Dice::new(seed);
    let postgres = on_postgres(&large, &mut dice, batches).await?;
    let sqlite = on_sqlite(&small, &mut dice, batches).await?;
    let sum = |of: fn(&Found) -> u64| of(&postgres) + of(&sqlite);
    for (name, found) in [("postgresql", &postgres), ("sqlite", &sqlite)] {
        row!(
            "{name:<11} {} batches, {} rows, {} bad; wrong: table {}, class {}, unaccounted {}; control {}",
            found.batches,
            found.rows,
            found.bad,
            found.wrong_table,
            found.wrong_class,
            found.unaccounted,
            found.control_wrong
        );
    }
    let (table, class, lost) = (sum(|f| f.wrong_table), sum(|f| f.wrong_class), sum(|f| f.unaccounted));
    let control = sum(|f| f.control_wrong);
    println!(
        "{} measured=wrong-tables={table},wrong-classes={class},unaccounted={lost} control=without-bisect-{control}-wrong-tables \
         n={}-batches,{}-rows,{}-bad seed {seed}",
        if table + class + lost == 0 && control > 0 { "PASS" } else { "FAIL" },
        postgres.batches + sqlite.batches,
        sum(|f| f.rows),
        sum(|f| f.bad),
    );
    Ok(())
}

macro_rules! on {
    ($name:ident, $database:ty, $table:expr, $strict:expr) => {
        async fn $name(gate: &Gate<$database>, dice: &mut Dice, batches: usize) -> Result<Found, Failure> {
            let mut conn = gate.acquire(Acquire::default()).await?;
            raw_sql($table).execute(&mut *conn).await?;
            drop(conn);
            let mut found = Found { batches, ..Found::default() };
            for _ in 0..batches {
                let most = if dice.once_in(20) { 2_000 } else { 120 };
                let (rows, rarity) = (i64::try_from(1 + dice.below(most))?, 2 + dice.below(40));
                let parts = batch(dice, 1_000, rows, rarity);
                let mut expected = Expected::new($strict);
                let verdicts: Vec<_> = parts.iter().map(|part| expected.judge(part)).collect();
                found.rows += parts.len() as u64;
                found.bad += verdicts.iter().flatten().count() as u64;

                let mut conn = gate.acquire(Acquire::default()).await?;
                raw_sql("DELETE FROM parts").execute(&mut *conn).await?;
                drop(conn);
                without_bisect(gate, &parts).await?;
                let stored = stored_in(gate).await?;
                found.control_wrong += u64::from(stored != *expected.stored());

                let mut conn = gate.acquire(Acquire::default()).await?;
                raw_sql("DELETE FROM parts").execute(&mut *conn).await?;
                drop(conn);
                let writer = BatchWriter::<Part>::builder(gate.clone()).max_rejects(10_000).start()?;
                let outcomes = writer.push_many(parts).await?.outcomes().await;
                let report = writer.close().await?;
                for (outcome, verdict) in outcomes.iter().zip(&verdicts) {
                    let right = match (outcome, verdict) {
                        (Outcome::Settled(_), None) => true,
                        (Outcome::Rejected(rejected), Some(class)) => rejected.cause.class() == *class,
                        _ => false,
                    };
                    found.wrong_class += u64::from(!right);
                }
                found.unaccounted += report.stats.rows_in.abs_diff(report.stats.settled())
                    + report.stats.conservation_violations;
                let stored = stored_in(gate).await?;
                found.wrong_table += u64::from(stored != *expected.stored());
            }
            Ok(found)
        }
    };
}
on!(on_postgres, sqlx::Postgres, POSTGRES, true);
on!(on_sqlite, sqlx::Sqlite, SQLITE, false);

/// One write a batch; an error rejects the batch.
async fn without_bisect<DB: GateDatabase>(gate: &Gate<DB>, parts: &[Part]) -> Result<(), Failure>
where
    DB::Connection: BatchConnection,
{
    let mut chunk = Chunk::new(Part::shape());
    for part in parts {
        chunk.push(|to| part.put(to))?;
    }
    let _refused = gate.write(&[chunk.slice(0..chunk.len())], &WritePlan::new(Conflict::Error)).await;
    Ok(())
}

/// The ids in the table. The one statement that both databases read alike.
async fn stored_in<DB: Ids>(gate: &Gate<DB>) -> Result<BTreeSet<i64>, Failure> {
    DB::ids(gate).await
}

trait Ids: GateDatabase {
    async fn ids(gate: &Gate<Self>) -> Result<BTreeSet<i64>, Failure>;
}

macro_rules! ids {
    ($($database:ty),+) => {$(
        impl Ids for $database {
            async fn ids(gate: &Gate<Self>) -> Result<BTreeSet<i64>, Failure> {
                let mut conn = gate.acquire(Acquire::default()).await?;
                let rows = query(AssertSqlSafe("SELECT id FROM parts")).fetch_all(&mut *conn).await?;
                rows.iter().map(|row| Ok(row.try_get(0)?)).collect()
            }
        }
    )+};
}
ids!(sqlx::Postgres, sqlx::Sqlite);
