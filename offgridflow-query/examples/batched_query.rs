//! The one-shot call: a statement, a batch size, rows.

use offgridflow_query::{Acquire, BatchedQuery, ConnectionPool, GateConfig, SqliteGate};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let gate = SqliteGate::from_url("sqlite::memory:", GateConfig::default())?;
    sqlx::query("CREATE TABLE sensors (id INTEGER PRIMARY KEY, name TEXT)")
        .execute(&mut *gate.acquire(Acquire::default()).await?)
        .await?;

    let rows = (0..100_000i64).map(|id| (id, format!("sensor {id}")));
    let done =
        BatchedQuery::new("INSERT INTO sensors (id, name) VALUES (?, ?)", 8_192).execute(gate, rows).await?;
    println!("{} rows in {} batches: {:.0} rows/s", done.processed, done.batches, done.rows_per_sec());
    Ok(())
}
