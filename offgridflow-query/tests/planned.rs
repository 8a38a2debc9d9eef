//! What SQLite says of a statement concerns the whole flush at once; what it says of a row, that row.
#![cfg(feature = "sqlite")]

use offgridflow_query::sqlx::{self, sqlite::SqliteConnectOptions};
use offgridflow_query::{
    Acquire, BatchWriter, Class, Column, Conflict, ConnectionPool, GateConfig, Kind, Outcome, Shape,
    SqliteGate, Why,
};
use std::str::FromStr;

async fn gate(sql: &'static str) -> SqliteGate {
    let options = SqliteConnectOptions::from_str("sqlite::memory:").unwrap();
    let options = options.foreign_keys(true).pragma("recursive_triggers", "ON");
    let gate = SqliteGate::open(options, GateConfig::default()).unwrap();
    let mut conn = gate.acquire(Acquire::default()).await.unwrap();
    sqlx::raw_sql(sql).execute(&mut *conn).await.unwrap();
    drop(conn);
    gate
}

/// What becomes of a hundred rows, and the transactions it takes.
async fn write(gate: &SqliteGate, conflict: Conflict) -> (Vec<Outcome<(i64, String)>>, u64) {
    let shape = Shape::new("t", [Column::new("id", Kind::Int8), Column::new("v", Kind::Text)]).key(["id"]);
    let writer = BatchWriter::for_shape(gate.clone(), shape).conflict(conflict).start().unwrap();
    let rows = (0..100).map(|id| (id, format!("v{id}")));
    let outcomes = writer.push_group(rows).await.unwrap().outcomes().await;
    (outcomes, writer.close().await.unwrap().stats.transactions)
}

#[tokio::test]
async fn a_statement_that_cannot_be_is_not_searched_for_a_bad_row() {
    for (tables, conflict, words) in [
        (
            "CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT AS (id || 'x'))",
            Conflict::Error,
            "generated column",
        ),
        (
            "CREATE TABLE p (v TEXT); CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT REFERENCES p (v))",
            Conflict::Error,
            "foreign key mismatch",
        ),
        ("CREATE VIRTUAL TABLE t USING fts5 (id, v)", Conflict::Ignore, "UPSERT not implemented"),
    ] {
        let (outcomes, transactions) = write(&gate(tables).await, conflict).await;
        for outcome in outcomes {
            let Outcome::Returned(returned) = outcome else { panic!("{outcome:?}") };
            let Why::Batch(cause) = returned.why else { panic!("{}", returned.why) };
            assert!(cause.class() == Class::Schema && cause.message().contains(words), "{cause}");
        }
        assert!(transactions <= 2, "{words}: {transactions} transactions");
    }
}

#[tokio::test]
async fn a_row_whose_triggers_never_end_is_refused_alone() {
    let gate = gate(
        "CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT); CREATE TABLE steps (n INTEGER); \
         CREATE TRIGGER first AFTER INSERT ON t WHEN new.id = 5 BEGIN INSERT INTO steps VALUES (1); END; \
         CREATE TRIGGER next AFTER INSERT ON steps BEGIN INSERT INTO steps VALUES (new.n + 1); END",
    )
    .await;
    let shape = Shape::new("t", [Column::new("id", Kind::Int8), Column::new("v", Kind::Text)]);
    let writer = BatchWriter::<(i64, String)>::for_shape(gate, shape).start().unwrap();
    let rows = (0..100).map(|id| (id, format!("v{id}")));
    let outcomes = writer.push_many(rows).await.unwrap().outcomes().await;
    let refused: Vec<_> = outcomes.iter().filter(|outcome| !outcome.is_settled()).collect();
    let [Outcome::Rejected(rejected)] = refused[..] else { panic!("{} and {:?}", refused.len(), refused[0]) };
    assert!(rejected.row.0 == 5 && rejected.cause.message().contains("recursion"), "{}", rejected.cause);
    assert_eq!(writer.close().await.unwrap().stats.committed, 99);
}
