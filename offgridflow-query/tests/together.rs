//! Rows that belong together are stored as one row after the other would have been, wherever statements are cut.
#![cfg(all(feature = "postgres", feature = "sqlite"))]

use offgridflow_query::{
    Acquire, Atomicity, BatchExecutor, BatchWriter, Class, Column, Conflict, ConnectionPool, Fate,
    GateConfig, Kind, Outcome, PgGate, Shape, SqliteGate, Strategy,
};

async fn sqlite(sql: &'static str) -> SqliteGate {
    let gate = SqliteGate::from_url("sqlite::memory:", GateConfig::default()).unwrap();
    sqlx::raw_sql(sql).execute(&mut *gate.acquire(Acquire::default()).await.unwrap()).await.unwrap();
    gate
}

fn postgres(name: &str, sql: &str) -> (PgGate, testkit::Database) {
    let database = testkit::postgres().create_database(name).unwrap();
    database.psql(sql).unwrap();
    (PgGate::from_url(&database.url(), GateConfig::default()).unwrap(), database)
}

fn children() -> Shape {
    Shape::new("t", [Column::new("id", Kind::Int8), Column::nullable("parent", Kind::Int8)]).key(["id"])
}

/// SQLite takes as many rows a statement as is a power of two, so the parent may be in the next one.
#[tokio::test]
async fn a_child_may_come_before_its_parent_wherever_a_write_is_cut() {
    const TREE: &str = "CREATE TABLE t (id INTEGER PRIMARY KEY, parent INTEGER REFERENCES t(id))";
    let rows = || (1..=24).map(|id| (id, (id == 16).then_some(17)));
    for conflict in [Conflict::Error, Conflict::Ignore, Conflict::Update] {
        for atomicity in [Atomicity::Independent, Atomicity::Together, Atomicity::AllOrNothing] {
            let writer = BatchWriter::<(i64, Option<i64>)>::for_shape(sqlite(TREE).await, children());
            let writer = writer.conflict(conflict.clone()).atomicity(atomicity).start().unwrap();
            let outcomes = writer.push_many(rows()).await.unwrap().outcomes().await;
            assert!(outcomes.iter().all(Outcome::is_settled), "{conflict:?} {atomicity:?} {:?}", outcomes[0]);
            let _ = writer.close().await.unwrap();
        }
        let writer = BatchWriter::<(i64, Option<i64>)>::for_shape(sqlite(TREE).await, children());
        let writer = writer.conflict(conflict.clone()).start().unwrap();
        let good = writer.push_group(rows()).await.unwrap().outcomes().await;
        assert!(good.iter().all(Outcome::is_settled), "{conflict:?} as a group");
        let bad = writer.push_group((31..=54).map(|id| (id, (id == 40).then_some(99)))).await.unwrap();
        let bad = bad.outcomes().await;
        let rejected: Vec<_> =
            (31..).zip(&bad).filter(|(_, one)| matches!(one, Outcome::Rejected(_))).collect();
        assert!(bad.iter().all(|one| !one.is_settled()));
        assert!(
            matches!(rejected.as_slice(), [(40, Outcome::Rejected(row))] if row.cause.class() == Class::ForeignKey)
        );
        let _ = writer.close().await.unwrap();
    }
}

/// `varchar(20)` cuts, so the server's keys are not the client's; the rows that are skipped have no parent.
#[tokio::test]
async fn under_ignore_the_first_row_of_a_key_is_the_one_that_counts() {
    let parents = "CREATE TABLE p (id INT8 PRIMARY KEY); INSERT INTO p VALUES (1); ";
    let triggered = "CREATE TABLE c (k TEXT PRIMARY KEY, parent INT8 REFERENCES p); \
        CREATE FUNCTION nothing() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NEW; END $$; \
        CREATE TRIGGER nothing BEFORE INSERT ON c FOR EACH ROW EXECUTE FUNCTION nothing()";
    for table in ["CREATE TABLE c (k VARCHAR(20) PRIMARY KEY, parent INT8 REFERENCES p)", triggered] {
        for strategy in [Strategy::Unnest, Strategy::Staging] {
            for atomicity in [Atomicity::Independent, Atomicity::Together, Atomicity::AllOrNothing] {
                let (gate, _database) = postgres("ignored", &format!("{parents}{table}"));
                let shape =
                    Shape::new("c", [Column::new("k", Kind::Text), Column::new("parent", Kind::Int8)])
                        .key(["k"]);
                let writer = BatchWriter::<(String, i64)>::for_shape(gate, shape).conflict(Conflict::Ignore);
                let writer = writer.strategy(strategy).atomicity(atomicity).start().unwrap();
                let first = (0..40).map(|i| (format!("k{}", i * 17 % 41), 1));
                let again = [3, 8, 20].map(|i| (format!("k{i}"), 99));
                let outcomes = writer.push_many(first.chain(again)).await.unwrap().outcomes().await;
                let _ = writer.close().await.unwrap();
                let fates: Vec<_> =
                    outcomes.into_iter().map(|one| one.committed().ok().map(|told| told.fate)).collect();
                let expected: Vec<_> =
                    (0..43).map(|at| Some(if at < 40 { Fate::Committed } else { Fate::Skipped })).collect();
                assert_eq!(fates, expected, "{strategy:?} {atomicity:?}");
            }
        }
    }
}

