//! The same rows by hand: bytes encoded beforehand, and rows bound one by one.

use std::time::{Duration, Instant};

use offgridflow_query::sqlx::{Postgres, QueryBuilder};
use offgridflow_query::{Acquire, ConnectionPool, PgGate, sqlx};

use crate::Failure;
use crate::rows::Sample;

/// COPY of bytes that are there already, in pieces of 128 KiB.
pub(crate) async fn ceiling(gate: &PgGate, table: &str, bytes: &[u8]) -> Result<Duration, Failure> {
    let mut conn = gate.acquire(Acquire::default()).await?;
    let started = Instant::now();
    let mut copy = conn.copy_in_raw(&format!("COPY {table} FROM STDIN (FORMAT binary)")).await?;
    for piece in bytes.chunks(128 << 10) {
        copy.send(piece).await?;
    }
    copy.finish().await?;
    Ok(started.elapsed())
}

/// `size` rows a statement, each in a transaction of its own, as it stands in sqlx's documentation.
pub(crate) async fn push_values<R: Sample>(
    gate: &PgGate,
    rows: i64,
    size: usize,
) -> Result<Duration, Failure> {
    let mut conn = gate.acquire(Acquire::default()).await?;
    let started = Instant::now();
    let mut ids = 0..rows;
    loop {
        let batch: Vec<R> = ids.by_ref().take(size).map(R::nth).collect();
        if batch.is_empty() {
            return Ok(started.elapsed());
        }
        let mut builder = QueryBuilder::<Postgres>::new(format!("INSERT INTO {} ", R::NAME));
        builder.push_values(batch, |row, value| value.bind(row));
        builder.build().execute(&mut *conn).await.map(drop).map_err(|error: sqlx::Error| error)?;
    }
}
