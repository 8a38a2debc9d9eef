//! Many tasks push rows into one writer; a bad row comes back with the database's reason.

use offgridflow_query::{Acquire, BatchWriter, ConnectionPool, GateConfig, Outcome, SqliteGate, row};
use std::sync::Arc;

struct Reading {
    id: i64,
    watts: f64,
}
row!(Reading in "readings" { id, watts } key { id });

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let gate = SqliteGate::from_url("sqlite::memory:", GateConfig::default())?;
    sqlx::query("CREATE TABLE readings (id INTEGER PRIMARY KEY, watts REAL CHECK (watts >= 0))")
        .execute(&mut *gate.acquire(Acquire::default()).await?)
        .await?;

    let writer = Arc::new(BatchWriter::<Reading>::builder(gate).start()?);
    let mut tasks = Vec::new();
    for task in 0..10 {
        let writer = Arc::clone(&writer);
        tasks.push(tokio::spawn(async move {
            for n in 0..100 {
                let id = task * 100 + n;
                let row = Reading { id, watts: if id == 512 { -1.0 } else { 230.0 } };
                let Ok(permit) = writer.reserve().await else { return };
                if let Outcome::Rejected(rejected) = permit.push(row).outcome().await {
                    println!("row {} was rejected: {}", rejected.row.id, rejected.cause);
                }
            }
        }));
    }
    for task in tasks {
        task.await?;
    }

    let stats = writer.close().await?.stats;
    println!("{} rows committed in {} flushes, {} rejected", stats.committed, stats.flushes, stats.rejected);
    Ok(())
}
