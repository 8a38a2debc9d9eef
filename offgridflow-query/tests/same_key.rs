//! Rows of one key in one flush: what is stored is what one row after the other would have left, and nobody is told otherwise.
#![cfg(all(feature = "postgres", feature = "sqlite"))]

use offgridflow_query::{
    Acquire, BatchExecutor, BatchWriter, Column, Conflict, ConnectionPool, Fate, GateConfig, Kind, Outcome,
    PgGate, Shape, SqliteGate,
};
use sqlx::{AssertSqlSafe, SqliteConnection};

type Row = (i64, i64, i64);

fn shape() -> Shape {
    let column = |name| Column::new(name, Kind::Int8);
    Shape::new("t", [column("id"), column("first"), column("last")]).key(["id"])
}

const TABLE: &str = "CREATE TABLE t (id BIGINT PRIMARY KEY, first BIGINT CHECK (first <> 13), last BIGINT CHECK (last <> 13))";
const STORED: &str = "SELECT id || ':' || first || ':' || last FROM t ORDER BY id";

/// What is told, and what is stored, after `rows` went in one flush.
async fn flushed<E: BatchExecutor>(executor: E, conflict: Conflict, rows: &[Row]) -> Vec<Option<Fate>> {
    let writer = BatchWriter::for_shape(executor, shape()).conflict(conflict).start().unwrap();
    let outcomes = writer.push_many(rows.to_vec()).await.unwrap().outcomes().await;
    let _ = writer.close().await.unwrap();
    outcomes
        .into_iter()
        .map(|outcome| match outcome {
            Outcome::Settled(receipt) => Some(receipt.fate),
            _ => None,
        })
        .collect()
}

/// The same on both databases, after `setup` and a guard: a trigger that keeps the larger `last`.
async fn both(
    guarded: bool,
    stored: &str,
    conflict: Conflict,
    rows: &[Row],
) -> (Vec<Option<Fate>>, Vec<String>) {
    let lite = SqliteGate::from_url("sqlite::memory:", GateConfig::default()).unwrap();
    let guard =
        "CREATE TRIGGER guard BEFORE UPDATE ON t WHEN NEW.last < OLD.last BEGIN SELECT RAISE(IGNORE); END;";
    let sql = format!("{TABLE}; {stored}; {}", if guarded { guard } else { "" });
    let mut conn = lite.acquire(Acquire::default()).await.unwrap();
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut *conn).await.unwrap();
    drop(conn);
    let told = flushed(lite.clone(), conflict.clone(), rows).await;
    let mut conn = lite.acquire(Acquire::default()).await.unwrap();
    let conn: &mut SqliteConnection = &mut conn;
    let left: Vec<String> = sqlx::query_scalar(STORED).fetch_all(conn).await.unwrap();

    let database = testkit::postgres().create_database("same_key").unwrap();
    let gate = PgGate::from_url(&database.url(), GateConfig::default()).unwrap();
    let guard = "CREATE FUNCTION guard() RETURNS trigger LANGUAGE plpgsql AS \
        $$ BEGIN IF NEW.last < OLD.last THEN RETURN NULL; END IF; RETURN NEW; END $$; \
        CREATE TRIGGER guard BEFORE UPDATE ON t FOR EACH ROW EXECUTE FUNCTION guard();";
    let sql = format!("{TABLE}; {stored}; {}", if guarded { guard } else { "" });
    let mut conn = gate.acquire(Acquire::default()).await.unwrap();
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut *conn).await.unwrap();
    drop(conn);
    assert_eq!(flushed(gate.clone(), conflict, rows).await, told, "the databases agree");
    let mut conn = gate.acquire(Acquire::default()).await.unwrap();
    let large: Vec<String> = sqlx::query_scalar(STORED).fetch_all(&mut *conn).await.unwrap();
    assert_eq!(large, left, "the databases agree");
    (told, left)
}

#[tokio::test]
async fn a_row_whose_successor_a_trigger_dropped_is_stored() {
    let rows = [(1, 0, 9), (1, 0, 3), (2, 0, 1)];
    let (told, left) = both(true, "INSERT INTO t VALUES (1, 0, 5)", Conflict::Update, &rows).await;
    assert_eq!(left, ["1:0:9", "2:0:1"]);
    assert_eq!(told, [Some(Fate::Committed), Some(Fate::Skipped), Some(Fate::Committed)]);
}

#[tokio::test]
async fn columns_that_an_update_leaves_alone_are_those_of_the_row_that_inserted_them() {
    let only = || Conflict::UpdateOnly(vec!["last".into()]);
    let rows = [(1, 10, 10), (2, 1, 1), (1, 20, 20), (1, 30, 30)];
    let (told, left) = both(false, "", only(), &rows).await;
    assert_eq!(left, ["1:10:30", "2:1:1"]);
    let (superseded, committed) = (Some(Fate::Superseded), Some(Fate::Committed));
    assert_eq!(told, [superseded, committed, superseded, committed]);

    let (_, left) = both(false, "INSERT INTO t VALUES (1, 5, 5)", only(), &rows).await;
    assert_eq!(left, ["1:5:30", "2:1:1"], "where the key is stored, they stay");
}

#[tokio::test]
async fn a_first_row_that_is_refused_takes_no_later_one_with_it() {
    let only = || Conflict::UpdateOnly(vec!["last".into()]);
    let (told, left) = both(false, "", only(), &[(1, 13, 10), (1, 20, 20)]).await;
    assert_eq!(left, ["1:20:20"]);
    assert_eq!(told[1], Some(Fate::Committed));
    let (told, left) = both(false, "", only(), &[(1, 10, 10), (1, 20, 13)]).await;
    assert_eq!(left, ["1:10:10"]);
    assert_eq!(told, [Some(Fate::Committed), None]);
}
