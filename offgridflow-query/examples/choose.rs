//! SQLite or PostgreSQL, chosen at run time: the writer's type is the same.
//!
//! `DATABASE_URL=postgres://… cargo run -p offgridflow-query --features postgres --example choose`

use offgridflow_query::{Acquire, BatchWriter, Conflict, ConnectionPool, GateConfig, SqliteGate, row};

struct Visit {
    page: String,
    hits: i64,
}
row!(Visit in "visits" { page, hits } key { page });

const TABLE: &str = "CREATE TABLE IF NOT EXISTS visits (page TEXT PRIMARY KEY, hits BIGINT NOT NULL)";

async fn open(url: &str) -> Result<BatchWriter<Visit>, Box<dyn std::error::Error>> {
    #[cfg(feature = "postgres")]
    if url.starts_with("postgres") {
        let gate = offgridflow_query::PgGate::from_url(url, GateConfig::default())?;
        sqlx::query(TABLE).execute(&mut *gate.acquire(Acquire::default()).await?).await?;
        return Ok(BatchWriter::builder(gate).conflict(Conflict::Update).start()?);
    }
    let gate = SqliteGate::from_url(url, GateConfig::default())?;
    sqlx::query(TABLE).execute(&mut *gate.acquire(Acquire::default()).await?).await?;
    Ok(BatchWriter::builder(gate).conflict(Conflict::Update).start()?)
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let url = std::env::var("DATABASE_URL").unwrap_or_else(|_| "sqlite::memory:".into());
    let writer = open(&url).await?;
    let visits = ["/", "/about", "/"].into_iter().zip(1..);
    let tickets = writer.push_many(visits.map(|(page, hits)| Visit { page: page.into(), hits })).await?;
    for outcome in tickets.outcomes().await {
        println!("{:?}", outcome.committed()?.fate);
    }
    assert!(writer.close().await?.is_clean());
    Ok(())
}
