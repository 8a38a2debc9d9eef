//! Rows of one key in one flush: what is stored is what one row after the other would have left, and nobody is told otherwise.
#![cfg(all(feature = "postgres", feature = "sqlite"))]

use offgridflow_query::{
    Acquire, Atomicity, BatchExecutor, BatchWriter, Column, Conflict, ConnectionPool, Fate, GateConfig, Kind,
    Outcome, PgGate, Shape, SqliteGate,
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
    assert_eq!(told, [committed, committed, superseded, committed], "the first inserts, the last updates");

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

/// Whose columns are inserted is settled before the last row updates them.
#[tokio::test]
async fn a_first_row_that_a_trigger_dropped_takes_no_later_one_with_it() {
    let only = || Conflict::UpdateOnly(vec!["last".into()]);
    let guard =
        "CREATE TRIGGER dropper BEFORE INSERT ON t WHEN NEW.first = 99 BEGIN SELECT RAISE(IGNORE); END";
    let lite = SqliteGate::from_url("sqlite::memory:", GateConfig::default()).unwrap();
    let mut conn = lite.acquire(Acquire::default()).await.unwrap();
    sqlx::raw_sql(AssertSqlSafe(format!("{TABLE}; {guard}"))).execute(&mut *conn).await.unwrap();
    drop(conn);
    let told = flushed(lite.clone(), only(), &[(1, 99, 1), (1, 20, 2), (1, 30, 3)]).await;
    assert_eq!(told, [Some(Fate::Skipped), Some(Fate::Committed), Some(Fate::Committed)]);
    let mut conn = lite.acquire(Acquire::default()).await.unwrap();
    let left: Vec<String> = sqlx::query_scalar(STORED).fetch_all(&mut *conn).await.unwrap();
    assert_eq!(left, ["1:20:3"]);
}

/// An update that is alone would be refused for a column that it leaves alone, and so it is beside others.
#[tokio::test]
async fn a_row_is_refused_for_its_own_columns_though_an_earlier_one_was_stored() {
    let only = || Conflict::UpdateOnly(vec!["last".into()]);
    let (told, left) = both(false, "", only(), &[(1, 10, 10), (1, 13, 20)]).await;
    assert_eq!(left, ["1:10:10"]);
    assert_eq!(told, [Some(Fate::Committed), None]);
}

/// Columns that round, triggers and collations make one key of two: RETURNING then gives another key than was sent, and says nothing of whose it is.
#[tokio::test]
async fn under_ignore_the_row_that_was_stored_is_the_one_called_stored() {
    use offgridflow_query::{Numeric, Strategy};
    let lower = "CREATE FUNCTION lower_key() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.k := lower(NEW.k); RETURN NEW; END $$; \
        CREATE TRIGGER lower_key BEFORE INSERT ON texts FOR EACH ROW EXECUTE FUNCTION lower_key()";
    for (name, strategy) in [("ignore_unnest", Strategy::Unnest), ("ignore_staging", Strategy::Staging)] {
        let database = testkit::postgres().create_database(name).unwrap();
        database.psql("CREATE TABLE cents (k NUMERIC(6, 2) PRIMARY KEY, v INT8)").unwrap();
        database.psql(&format!("CREATE TABLE texts (k TEXT PRIMARY KEY, v INT8); {lower}")).unwrap();
        let gate = PgGate::from_url(&database.url(), GateConfig::default()).unwrap();
        let shape = |table, kind| {
            Shape::new(table, [Column::new("k", kind), Column::new("v", Kind::Int8)]).key(["k"])
        };
        let fates = async |outcomes: Vec<Fate>, table: &str| {
            assert_eq!(outcomes, [Fate::Committed, Fate::Skipped], "{strategy:?} {table}");
            assert_eq!(
                database.psql(&format!("SELECT v FROM {table}")).unwrap().trim(),
                "1",
                "{strategy:?} {table}"
            );
        };
        let writer = BatchWriter::<(Numeric, i64)>::for_shape(gate.clone(), shape("cents", Kind::Numeric));
        let writer = writer.conflict(Conflict::Ignore).strategy(strategy).start().unwrap();
        let rows = [(Numeric("1.00".into()), 1), (Numeric("0.996".into()), 2)];
        fates(told(writer.push_many(rows).await.unwrap().outcomes().await), "cents").await;
        let _ = writer.close().await.unwrap();
        let writer = BatchWriter::<(String, i64)>::for_shape(gate, shape("texts", Kind::Text));
        let writer = writer.conflict(Conflict::Ignore).strategy(strategy).start().unwrap();
        let rows = [("bob".to_owned(), 1), ("BOB".to_owned(), 2)];
        fates(told(writer.push_many(rows).await.unwrap().outcomes().await), "texts").await;
        let _ = writer.close().await.unwrap();
    }
}

fn told<R: std::fmt::Debug>(outcomes: Vec<Outcome<R>>) -> Vec<Fate> {
    outcomes.into_iter().map(|outcome| outcome.committed().unwrap().fate).collect()
}

/// A partition's trigger changes keys as well as the table's own, and SQLite's triggers may run afterwards.
#[tokio::test]
async fn the_last_write_wins_whatever_triggers_make_of_its_key() {
    let database = testkit::postgres().create_database("leaf").unwrap();
    let sql = "CREATE TABLE t (r INT4, k TEXT COLLATE \"C\", v INT8, PRIMARY KEY (r, k)) PARTITION BY LIST (r); \
        CREATE TABLE t1 PARTITION OF t FOR VALUES IN (1); \
        CREATE FUNCTION low() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.k := lower(NEW.k); RETURN NEW; END $$; \
        CREATE TRIGGER low BEFORE INSERT ON t1 FOR EACH ROW EXECUTE FUNCTION low()";
    database.psql(sql).unwrap();
    let gate = PgGate::from_url(&database.url(), GateConfig::default()).unwrap();
    let columns = [Column::new("r", Kind::Int4), Column::new("k", Kind::Text), Column::new("v", Kind::Int8)];
    let shape = Shape::new("t", columns).key(["r", "k"]);
    let writer = BatchWriter::<(i32, String, i64)>::for_shape(gate, shape).conflict(Conflict::Update);
    let writer = writer.start().unwrap();
    let rows = [(1, "bob".to_owned(), 1), (1, "BOB".to_owned(), 2)];
    let _ = told(writer.push_many(rows).await.unwrap().outcomes().await);
    let _ = writer.close().await.unwrap();
    assert_eq!(database.psql("SELECT v FROM t").unwrap().trim(), "2");
}

/// The key of a table that was made again under a live writer compares otherwise.
#[tokio::test]
async fn the_last_write_wins_after_sqlite_s_key_became_one_without_case() {
    let dir = tempfile::tempdir().unwrap();
    let url = format!("sqlite:{}", dir.path().join("t.db").display());
    let gate = SqliteGate::from_url(&url, GateConfig::default()).unwrap();
    let run = async |sql: &'static str| {
        let mut conn = gate.acquire(Acquire::default()).await.unwrap();
        sqlx::raw_sql(sql).execute(&mut *conn).await.unwrap();
    };
    run("CREATE TABLE t (k TEXT PRIMARY KEY, v INTEGER)").await;
    let shape = Shape::new("t", [Column::new("k", Kind::Text), Column::new("v", Kind::Int8)]).key(["k"]);
    let writer = BatchWriter::<(String, i64)>::for_shape(gate.clone(), shape).conflict(Conflict::Update);
    let writer = writer.start().unwrap();
    let push = async |rows: &[(&str, i64)]| {
        let rows: Vec<_> = rows.iter().map(|(k, v)| ((*k).to_owned(), *v)).collect();
        told(writer.push_many(rows).await.unwrap().outcomes().await)
    };
    push(&[("x", 0)]).await;
    run("CREATE TABLE s (k TEXT COLLATE NOCASE PRIMARY KEY, v INTEGER); DROP TABLE t; ALTER TABLE s RENAME TO t").await;
    push(&[("bob", 1), ("BOB", 2)]).await;
    let _ = writer.close().await.unwrap();
    let mut conn = gate.acquire(Acquire::default()).await.unwrap();
    let left: Vec<i64> = sqlx::query_scalar("SELECT v FROM t").fetch_all(&mut *conn).await.unwrap();
    assert_eq!(left, [2]);
}

