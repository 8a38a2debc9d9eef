//! SQLite's files: locks that are waited for.
#![cfg(feature = "sqlite")]

use offgridflow_query::sqlx::{self, Executor};
use offgridflow_query::{
    Acquire, BatchWriter, Column, ConnectionPool, GateConfig, Kind, Retry, Shape, SqliteGate,
};
use std::path::Path;
use std::time::Duration;

fn open(file: &Path, query: &str) -> SqliteGate {
    let url = format!("sqlite:{}{query}", file.display());
    SqliteGate::from_url(&url, GateConfig { max_open: 1, reserve: Some(0), ..GateConfig::default() }).unwrap()
}

async fn run(gate: &SqliteGate, sql: &'static str) {
    gate.acquire(Acquire::default()).await.unwrap().execute(sqlx::raw_sql(sql)).await.unwrap();
}

async fn number(gate: &SqliteGate, sql: &'static str) -> i64 {
    let mut conn = gate.acquire(Acquire::default()).await.unwrap();
    sqlx::query_scalar(sql).fetch_one(&mut *conn).await.unwrap()
}

/// The next user of the connection counts on its own.
#[tokio::test]
async fn a_writers_lock_timeout_stays_its_own() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("a.db");
    let (gate, other) = (open(&file, ""), open(&file, ""));
    run(&gate, "CREATE TABLE t (id INTEGER PRIMARY KEY)").await;
    assert_eq!(number(&gate, "PRAGMA busy_timeout").await, 5_000);
    let writer =
        BatchWriter::<(i64,)>::for_shape(gate.clone(), Shape::new("t", [Column::new("id", Kind::Int8)]));
    let writer = writer.lock_timeout(Duration::from_millis(20)).retry(Retry::never()).start().unwrap();
    writer.reserve().await.unwrap().push((1,)).committed().await.unwrap();
    assert_eq!(number(&gate, "PRAGMA busy_timeout").await, 5_000, "after a commit");
    writer.reserve().await.unwrap().push((1,)).committed().await.unwrap_err();
    assert_eq!(number(&gate, "PRAGMA busy_timeout").await, 5_000, "after a rejected row");
    let mut lock = other.acquire(Acquire::default()).await.unwrap();
    lock.execute("BEGIN IMMEDIATE").await.unwrap();
    writer.reserve().await.unwrap().push((2,)).committed().await.unwrap_err();
    assert_eq!(number(&gate, "PRAGMA busy_timeout").await, 5_000, "after a lock that was not to be had");
    drop(lock);
    assert_eq!(writer.close().await.unwrap().stats.committed, 1);
}
