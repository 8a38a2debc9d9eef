//! SQLite's files: locks that are waited for, addresses that only read, names without case.
#![cfg(feature = "sqlite")]

use offgridflow_query::sqlx::{self, Executor};
use offgridflow_query::{
    Acquire, BatchWriter, Column, ConfigError, ConnectionPool, GateConfig, Kind, Retry, Shape, SqliteGate,
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

/// Where two columns differ only in case SQLite takes the first for both, and drops what the second was to have.
#[tokio::test]
async fn columns_that_sqlite_takes_for_one_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let gate = open(&dir.path().join("a.db"), "");
    let start = |one: &str, two: &str| {
        let columns = [Column::new(one, Kind::Int8), Column::new(two, Kind::Int8)];
        BatchWriter::<(i64, i64)>::for_shape(gate.clone(), Shape::new("t", columns)).start()
    };
    let refused = start("id", "ID").unwrap_err();
    assert!(matches!(refused, ConfigError::Shape { .. }), "{refused}");
    assert!(refused.to_string().contains("\"id\" and \"ID\""), "{refused}");
    let writer = start("größe", "GRÖSSE").unwrap();
    let _ = writer.close().await.unwrap();
    run(&gate, "CREATE TABLE t (ä INTEGER, Ä INTEGER)").await; // only ASCII has no case
    let writer = start("ä", "Ä").unwrap();
    writer.reserve().await.unwrap().push((1, 2)).committed().await.unwrap();
    assert_eq!(number(&gate, "SELECT 10 * ä + Ä FROM t").await, 12);
    let _ = writer.close().await.unwrap();
}

/// A file that is not in WAL mode stays as it is where the address only reads it.
#[tokio::test]
async fn an_address_that_only_reads_opens_every_file() {
    for journal in ["PRAGMA journal_mode = delete", "PRAGMA journal_mode = wal"] {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("a.db");
        let gate = open(&file, "");
        run(&gate, journal).await;
        run(&gate, "CREATE TABLE t (id INTEGER); INSERT INTO t VALUES (7)").await;
        gate.close().await;
        for query in ["?mode=ro", "?immutable=1", "?immutable=true&mode=ro", "?mode=ro&immutable=0"] {
            let gate = open(&file, query);
            assert_eq!(number(&gate, "SELECT id FROM t").await, 7, "{journal} {query}");
            let mut conn = gate.acquire(Acquire::default()).await.unwrap();
            conn.execute("INSERT INTO t VALUES (8)").await.unwrap_err();
        }
    }
}
