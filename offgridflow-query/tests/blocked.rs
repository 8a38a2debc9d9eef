//! One row that cannot pass for now does not keep its neighbours from being stored.
#![cfg(feature = "postgres")]

use offgridflow_query::{
    Acquire, BatchWriter, Class, Column, Conflict, ConnectionPool, GateConfig, Kind, Outcome, PgGate, Retry,
    Shape, Strategy, Why,
};
use sqlx::Executor as _;
use std::time::Duration;

const ROWS: i64 = 64;

fn made(name: &str, sql: &str) -> (PgGate, testkit::Database) {
    let database = testkit::postgres().create_database(name).unwrap();
    database.psql(&format!("CREATE TABLE t (id INT8 PRIMARY KEY, v INT8); {sql}")).unwrap();
    (
        PgGate::from_url(&database.url(), GateConfig { max_open: 3, ..GateConfig::default() }).unwrap(),
        database,
    )
}

fn shape() -> Shape {
    Shape::new("t", [Column::new("id", Kind::Int8), Column::new("v", Kind::Int8)]).key(["id"])
}

/// Writes all rows, patiently enough for two looks; what became of each, and how many transactions it took.
async fn write(gate: &PgGate, conflict: Conflict, strategy: Strategy) -> (Vec<Outcome<(i64, i64)>>, u64) {
    let retry = Retry { attempts: 2, base: Duration::from_millis(1), ..Retry::default() };
    let writer =
        BatchWriter::for_shape(gate.clone(), shape()).conflict(conflict).strategy(strategy).retry(retry);
    let writer = writer.lock_timeout(Duration::from_millis(100)).start().unwrap();
    let outcomes = writer.push_many((0..ROWS).map(|id| (id, 1))).await.unwrap().outcomes().await;
    (outcomes, writer.close().await.unwrap().stats.transactions)
}

fn all_but_one_are_stored(outcomes: &[Outcome<(i64, i64)>], one: usize, code: &str) {
    let stored = outcomes.iter().filter(|outcome| outcome.is_settled()).count();
    assert_eq!(stored, outcomes.len() - 1, "{outcomes:?}");
    let Outcome::Returned(returned) = &outcomes[one] else { panic!("{:?}", outcomes[one]) };
    assert!(
        matches!(&returned.why, Why::Unavailable(cause) if cause.code() == Some(code)),
        "{:?}",
        returned.why
    );
}

#[tokio::test]
async fn a_row_that_somebody_else_holds_is_returned_alone() {
    for (name, conflict, strategy) in [
        ("copied", Conflict::Error, Strategy::Copy),
        ("unnested", Conflict::Error, Strategy::Unnest),
        ("updated", Conflict::Update, Strategy::Unnest),
        ("staged", Conflict::Update, Strategy::Staging),
    ] {
        let (gate, _database) = made(name, "");
        let mut other = gate.acquire(Acquire::default()).await.unwrap();
        other.execute("BEGIN; INSERT INTO t VALUES (5, 0)").await.unwrap();
        let (outcomes, _) = write(&gate, conflict, strategy).await;
        all_but_one_are_stored(&outcomes, 5, "55P03");
        other.execute("ROLLBACK").await.unwrap();
    }
}

#[tokio::test]
async fn a_row_for_which_a_trigger_raises_what_passes_elsewhere_is_returned_alone() {
    for (name, strategy) in [("raised_copied", Strategy::Copy), ("raised_unnested", Strategy::Unnest)] {
        let (gate, _database) = made(
            name,
            "CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
             IF NEW.id = 5 THEN RAISE 'not now' USING ERRCODE = '40001'; END IF; RETURN NEW; END $$; \
             CREATE TRIGGER f BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION f()",
        );
        let (outcomes, _) = write(&gate, Conflict::Error, strategy).await;
        all_but_one_are_stored(&outcomes, 5, "40001");
    }
}

/// Where the whole table is locked a search would only make the wait longer.
#[tokio::test]
async fn a_table_that_somebody_else_holds_is_not_searched() {
    for (name, strategy) in [("table_copied", Strategy::Copy), ("table_unnested", Strategy::Unnest)] {
        let (gate, _database) = made(name, "");
        let mut other = gate.acquire(Acquire::default()).await.unwrap();
        other.execute("BEGIN; LOCK TABLE t IN SHARE MODE").await.unwrap();
        let (outcomes, transactions) = write(&gate, Conflict::Error, strategy).await;
        assert_eq!(transactions, 2, "as many as `Retry` allows");
        for outcome in &outcomes {
            let Outcome::Returned(returned) = outcome else { panic!("{outcome:?}") };
            assert!(matches!(&returned.why, Why::Unavailable(cause) if cause.class() == Class::Contention));
        }
        other.execute("ROLLBACK").await.unwrap();
    }
}
