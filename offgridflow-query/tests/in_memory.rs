//! An in-memory database lives in its connection: the gate keeps that one, whatever happens to it.
#![cfg(feature = "sqlite")]

use offgridflow_query::sqlx::sqlite::{SqliteConnectOptions, SqlitePoolOptions};
use offgridflow_query::sqlx::{self, Connection, Executor, SqliteConnection};
use offgridflow_query::{Acquire, ConnectionPool, GateConfig, Guard, SqliteGate, Tx};
use std::sync::mpsc;
use std::time::Duration;
use tokio::time::{advance, pause, resume};

const MS: Duration = Duration::from_millis(1);

async fn take(gate: &SqliteGate) -> Guard<SqliteConnection> {
    gate.acquire(Acquire::default().within(Duration::from_secs(60))).await.unwrap()
}

async fn rows(gate: &SqliteGate) -> i64 {
    sqlx::query_scalar("SELECT count(*) FROM t").fetch_one(&mut *take(gate).await).await.unwrap()
}

/// A gate with one row in its database.
async fn filled(gate: SqliteGate) -> SqliteGate {
    take(&gate)
        .await
        .execute("CREATE TABLE t (n INTEGER PRIMARY KEY); INSERT INTO t VALUES (1)")
        .await
        .unwrap();
    gate
}

async fn in_memory() -> SqliteGate {
    filled(SqliteGate::from_url("sqlite::memory:", GateConfig::default()).unwrap()).await
}

/// A statement that goes on until the sender is dropped, and that nobody waits for.
async fn forsake_a_statement(gate: &SqliteGate) -> mpsc::Sender<()> {
    let (go_on, waits) = mpsc::channel::<()>();
    let (begins, begun) = tokio::sync::oneshot::channel();
    let mut begins = Some(begins);
    let mut conn = take(gate).await;
    conn.lock_handle().await.unwrap().set_progress_handler(1, move || {
        if let Some(begins) = begins.take() {
            let _ = begins.send(());
            let _ = waits.recv();
        }
        true
    });
    tokio::select! {
        biased;
        _ = conn.fetch_all("SELECT * FROM t") => unreachable!("it waits"),
        begun = begun => begun.unwrap(),
    }
    go_on
}

#[tokio::test]
async fn a_dropped_statement_is_waited_out_however_long_it_takes() {
    let gate = in_memory().await;
    let statement = forsake_a_statement(&gate).await;
    pause();
    for _ in 0..100 {
        advance(Duration::from_secs(1)).await;
    }
    resume();
    assert_eq!((gate.status().open, gate.status().in_use), (1, 1));
    drop(statement);
    assert_eq!(rows(&gate).await, 1);
    let status = gate.status();
    assert_eq!((status.connect.count, status.broken, status.dead), (1, 0, 0));
}

#[tokio::test]
async fn closing_does_not_wait_for_a_statement_that_nobody_waits_for() {
    let gate = in_memory().await;
    let _statement = forsake_a_statement(&gate).await;
    tokio::time::timeout(Duration::from_secs(60), gate.close()).await.unwrap();
    assert_eq!(gate.status().open, 0);
}

/// Whoever made the gate, and whatever its settings say about closing connections.
#[tokio::test]
async fn neither_age_nor_surplus_nor_a_test_closes_it() {
    let config = || GateConfig {
        max_idle: 0,
        surplus_linger: Duration::ZERO,
        max_lifetime: Some(40 * MS),
        test_after_idle: Duration::ZERO,
        keepalive: Some(4 * MS),
        ..GateConfig::default()
    };
    let pool = SqlitePoolOptions::new().max_connections(3);
    let gates = [
        SqliteGate::from_url("sqlite::memory:", config()).unwrap(),
        SqliteGate::open(SqliteConnectOptions::new(), config()).unwrap(),
        SqliteGate::open(SqliteConnectOptions::new().filename("some").in_memory(true), config()).unwrap(),
        SqliteGate::over(pool.connect_lazy("sqlite::memory:").unwrap(), config()).unwrap(),
    ];
    for gate in gates {
        let gate = filled(gate).await;
        pause();
        for _ in 0..10 {
            advance(Duration::from_secs(1)).await;
        }
        resume();
        assert_eq!(rows(&gate).await, 1);
        let status = gate.status();
        assert_eq!((status.max_open, status.connect.count), (1, 1));
        assert_eq!((status.retired, status.surplus, status.dead), (0, 0, 0));
    }
}

#[tokio::test]
async fn a_broken_connection_is_brought_in_order() {
    let gate = in_memory().await;
    let mut conn = take(&gate).await;
    conn.mark_broken();
    conn.execute("BEGIN; INSERT INTO t VALUES (2)").await.unwrap();
    conn.lock_handle().await.unwrap().set_commit_hook(|| false); // as a rehearsal that was cut short
    drop(conn);
    assert_eq!(rows(&gate).await, 1, "rolled back");
    assert_eq!(gate.status().broken, 1);
    take(&gate).await.execute("INSERT INTO t VALUES (2)").await.unwrap();
    assert_eq!((rows(&gate).await, gate.status().connect.count), (2, 1));
}

#[tokio::test]
async fn a_refused_commit_leaves_the_database() {
    let gate = in_memory().await;
    let child = "CREATE TABLE c (n REFERENCES t DEFERRABLE INITIALLY DEFERRED)";
    take(&gate).await.execute(child).await.unwrap();
    let mut tx = Tx::begin(take(&gate).await).await.unwrap();
    tx.execute("INSERT INTO c VALUES (9)").await.unwrap();
    tx.commit().await.unwrap_err();
    assert_eq!((rows(&gate).await, gate.status().connect.count), (1, 1));
}

/// sqlx 0.9.0 goes on counting a transaction that SQLite ended by itself, and one that was forgotten.
#[tokio::test]
async fn a_transaction_that_the_driver_miscounts_leaves_the_database() {
    let gate = in_memory().await;
    let mut conn = take(&gate).await;
    let mut transaction = conn.begin().await.unwrap();
    transaction.execute("INSERT OR ROLLBACK INTO t VALUES (1)").await.unwrap_err();
    drop(transaction);
    drop(conn);
    assert_eq!(rows(&gate).await, 1);

    let mut conn = take(&gate).await;
    let mut transaction = conn.begin().await.unwrap();
    transaction.execute("INSERT INTO t VALUES (2)").await.unwrap();
    std::mem::forget(transaction);
    drop(conn);
    assert_eq!(rows(&gate).await, 1, "rolled back");

    let mut conn = take(&gate).await;
    let mut transaction = conn.begin().await.unwrap();
    transaction.execute("INSERT INTO t VALUES (3)").await.unwrap();
    transaction.commit().await.unwrap();
    drop(conn);
    assert_eq!((rows(&gate).await, gate.status().connect.count), (2, 1));
}