/// A child that is tried again when its parent is there would come after newer rows of what the database calls its key.
#[tokio::test]
async fn a_row_that_waited_for_its_parent_overtakes_no_newer_one() {
    let database = testkit::postgres().create_database("overtakes").unwrap();
    let sql = "CREATE TABLE t (k TEXT PRIMARY KEY, parent TEXT REFERENCES t, v INT8); \
        CREATE FUNCTION low() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.k := lower(NEW.k); RETURN NEW; END $$; \
        CREATE TRIGGER low BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION low()";
    database.psql(sql).unwrap();
    let gate = PgGate::from_url(&database.url(), GateConfig::default()).unwrap();
    let columns =
        [Column::new("k", Kind::Text), Column::nullable("parent", Kind::Text), Column::new("v", Kind::Int8)];
    let shape = Shape::new("t", columns).key(["k"]);
    let writer = BatchWriter::<(String, Option<String>, i64)>::for_shape(gate, shape);
    let writer = writer.conflict(Conflict::Update).start().unwrap();
    let rows = [("A", Some("p"), 1), ("a", None, 2), ("p", None, 3)];
    let rows = rows.map(|(k, parent, v)| (k.to_owned(), parent.map(str::to_owned), v));
    let outcomes = writer.push_many(rows).await.unwrap().outcomes().await;
    let _ = writer.close().await.unwrap();
    assert!(outcomes[1].is_settled());
    assert_eq!(database.psql("SELECT v FROM t WHERE k = 'a'").unwrap().trim(), "2");
}

