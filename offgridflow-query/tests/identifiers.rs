//! Names never become SQL.

use offgridflow_query::{Chunk, Column, Conflict, Ident, Kind, Shape, Value};
use proptest::prelude::*;

fn hostile() -> impl Strategy<Value = String> {
    prop_oneof![
        "[^\0]{1,20}",
        "[\"';\\\\-]{1,12}",
        Just("\"; DROP TABLE t; --".to_owned()),
        "[a-z]{1,3}\"{1,5}"
    ]
}

proptest! {
    #[test]
    fn a_quoted_name_is_one_token_that_reads_back(name in hostile()) {
        let quoted = Ident::new(&name).unwrap().to_string();
        let inner = quoted.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap();
        prop_assert_eq!(inner.replace("\"\"", "\"").len(), name.len());
        prop_assert!(!inner.replace("\"\"", "").contains('"'), "no quote stands alone");
    }

    #[test]
    fn slices_see_what_was_written(rows in prop::collection::vec((any::<i64>(), prop::option::of(".{0,8}"), any::<bool>()), 0..200)) {
        let columns = [Column::new("a", Kind::Int8), Column::nullable("b", Kind::Text), Column::new("c", Kind::Bool)];
        let mut chunk = Chunk::new(Shape::new("t", columns));
        for (a, b, c) in &rows {
            chunk.push(|w| {
                w.i64(*a);
                match b { Some(text) => w.text(text), None => w.null() }
                w.bool(*c);
            }).unwrap();
        }
        let half = rows.len() / 2;
        let slice = chunk.slice(half..rows.len());
        for (row, (a, b, c)) in rows[half..].iter().enumerate() {
            prop_assert_eq!(slice.value(row, 0), Value::Int8(*a));
            prop_assert_eq!(slice.value(row, 1), b.as_deref().map_or(Value::Null, Value::Text));
            prop_assert_eq!(slice.value(row, 2), Value::Bool(*c));
        }
    }
}

#[test]
fn shapes_that_cannot_work_are_refused() {
    let column = |name: &str| Column::new(name, Kind::Int8);
    assert!(Shape::new("t", []).check().is_err());
    assert!(Shape::new("t", [column("a"), column("a")]).check().is_err());
    assert!(Shape::new("t", [column("a")]).key(["b"]).check().is_err());
    assert!(Shape::new("", [column("a")]).check().is_err());
    let keyed = Shape::new("t", [column("a")]).key(["a"]);
    assert!(Conflict::Update.clause(&keyed).is_err(), "nothing is left to update");
    assert!(Conflict::Ignore.clause(&Shape::new("t", [column("a")])).is_err(), "no key");
}

/// A real database agrees that hostile names are names.
#[cfg(feature = "sqlite")]
#[tokio::test]
async fn sqlite_stores_under_hostile_names() {
    use offgridflow_query::{Acquire, BatchWriter, ConnectionPool, GateConfig, SqliteGate};
    let gate = SqliteGate::from_url("sqlite::memory:", GateConfig::default()).unwrap();
    let (table, column) = ("x\"); DROP TABLE y; --", "a b\"c'");
    let sql =
        format!("CREATE TABLE {} ({} INTEGER)", Ident::new(table).unwrap(), Ident::new(column).unwrap());
    let mut conn = gate.acquire(Acquire::default()).await.unwrap();
    sqlx::query(sqlx::AssertSqlSafe(sql)).execute(&mut *conn).await.unwrap();
    drop(conn);
    let writer =
        BatchWriter::<(i64,)>::for_shape(gate, Shape::new(table, [Column::new(column, Kind::Int8)])).start();
    let writer = writer.unwrap();
    writer.reserve().await.unwrap().push((7,)).committed().await.unwrap();
    assert!(writer.close().await.unwrap().is_clean());
}

