//! One row that the server refuses with a code that speaks of something else is found all the same.
#![cfg(feature = "postgres")]

use offgridflow_query::{
    BatchWriter, Column, Conflict, Delivery, GateConfig, Kind, Numeric, Outcome, PgGate, Retry, Shape,
    Strategy, Why,
};
use std::time::Duration;

const ROWS: i64 = 200;
const BAD: i64 = 77;

fn made(name: &str, sql: &str) -> (PgGate, testkit::Database) {
    let database = testkit::postgres().create_database(name).unwrap();
    database.psql(sql).unwrap();
    (PgGate::from_url(&database.url(), GateConfig::default()).unwrap(), database)
}

/// A table whose trigger raises `code` for rows of which `refused` holds, and a writer's shape for it.
fn judged(name: &str, code: &str, refused: &str, trigger: &str) -> (PgGate, testkit::Database, Shape) {
    let sql = format!(
        "CREATE TABLE t (id INT8 PRIMARY KEY, v INT8); CREATE FUNCTION judge() RETURNS trigger LANGUAGE plpgsql AS \
         $$ BEGIN IF {refused} THEN RAISE EXCEPTION 'no' USING ERRCODE = '{code}'; END IF; RETURN NEW; END $$; \
         CREATE {trigger} FOR EACH ROW EXECUTE FUNCTION judge()"
    );
    let (gate, database) = made(name, &sql);
    (
        gate,
        database,
        Shape::new("t", [Column::new("id", Kind::Int8), Column::new("v", Kind::Int8)]).key(["id"]),
    )
}

const BEFORE: &str = "TRIGGER judge BEFORE INSERT ON t";
const AT_COMMIT: &str = "CONSTRAINT TRIGGER judge AFTER INSERT ON t DEFERRABLE INITIALLY DEFERRED";

fn quick() -> Retry {
    Retry { attempts: 2, base: Duration::from_millis(1), ..Default::default() }
}

fn all_but_one<R: std::fmt::Debug>(outcomes: &[Outcome<R>], code: &str) {
    for (at, outcome) in (0..).zip(outcomes) {
        let refused = match outcome {
            Outcome::Rejected(row) => row.cause.code() == Some(code),
            Outcome::Returned(row) => {
                matches!(&row.why, Why::Unavailable(cause) if cause.code() == Some(code))
            }
            Outcome::Settled(_) => false,
        };
        assert_eq!(refused, at == BAD, "{code}: row {at}: {outcome:?}");
    }
}

#[tokio::test]
async fn a_trigger_that_speaks_of_rights_servers_or_links_refuses_its_row_alone() {
    for code in ["42501", "28000", "25006", "0A000", "42704", "08006", "57P01", "57P03", "53100", "XX000"] {
        let (gate, _database, shape) = judged("raised", code, "NEW.v = 1", BEFORE);
        let writer = BatchWriter::<(i64, i64)>::for_shape(gate, shape).retry(quick()).start().unwrap();
        let rows = (0..ROWS).map(|id| (id, i64::from(id == BAD)));
        all_but_one(&writer.push_many(rows).await.unwrap().outcomes().await, code);
        let _ = writer.close().await.unwrap();
    }
}

/// What every row meets is the batch's, and no row is blamed for it.
#[tokio::test]
async fn a_right_that_is_missing_for_every_row_rejects_none() {
    let (gate, _database, shape) = judged("rightless", "42501", "true", BEFORE);
    let writer = BatchWriter::<(i64, i64)>::for_shape(gate, shape).start().unwrap();
    let outcomes = writer.push_many((0..ROWS).map(|id| (id, 0))).await.unwrap().outcomes().await;
    for outcome in &outcomes {
        let Outcome::Returned(returned) = outcome else { panic!("{outcome:?}") };
        assert!(
            matches!(&returned.why, Why::Batch(cause) if cause.code() == Some("42501")),
            "{}",
            returned.why
        );
    }
    assert!(writer.close().await.unwrap().stats.transactions < 60);
}

/// Functions that read a value have no context to say so.
#[tokio::test]
async fn a_value_that_a_function_cannot_read_refuses_its_row_alone_by_every_strategy() {
    let generated = "CREATE TABLE t (id INT8 PRIMARY KEY, v TEXT, q TSQUERY GENERATED ALWAYS AS (to_tsquery('english', v)) STORED)";
    let typed = "CREATE TABLE t (id INT8 PRIMARY KEY, v TEXT CHECK (v::regtype IS NOT NULL))";
    let related = "CREATE TABLE t (id INT8 PRIMARY KEY, v TEXT CHECK (v::regclass IS NOT NULL))";
    for (sql, good, bad, code) in [
        (generated, "a & b", "a b c &&", "42601"),
        (typed, "int8", "int9", "42704"),
        (related, "t", "secret4711", "42P01"),
    ] {
        for (strategy, conflict) in [
            (Strategy::Unnest, Conflict::Error),
            (Strategy::Copy, Conflict::Error),
            (Strategy::Staging, Conflict::Ignore),
        ] {
            let (gate, _database) = made("read", sql);
            let shape =
                Shape::new("t", [Column::new("id", Kind::Int8), Column::new("v", Kind::Text)]).key(["id"]);
            let writer = BatchWriter::<(i64, String)>::for_shape(gate, shape).conflict(conflict);
            let writer = writer.strategy(strategy).start().unwrap();
            let rows = (0..ROWS).map(|id| (id, if id == BAD { bad } else { good }.to_owned()));
            all_but_one(&writer.push_many(rows).await.unwrap().outcomes().await, code);
            let _ = writer.close().await.unwrap();
        }
    }
    let (gate, _database) = made("read", "CREATE TABLE t (id INT8 PRIMARY KEY, v INT4)");
    let shape = Shape::new("t", [Column::new("id", Kind::Int8), Column::new("v", Kind::Numeric)]).key(["id"]);
    let writer = BatchWriter::<(i64, Numeric)>::for_shape(gate, shape).start().unwrap();
    let rows = (0..ROWS).map(|id| (id, Numeric(if id == BAD { "NaN" } else { "1" }.to_owned())));
    all_but_one(&writer.push_many(rows).await.unwrap().outcomes().await, "0A000");
    let _ = writer.close().await.unwrap();
}

/// The server answered, so nothing is in doubt, however the rows are delivered.
#[tokio::test]
async fn a_trigger_that_refuses_at_commit_refuses_its_row_alone() {
    for code in ["XX000", "58030", "40003", "08006"] {
        for delivery in [Delivery::ExactlyOnce, Delivery::AtLeastOnce] {
            let (gate, _database, shape) = judged("late", code, "NEW.v = 1", AT_COMMIT);
            let writer = BatchWriter::<(i64, i64)>::for_shape(gate, shape)
                .retry(quick())
                .delivery(delivery)
                .start()
                .unwrap();
            let rows = (0..ROWS).map(|id| (id, i64::from(id == BAD)));
            all_but_one(&writer.push_many(rows).await.unwrap().outcomes().await, code);
            let _ = writer.close().await.unwrap();
        }
    }
}