/// NULLs of a key are one value to an index that says so, from PostgreSQL 15 on.
#[tokio::test]
async fn the_last_write_wins_where_nulls_are_equal() {
    let database = testkit::postgres().create_database("nulls").unwrap();
    let version: u32 = database.psql("SHOW server_version_num").unwrap().trim().parse().unwrap();
    if version < 150_000 {
        return; // it has no such indices
    }
    database.psql("CREATE TABLE t (a BIGINT, b BIGINT, v TEXT, UNIQUE NULLS NOT DISTINCT (a, b))").unwrap();
    let gate = PgGate::from_url(&database.url(), GateConfig::default()).unwrap();
    let keys = [
        (None, Some(1)),
        (Some(1), Some(1)),
        (None, Some(1)),
        (None, None),
        (Some(1), Some(1)),
        (None, None),
    ];
    for atomicity in [Atomicity::Independent, Atomicity::Together, Atomicity::AllOrNothing] {
        for group in [false, true] {
            database.psql("TRUNCATE t").unwrap();
            let columns = [Column::nullable("a", Kind::Int8), Column::nullable("b", Kind::Int8)];
            let columns = columns.into_iter().chain([Column::new("v", Kind::Text)]);
            let shape = Shape::new("t", columns).key(["a", "b"]);
            let writer = BatchWriter::<(Option<i64>, Option<i64>, String)>::for_shape(gate.clone(), shape);
            let writer = writer.conflict(Conflict::Update).atomicity(atomicity).in_flight(3).start().unwrap();
            let rows = keys.into_iter().enumerate().map(|(at, (a, b))| (a, b, at.to_string()));
            let tickets = if group { writer.push_group(rows).await } else { writer.push_many(rows).await };
            let outcomes = tickets.unwrap().outcomes().await;
            assert!(outcomes.iter().all(Outcome::is_settled), "{atomicity:?}, group {group}: {outcomes:?}");
            assert!(writer.close().await.unwrap().is_clean());
            let left = database.psql("SELECT string_agg(v, ' ' ORDER BY v) FROM t").unwrap();
            assert_eq!(left.trim(), "2 4 5", "{atomicity:?}, group {group}");
        }
    }
}

