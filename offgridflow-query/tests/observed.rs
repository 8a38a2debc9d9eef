//! What an observed executor sees of sqlx's own queries.
#![cfg(all(feature = "postgres", feature = "sqlite", feature = "observe"))]

use futures_util::TryStreamExt;
use offgridflow_query::{
    Acquire, Class, ConnectionPool, ErrorCount, GateConfig, Observer, PgGate, SqliteGate, StatementStats,
};
use sqlx::{AssertSqlSafe, Executor, Statement};
use std::time::Duration;

fn sqlite() -> SqliteGate {
    SqliteGate::from_url("sqlite::memory:", GateConfig::default()).unwrap()
}

fn postgres(database: &testkit::Database) -> PgGate {
    PgGate::from_url(&database.url(), GateConfig { max_open: 1, ..GateConfig::default() }).unwrap()
}

/// The figures of the statement whose normal form begins so.
fn of(observer: &Observer, beginning: &str) -> StatementStats {
    let statements = observer.report().statements;
    let found = statements.iter().find(|stats| stats.text.starts_with(beginning));
    found.unwrap_or_else(|| panic!("{beginning} in {statements:?}")).clone()
}

fn classes(stats: &StatementStats) -> Vec<(Class, u64)> {
    stats.by_class.iter().map(|&ErrorCount { class, times, .. }| (class, times)).collect()
}

/// Every way of asking, on one connection; the same on each database.
macro_rules! asks_in_every_way {
    ($conn:expr, $observer:expr) => {{
        let (conn, observer): (&mut _, &Observer) = ($conn, $observer);
        conn.execute("CREATE TABLE t (id BIGINT PRIMARY KEY, v TEXT NOT NULL)").await.unwrap();
        for id in 0..5i64 {
            let insert = sqlx::query("INSERT INTO t VALUES ($1, $2)").bind(id).bind("x");
            insert.execute(observer.on(&mut *conn)).await.unwrap();
        }
        let twice = sqlx::query("INSERT INTO t VALUES ($1, $2)").bind(1i64).bind("x");
        assert!(twice.execute(observer.on(&mut *conn)).await.is_err());
        let back: Vec<(i64,)> = sqlx::query_as("UPDATE t SET v = $1 WHERE id < $2 RETURNING id")
            .bind("y")
            .bind(3i64)
            .fetch_all(observer.on(&mut *conn))
            .await
            .unwrap();
        assert_eq!(back.len(), 3);
        let all: Vec<(i64, String)> = sqlx::query_as("SELECT id, v FROM t ORDER BY id")
            .fetch_all(observer.on(&mut *conn))
            .await
            .unwrap();
        assert_eq!((all.len(), all[0].1.as_str(), all[4].1.as_str()), (5, "y", "x"));
        let none = sqlx::query("SELECT v FROM t WHERE id = $1").bind(99i64);
        assert!(none.fetch_optional(observer.on(&mut *conn)).await.unwrap().is_none());
        let mut rows = sqlx::query("SELECT id FROM t").fetch(observer.on(&mut *conn));
        assert!(rows.try_next().await.unwrap().is_some());
        drop(rows);
        let text = format!("SELECT count(*) FROM t WHERE v = '{}'", "y");
        let (count,): (i64,) =
            sqlx::query_as(AssertSqlSafe(text)).fetch_one(observer.on(&mut *conn)).await.unwrap();
        assert_eq!(count, 3);
        let prepared = observer
            .on(&mut *conn)
            .prepare(sqlx::SqlStr::from_static("SELECT v FROM t WHERE id > $1"))
            .await
            .unwrap();
        assert_eq!(prepared.query().bind(2i64).fetch_all(observer.on(&mut *conn)).await.unwrap().len(), 2);
        observer.on(&mut *conn).execute("DELETE FROM t WHERE id = 0").await.unwrap();
    }};
}