fn noted() -> Shape {
    Shape::new("t", [Column::new("id", Kind::Int8), Column::new("note", Kind::Text)]).key(["id"])
}

async fn group<E: BatchExecutor>(executor: E, conflict: Conflict) -> Vec<Option<Fate>> {
    let writer =
        BatchWriter::<(i64, String)>::for_shape(executor, noted()).conflict(conflict).start().unwrap();
    let rows = [(1, "good"), (2, "first"), (1, "drop"), (2, "last")].map(|(id, note)| (id, note.to_owned()));
    let outcomes = writer.push_group(rows).await.unwrap().outcomes().await;
    let _ = writer.close().await.unwrap();
    outcomes.into_iter().map(|one| one.committed().ok().map(|told| told.fate)).collect()
}

#[tokio::test]
async fn a_row_of_a_group_stays_where_a_trigger_drops_the_next_one_of_its_key() {
    use Fate::{Committed, Skipped, Superseded};
    let expected = [Committed, Superseded, Skipped, Committed].map(Some);
    for event in ["INSERT", "INSERT OR UPDATE"] {
        let (gate, database) = postgres(
            "dropped",
            &format!(
                "CREATE TABLE t (id INT8 PRIMARY KEY, note TEXT); CREATE FUNCTION sift() RETURNS trigger LANGUAGE plpgsql AS \
                 $$ BEGIN RETURN CASE WHEN NEW.note = 'drop' THEN NULL ELSE NEW END; END $$; \
                 CREATE TRIGGER sift BEFORE {event} ON t FOR EACH ROW EXECUTE FUNCTION sift()"
            ),
        );
        assert_eq!(group(gate, Conflict::Update).await, expected, "{event}");
        let stored = database.psql("SELECT string_agg(id || note, ' ' ORDER BY id) FROM t").unwrap();
        assert_eq!(stored.trim(), "1good 2last", "{event}");
    }
    let gate = sqlite(
        "CREATE TABLE t (id INTEGER PRIMARY KEY, note TEXT); \
         CREATE TRIGGER sift BEFORE INSERT ON t WHEN NEW.note = 'drop' BEGIN SELECT RAISE(IGNORE); END",
    )
    .await;
    assert_eq!(group(gate.clone(), Conflict::Update).await, expected);
    let mut conn = gate.acquire(Acquire::default()).await.unwrap();
    let stored: Vec<String> =
        sqlx::query_scalar("SELECT id || note FROM t ORDER BY id").fetch_all(&mut *conn).await.unwrap();
    assert_eq!(stored, ["1good", "2last"]);
}

/// Updates go in the order of their keys, so that one may meet what the row before it has not given up yet.
#[tokio::test]
async fn a_name_that_another_row_of_the_flush_gives_up_is_free() {
    const TABLE: &str =
        "CREATE TABLE t (id BIGINT PRIMARY KEY, note TEXT UNIQUE); INSERT INTO t VALUES (1, 'a'), (2, 'b')";
    async fn swap<E: BatchExecutor>(executor: E) {
        let writer = BatchWriter::<(i64, String)>::for_shape(executor, noted()).conflict(Conflict::Update);
        let writer = writer.start().unwrap();
        let rows = [(2, "c".to_owned()), (1, "b".to_owned())];
        let outcomes = writer.push_many(rows).await.unwrap().outcomes().await;
        assert!(outcomes.iter().all(Outcome::is_settled), "{outcomes:?}");
        let taken = writer.push_many([(3, "b".to_owned())]).await.unwrap().outcomes().await;
        assert!(matches!(&taken[0], Outcome::Rejected(row) if row.cause.class() == Class::Unique));
        let _ = writer.close().await.unwrap();
    }
    swap(sqlite(TABLE).await).await;
    let (gate, _database) = postgres("swap", TABLE);
    swap(gate).await;
}