/// A trigger that passes over what changes nothing, as PostgreSQL has one: the last row of a key is dropped only as long as no older one was stored.
#[tokio::test]
async fn the_last_write_wins_where_redundant_updates_are_dropped() {
    let lite = SqliteGate::from_url("sqlite::memory:", GateConfig::default()).unwrap();
    let mut conn = lite.acquire(Acquire::default()).await.unwrap();
    let trigger = "CREATE TRIGGER z BEFORE UPDATE ON t WHEN NEW.first = OLD.first AND NEW.last = OLD.last BEGIN SELECT RAISE(IGNORE); END";
    sqlx::raw_sql(AssertSqlSafe(format!("{TABLE}; {trigger}"))).execute(&mut *conn).await.unwrap();
    drop(conn);
    let database = testkit::postgres().create_database("redundant").unwrap();
    let trigger = "CREATE TRIGGER z BEFORE UPDATE ON t FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger()";
    database.psql(&format!("{TABLE}; {trigger}")).unwrap();
    let gate = PgGate::from_url(&database.url(), GateConfig::default()).unwrap();
    let (stored, other) = ((1, 7, 7), (1, 8, 8));
    let [committed, superseded, dropped] = [Fate::Committed, Fate::Superseded, Fate::Skipped].map(Some);
    for (rows, fates) in [
        (&[stored][..], &[dropped][..]),
        (&[other, stored], &[superseded, committed]),
        (&[stored, other, stored], &[dropped, superseded, committed]),
        (&[other, stored, stored, (2, 1, 1)], &[superseded, superseded, committed, committed]),
    ] {
        let reset = "DELETE FROM t; INSERT INTO t VALUES (1, 7, 7)";
        let mut conn = lite.acquire(Acquire::default()).await.unwrap();
        sqlx::raw_sql(reset).execute(&mut *conn).await.unwrap();
        drop(conn);
        database.psql(reset).unwrap();
        assert_eq!(flushed(lite.clone(), Conflict::Update, rows).await, fates, "SQLite, {rows:?}");
        assert_eq!(flushed(gate.clone(), Conflict::Update, rows).await, fates, "PostgreSQL, {rows:?}");
        let last = "SELECT first || ':' || last FROM t WHERE id = 1";
        let mut conn = lite.acquire(Acquire::default()).await.unwrap();
        let left: String = sqlx::query_scalar(last).fetch_one(&mut *conn).await.unwrap();
        drop(conn);
        assert_eq!((left.as_str(), database.psql(last).unwrap().trim()), ("7:7", "7:7"), "{rows:?}");
    }
}

/// One look is enough for a thousand rows that all say what is stored.
#[tokio::test]
async fn equal_rows_of_a_key_are_dropped_together() {
    let database = testkit::postgres().create_database("equal").unwrap();
    let trigger = "CREATE TRIGGER z BEFORE UPDATE ON t FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger()";
    database.psql(&format!("{TABLE}; {trigger}; INSERT INTO t VALUES (1, 7, 7)")).unwrap();
    let gate = PgGate::from_url(&database.url(), GateConfig::default()).unwrap();
    let writer = BatchWriter::for_shape(gate, shape()).conflict(Conflict::Update).start().unwrap();
    let outcomes = writer.push_many([(1, 7, 7); 1_000]).await.unwrap().outcomes().await;
    let dropped = |outcome: &Outcome<Row>| matches!(outcome, Outcome::Settled(receipt) if receipt.fate == Fate::Skipped);
    assert!(outcomes.iter().all(dropped));
    let stats = writer.close().await.unwrap().stats;
    assert_eq!(stats.transactions, stats.flushes);
}