fn saw_every_way(observer: &Observer, duplicate: Class) {
    let insert = of(observer, "insert into t");
    assert_eq!((insert.calls, insert.rows, insert.errors, classes(&insert)), (6, 5, 1, vec![(duplicate, 1)]));
    let update = of(observer, "update t");
    assert_eq!((update.calls, update.rows), (1, 3));
    let all = of(observer, "select id, v from t");
    assert_eq!((all.calls, all.rows), (1, 5), "once each, whatever was changed before");
    assert!(
        all.first_row.sum_ns > 0 && all.first_row.sum_ns + all.consumer.sum_ns <= all.latency.sum_ns,
        "{all:?}"
    );
    let none = of(observer, "select v from t where id = ?");
    assert_eq!((none.calls, none.rows, none.errors), (1, 0, 0));
    let left = of(observer, "select id from t");
    assert_eq!((left.calls, left.cancelled), (1, 1), "its reader went away");
    assert_eq!(of(observer, "select count").rows, 1);
    let prepared = of(observer, "select v from t where id > ?");
    assert_eq!((prepared.calls, prepared.rows), (1, 2));
    assert_eq!(of(observer, "delete from t").rows, 1);
}

#[tokio::test]
async fn every_way_of_asking_is_seen_on_sqlite() {
    let (gate, observer) = (sqlite(), Observer::new("sqlite"));
    let mut conn = gate.acquire(Acquire::default()).await.unwrap();
    asks_in_every_way!(&mut *conn, &observer);
    saw_every_way(&observer, Class::Unique);
}

#[tokio::test]
async fn every_way_of_asking_is_seen_on_postgresql() {
    let database = testkit::postgres().create_database("observed").unwrap();
    let (gate, observer) = (postgres(&database), Observer::new("postgresql"));
    let mut conn = gate.acquire(Acquire::default()).await.unwrap();
    asks_in_every_way!(&mut *conn, &observer);
    saw_every_way(&observer, Class::Unique);
}

#[tokio::test]
async fn what_a_reader_does_with_the_rows_is_not_the_databases_time() {
    let (gate, observer) = (sqlite(), Observer::new("sqlite"));
    let mut conn = gate.acquire(Acquire::default()).await.unwrap();
    let sql = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 4) SELECT i FROM n";
    let mut rows = sqlx::query(sql).fetch(observer.on(&mut *conn));
    while rows.try_next().await.unwrap().is_some() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    drop(rows);
    let stats = of(&observer, "with recursive");
    assert!(stats.consumer.sum_ns >= 80_000_000, "four rows of 20 ms each: {stats:?}");
    assert!(stats.latency.sum_ns >= stats.consumer.sum_ns + stats.first_row.sum_ns, "{stats:?}");
}

#[tokio::test]
async fn the_wait_for_a_connection_counts_with_the_first_statement_on_it() {
    let database = testkit::postgres().create_database("waited").unwrap();
    let (gate, observer) = (postgres(&database), Observer::new("postgresql"));
    let held = gate.acquire(Acquire::default()).await.unwrap();
    let waiting = observer.acquire(&gate, Acquire::default());
    let release = async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        drop(held);
    };
    let (conn, ()) = tokio::join!(waiting, release);
    let mut conn = conn.unwrap();
    for _ in 0..2 {
        sqlx::query("SELECT 1").execute(conn.on()).await.unwrap();
    }
    let stats = of(&observer, "select ?");
    assert_eq!((stats.calls, stats.waited.count), (2, 1));
    assert!(stats.waited.sum_ns >= 50_000_000 && stats.latency.sum_ns > 0, "{stats:?}");
}

#[tokio::test]
async fn a_failed_statement_has_its_class_and_a_transaction_is_observed_too() {
    let database = testkit::postgres().create_database("classes").unwrap();
    let (gate, observer) = (postgres(&database), Observer::new("postgresql"));
    let mut conn = gate.acquire(Acquire::default()).await.unwrap();
    let mut tx = sqlx::Connection::begin(&mut *conn).await.unwrap();
    for sql in ["SELECT a FROM nowhere", "SELECT 1 / $1::int8"] {
        let mut savepoint = sqlx::Connection::begin(&mut *tx).await.unwrap();
        let failed = sqlx::query(sql).bind(0i64).fetch_all(observer.on(&mut *savepoint)).await;
        assert!(failed.is_err());
    }
    assert_eq!(classes(&of(&observer, "select a from nowhere")), [(Class::Schema, 1)]);
    assert_eq!(classes(&of(&observer, "select ? / ?")), [(Class::Data, 1)]);
}