/// PostgreSQL folds the ASCII letters of a name without quotes, and so do we.
#[cfg(feature = "postgres")]
#[tokio::test]
async fn names_without_quotes_mean_what_they_mean_to_postgresql() {
    use offgridflow_query::{BatchedQuery, GateConfig, PgGate};
    let database = testkit::postgres().create_database("folded").unwrap();
    database.psql("CREATE TABLE Äpfel (GRÖSSE INT8)").unwrap();
    let gate = PgGate::from_url(&database.url(), GateConfig::default()).unwrap();
    let insert = BatchedQuery::new("INSERT INTO Äpfel (GRÖSSE) VALUES ($1)", 10);
    let done = insert.execute(gate, [(7i64,)]).await.unwrap();
    assert_eq!(done.committed, 1, "{done:?}");
}

/// Names that the statements themselves use are names like any other.
#[cfg(feature = "postgres")]
#[tokio::test]
async fn postgresql_stores_under_the_names_that_statements_use() {
    use offgridflow_query::{BatchWriter, GateConfig, Outcome, PgGate, Strategy};
    let database = testkit::postgres().create_database("names").unwrap();
    let gate = PgGate::from_url(&database.url(), GateConfig::default()).unwrap();
    let shape = |table: &str| {
        let columns = ["ord", "excluded", "c0"].map(|name| Column::new(name, Kind::Int8));
        Shape::new(table, columns).key(["ord"])
    };
    for table in ["s", "i", "u", "k0", "stored", "excluded", "offgridflow_staging_0"] {
        let columns = "(ord INT8 PRIMARY KEY, excluded INT8, c0 INT8)";
        database.psql(&format!("CREATE TABLE {table} {columns}")).unwrap();
        for conflict in [Conflict::Error, Conflict::Ignore, Conflict::Update] {
            let bulk = if conflict == Conflict::Error { Strategy::Copy } else { Strategy::Staging };
            for way in [Strategy::Unnest, bulk] {
                database.psql(&format!("TRUNCATE {table}")).unwrap();
                let writer = BatchWriter::<(i64, i64, i64)>::for_shape(gate.clone(), shape(table));
                let writer = writer.conflict(conflict.clone()).strategy(way).start().unwrap();
                for round in [0, 1] {
                    let rows = (5 * round..5 * round + 5).map(|id| (id, round, id));
                    let outcomes = writer.push_many(rows).await.unwrap().outcomes().await;
                    assert!(outcomes.iter().all(Outcome::is_settled), "{table} {way:?} {outcomes:?}");
                }
                let _ = writer.close().await.unwrap();
                let sum = database.psql(&format!("SELECT count(*) + sum(excluded) FROM {table}")).unwrap();
                assert_eq!(sum.trim(), "15", "{table} {conflict:?} {way:?}");
            }
        }
    }
}

#[cfg(feature = "sqlite")]
#[tokio::test]
async fn sqlite_updates_a_table_called_excluded() {
    use offgridflow_query::sqlx::Executor;
    use offgridflow_query::{Acquire, BatchWriter, ConnectionPool, GateConfig, SqliteGate};
    let gate = SqliteGate::from_url("sqlite::memory:", GateConfig::default()).unwrap();
    let mut conn = gate.acquire(Acquire::default()).await.unwrap();
    conn.execute("CREATE TABLE Excluded (id INTEGER PRIMARY KEY, v INTEGER)").await.unwrap();
    drop(conn);
    let columns = ["id", "v"].map(|name| Column::new(name, Kind::Int8));
    let writer =
        BatchWriter::<(i64, i64)>::for_shape(gate.clone(), Shape::new("Excluded", columns).key(["id"]));
    let writer = writer.conflict(Conflict::Update).start().unwrap();
    for v in [1, 2] {
        writer.reserve().await.unwrap().push((7, v)).committed().await.unwrap();
    }
    let _ = writer.close().await.unwrap();
    let mut conn = gate.acquire(Acquire::default()).await.unwrap();
    let v: i64 = sqlx::query_scalar("SELECT v FROM Excluded").fetch_one(&mut *conn).await.unwrap();
    assert_eq!(v, 2);
}
