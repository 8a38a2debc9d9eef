//! The same promises on real databases: nothing lost, every bad row named, the same table whatever the mode.
#![cfg(all(feature = "sqlite", feature = "postgres"))]

use offgridflow_query::{
    Acquire, BatchConnection, BatchWriter, BatchedQuery, Class, Column, Conflict, ConnectionPool, Date, Fate,
    Gate, GateConfig, GateDatabase, Json, Kind, Numeric, Outcome, PgGate, Shape, SqliteGate, Timestamp,
    TimestampTz, Tx, Uuid, Why, row,
};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use sqlx::{AssertSqlSafe, Row as _};
use std::collections::BTreeMap;
use tokio::runtime::Runtime;

/// One row of a table with every kind of constraint.
#[derive(Debug, Clone, PartialEq)]
struct Activity {
    id: i64,
    parent: Option<i64>,
    kind: Option<String>,
    watts: f64,
}
row!(Activity in "activities" { id, parent, kind, watts } key { id });

const TABLE: &str = "CREATE TABLE activities (
    id BIGINT PRIMARY KEY,
    parent BIGINT REFERENCES activities (id),
    kind TEXT NOT NULL,
    watts DOUBLE PRECISION CHECK (watts >= 0)
)";

/// The class with which a row must be refused, given the rows stored before it; `None` if it is good.
fn expected(row: &Activity, stored: &BTreeMap<i64, f64>) -> Option<Class> {
    let orphan = row.parent.is_some_and(|parent| parent != row.id && !stored.contains_key(&parent));
    match row {
        Activity { kind: None, .. } => Some(Class::NotNull),
        Activity { watts, .. } if *watts < 0.0 => Some(Class::Check),
        Activity { id, .. } if stored.contains_key(id) => Some(Class::Unique),
        _ if orphan => Some(Class::ForeignKey),
        _ => None,
    }
}

fn activities() -> impl Strategy<Value = Vec<Activity>> {
    let kind = prop_oneof![12 => Just(Some("trip".to_owned())), 1 => Just(None)];
    let watts = prop_oneof![12 => 0.0..9.0f64, 1 => Just(-1.0)];
    let parent = prop_oneof![6 => Just(None), 1 => (500i64..600).prop_map(Some)]; // parents that never exist
    let row = (0i64..60, parent, kind, watts);
    prop::collection::vec(row, 0..40).prop_map(|rows| {
        rows.into_iter().map(|(id, parent, kind, watts)| Activity { id, parent, kind, watts }).collect()
    })
}

/// What a database must answer where several constraints are violated at once is its own affair.
fn faults(row: &Activity, stored: &BTreeMap<i64, f64>) -> usize {
    [row.kind.is_none(), row.watts < 0.0, stored.contains_key(&row.id), row.parent.is_some()]
        .iter()
        .filter(|f| **f)
        .count()
}

fn sqlite() -> (tempfile::TempDir, SqliteGate) {
    let dir = tempfile::tempdir().unwrap();
    let url = format!("sqlite:{}", dir.path().join("test.db").display());
    (dir, SqliteGate::from_url(&url, GateConfig { max_open: 4, ..GateConfig::default() }).unwrap())
}

fn postgres(hint: &str) -> (testkit::Database, PgGate) {
    let database = testkit::postgres().create_database(hint).unwrap();
    let gate =
        PgGate::from_url(&database.url(), GateConfig { max_open: 4, ..GateConfig::default() }).unwrap();
    (database, gate)
}

macro_rules! run_sql {
    ($gate:expr, $($sql:expr),+) => {{
        let mut conn = $gate.acquire(Acquire::default()).await.unwrap();
        $(sqlx::raw_sql(AssertSqlSafe($sql.to_string())).execute(&mut *conn).await.unwrap();)+
    }};
}

macro_rules! fetch {
    ($gate:expr, $sql:expr) => {{
        let mut conn = $gate.acquire(Acquire::default()).await.unwrap();
        sqlx::query($sql).fetch_all(&mut *conn).await.unwrap()
    }};
}

/// Rows in = good rows in the table + bad rows handed back with the right class, whatever the mix.
macro_rules! conserves {
    ($runtime:expr, $gate:expr, $cases:expr) => {{
        let runtime = $runtime;
        runtime.block_on(async { run_sql!($gate, TABLE) });
        let mut runner = TestRunner::new(Config { cases: $cases, ..Config::default() });
        let result = runner.run(&activities(), |rows| {
            runtime.block_on(async {
                run_sql!($gate, "DELETE FROM activities");
                let writer = BatchWriter::builder($gate.clone()).start().unwrap();
                let outcomes = writer.push_many(rows.clone()).await.unwrap().outcomes().await;
                let stats = writer.close().await.unwrap().stats;
                let mut stored = BTreeMap::new();
                for (row, outcome) in rows.iter().zip(outcomes) {
                    match (expected(row, &stored), outcome) {
                        (None, Outcome::Settled(receipt)) => {
                            prop_assert_eq!(receipt.fate, Fate::Committed);
                            stored.insert(row.id, row.watts);
                        }
                        (Some(class), Outcome::Rejected(rejected)) => {
                            prop_assert_eq!(&rejected.row, row);
                            if faults(row, &stored) == 1 {
                                prop_assert_eq!(rejected.cause.class(), class, "{}", rejected.cause);
                            }
                        }
                        (expected, got) => prop_assert!(false, "{row:?}: expected {expected:?}, got {got:?}"),
                    }
                }
                let table: BTreeMap<i64, f64> = fetch!($gate, "SELECT id, watts FROM activities")
                    .iter()
                    .map(|row| (row.get(0), row.get(1)))
                    .collect();
                prop_assert_eq!(&table, &stored);
                prop_assert_eq!((stats.committed, stats.settled()), (stored.len() as u64, rows.len() as u64));
                prop_assert_eq!((stats.conservation_violations, stats.returned), (0, 0));
                Ok(())
            })
        });
        runtime.block_on($gate.close());
        result.unwrap();
    }};
}

#[test]
fn sqlite_conserves_rows() {
    let runtime = Runtime::new().unwrap();
    let (_dir, gate) = runtime.block_on(async { sqlite() });
    conserves!(runtime, gate, 48);
}

#[test]
fn postgres_conserves_rows() {
    let runtime = Runtime::new().unwrap();
    let (_database, gate) = runtime.block_on(async { postgres("conserves") });
    conserves!(runtime, gate, 48);
}

/// Every kind, with and without NULL, reads back as it was written.
type Everything = (
    (bool, i16, i32, i64, f32, f64, String, Vec<u8>),
    (Uuid, Timestamp, TimestampTz, Date, Numeric, Json, Option<i64>),
);

struct Wide(Everything);
impl offgridflow_query::Row for Wide {
    fn shape() -> Shape {
        let kinds = [
            ("b", Kind::Bool),
            ("i2", Kind::Int2),
            ("i4", Kind::Int4),
            ("i8", Kind::Int8),
            ("f4", Kind::Float4),
            ("f8", Kind::Float8),
            ("t", Kind::Text),
            ("by", Kind::Bytes),
            ("u", Kind::Uuid),
            ("ts", Kind::Timestamp),
            ("tz", Kind::TimestampTz),
            ("d", Kind::Date),
            ("n", Kind::Numeric),
            ("j", Kind::Json),
        ];
        let columns = kinds.into_iter().map(|(name, kind)| Column::new(name, kind));
        Shape::new("wide", columns.chain([Column::nullable("o", Kind::Int8)]))
    }
    fn put(&self, to: &mut offgridflow_query::ChunkWriter<'_>) {
        use offgridflow_query::Fields as _;
        let (first, second) = &self.0;
        first.put(to);
        second.put(to);
    }
}

fn wide() -> Wide {
    Wide((
        (true, -2, 70_000, i64::MIN, 0.25, 0.1, "grüße '\"\\ ?".into(), vec![0, 255]),
        (
            Uuid(*b"0123456789abcdef"),
            Timestamp(1_709_209_800_000_001),
            TimestampTz(-1),
            Date(19_782),
            Numeric("-12345678901234567890.0123456789".into()),
            Json("{\"a\":[1,null]}".into()),
            None,
        ),
    ))
}

#[tokio::test]
async fn postgres_reads_back_every_kind() {
    let (_database, gate) = postgres("kinds");
    run_sql!(gate, "CREATE TABLE wide (b bool, i2 int2, i4 int4, i8 int8, f4 float4, f8 float8, t text, by bytea, u uuid, ts timestamp,
        tz timestamptz, d date, n numeric, j jsonb, o bigint)");
    let writer = BatchWriter::builder(gate.clone()).start().unwrap();
    writer.reserve().await.unwrap().push(wide()).committed().await.unwrap();
    let sql = "SELECT concat_ws('|', b, i2, i4, i8, f4, f8, t, encode(by, 'hex'), u, ts, tz AT TIME ZONE 'UTC', d, n, j, o) FROM wide";
    let text: String = fetch!(gate, sql)[0].get(0);
    assert_eq!(
        text,
        "t|-2|70000|-9223372036854775808|0.25|0.1|grüße '\"\\ ?|00ff|30313233-3435-3637-3839-616263646566|\
         2024-02-29 12:30:00.000001|1969-12-31 23:59:59.999999|2024-02-29|-12345678901234567890.0123456789|{\"a\": [1, null]}"
    );
    assert!(writer.close().await.unwrap().is_clean());
}

#[tokio::test]
async fn sqlite_reads_back_every_kind() {
    let (_dir, gate) = sqlite();
    run_sql!(gate, "CREATE TABLE wide (b, i2, i4, i8, f4, f8, t, by, u, ts, tz, d, n, j, o)");
    let writer = BatchWriter::builder(gate.clone()).start().unwrap();
    writer.reserve().await.unwrap().push(wide()).committed().await.unwrap();
    let sql = "SELECT b||'|'||i2||'|'||i4||'|'||i8||'|'||f4||'|'||f8||'|'||t||'|'||hex(by)||'|'||u||'|'||ts||'|'||tz||'|'||d||'|'||n||'|'||j||'|'||(o IS NULL) FROM wide";
    let text: String = fetch!(gate, sql)[0].get(0);
    assert_eq!(
        text,
        "1|-2|70000|-9223372036854775808|0.25|0.1|grüße '\"\\ ?|00FF|0123456789abcdef|2024-02-29T12:30:00.000001|\
         1969-12-31T23:59:59.999999Z|2024-02-29|-12345678901234567890.0123456789|{\"a\":[1,null]}|1"
    );
    assert!(writer.close().await.unwrap().is_clean());
}

/// Existing keys are skipped by name, updates overwrite, and the last of several rows wins.
async fn resolves_conflicts<DB: GateDatabase>(gate: Gate<DB>) -> Vec<Vec<Fate>>
where
    DB::Connection: BatchConnection,
{
    let shape =
        || Shape::new("kv", [Column::new("k", Kind::Int8), Column::nullable("v", Kind::Text)]).key(["k"]);
    let mut all = Vec::new();
    for conflict in [Conflict::Ignore, Conflict::Update] {
        let writer = BatchWriter::for_shape(gate.clone(), shape()).conflict(conflict).start().unwrap();
        for tag in ["a", "b"] {
            let keys = if tag == "a" { vec![1, 2, 1] } else { (0..50).chain([7]).collect() };
            let rows: Vec<(i64, Option<String>)> =
                keys.into_iter().map(|k| (k, Some(format!("{tag}{k}")))).collect();
            let outcomes = writer.push_many(rows).await.unwrap().outcomes().await;
            all.push(outcomes.into_iter().map(|o| o.committed().unwrap().fate).collect());
        }
        assert!(writer.close().await.unwrap().is_clean());
    }
    all
}

fn check_conflicts(fates: &[Vec<Fate>], stored: &[(i64, String)]) {
    use Fate::{Committed, Skipped, Superseded};
    assert_eq!(fates[0], [Committed, Committed, Skipped]);
    let second: Vec<Fate> =
        (0..50).map(|k| if k == 1 || k == 2 { Skipped } else { Committed }).chain([Skipped]).collect();
    assert_eq!(fates[1], second);
    assert_eq!(fates[2], [Superseded, Committed, Committed]);
    let last: Vec<Fate> =
        (0..50).map(|k| if k == 7 { Superseded } else { Committed }).chain([Committed]).collect();
    assert_eq!(fates[3], last);
    assert_eq!(stored.len(), 50);
    assert!(stored.iter().all(|(k, v)| *v == format!("b{k}")));
}

#[tokio::test]
async fn sqlite_resolves_conflicts() {
    let (_dir, gate) = sqlite();
    run_sql!(gate, "CREATE TABLE kv (k INTEGER PRIMARY KEY, v TEXT)");
    let fates = resolves_conflicts(gate.clone()).await;
    let stored: Vec<(i64, String)> =
        fetch!(gate, "SELECT k, v FROM kv").iter().map(|r| (r.get(0), r.get(1))).collect();
    check_conflicts(&fates, &stored);
}

#[tokio::test]
async fn postgres_resolves_conflicts() {
    let (_database, gate) = postgres("conflicts");
    run_sql!(gate, "CREATE TABLE kv (k INT PRIMARY KEY, v VARCHAR(9))"); // narrower types than the shape's
    let fates = resolves_conflicts(gate.clone()).await;
    let stored: Vec<(i64, String)> =
        fetch!(gate, "SELECT k::int8, v FROM kv").iter().map(|r| (r.get(0), r.get(1))).collect();
    check_conflicts(&fates, &stored);
}

#[tokio::test]
async fn rows_that_a_trigger_drops_are_named() {
    let (_database, gate) = postgres("trigger");
    run_sql!(
        gate,
        "CREATE TABLE kv (k INT, v TEXT)",
        "CREATE FUNCTION odd() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF NEW.k % 2 = 1 THEN RETURN NULL; END IF; RETURN NEW; END $$",
        "CREATE TRIGGER odd BEFORE INSERT ON kv FOR EACH ROW EXECUTE FUNCTION odd()"
    );
    let shape = Shape::new("kv", [Column::new("k", Kind::Int8)]);
    let writer = BatchWriter::<(i64,)>::for_shape(gate, shape).start().unwrap();
    let outcomes = writer.push_many((0..20).map(|k| (k,))).await.unwrap().outcomes().await;
    for (k, outcome) in outcomes.into_iter().enumerate() {
        let fate = if k % 2 == 1 { Fate::Skipped } else { Fate::Committed };
        assert_eq!(outcome.committed().unwrap().fate, fate);
    }
    let _ = writer.close().await.unwrap();
}

#[tokio::test]
async fn a_child_that_comes_before_its_parent_is_stored_all_the_same() {
    let (_database, gate) = postgres("parents");
    run_sql!(gate, TABLE);
    let row = |id, parent, watts| Activity { id, parent, kind: Some("x".into()), watts };
    let writer = BatchWriter::builder(gate).flush_rows(100).start().unwrap();
    // The poison forces isolation, which commits piece by piece and so meets the children first.
    let rows = vec![
        row(1, Some(4), 0.0),
        row(2, None, -1.0),
        row(3, Some(1), 0.0),
        row(4, None, 0.0),
        row(5, Some(99), 0.0),
    ];
    let settled: Vec<bool> =
        writer.push_many(rows).await.unwrap().outcomes().await.iter().map(Outcome::is_settled).collect();
    assert_eq!(settled, [true, false, true, true, false]);
    let _ = writer.close().await.unwrap();
}

#[tokio::test]
async fn a_deferred_constraint_names_its_rows() {
    let (_database, gate) = postgres("deferred");
    run_sql!(
        gate,
        "CREATE TABLE p (id INT PRIMARY KEY)",
        "INSERT INTO p VALUES (1)",
        "CREATE TABLE c (id BIGINT, p BIGINT REFERENCES p DEFERRABLE INITIALLY DEFERRED)"
            .replace("p BIGINT", "p INT")
    );
    let shape = || Shape::new("c", [Column::new("id", Kind::Int8), Column::new("p", Kind::Int4)]);
    let writer = BatchWriter::<(i64, i32)>::for_shape(gate, shape()).start().unwrap();
    let alone = writer.push_many([(1, 1), (2, 9), (3, 1)]).await.unwrap().outcomes().await;
    assert!(matches!(&alone[1], Outcome::Rejected(r) if r.cause.class() == Class::ForeignKey));
    assert!(alone[0].is_settled() && alone[2].is_settled());
    let group = writer.push_group([(4, 1), (5, 9)]).await.unwrap().outcomes().await;
    assert!(matches!(&group[0], Outcome::Returned(r) if r.why == Why::GroupRefused));
    assert!(matches!(&group[1], Outcome::Rejected(r) if r.cause.class() == Class::ForeignKey));
    assert_eq!(writer.close().await.unwrap().stats.committed, 2);
}

#[tokio::test]
async fn groups_are_whole_on_both_databases() {
    let (_dir, small) = sqlite();
    let (_database, large) = postgres("groups");
    run_sql!(small, TABLE);
    run_sql!(large, TABLE);
    let rows = |bad: i64| {
        (0..40).map(move |id| Activity {
            id,
            parent: None,
            kind: Some("x".into()),
            watts: if id == bad { -1.0 } else { 1.0 },
        })
    };
    for writer in [
        BatchWriter::builder(small.clone()).start().unwrap(),
        BatchWriter::builder(large.clone()).start().unwrap(),
    ] {
        let refused = writer.push_group(rows(33)).await.unwrap().outcomes().await;
        assert!(matches!(&refused[33], Outcome::Rejected(r) if r.cause.class() == Class::Check));
        assert!(!refused.iter().any(Outcome::is_settled));
        let stored = writer.push_group(rows(99)).await.unwrap().outcomes().await;
        assert!(stored.iter().all(Outcome::is_settled));
        assert_eq!(writer.close().await.unwrap().stats.committed, 40);
    }
}

#[tokio::test]
async fn a_wrong_schema_returns_every_row_and_says_why() {
    let (_dir, small) = sqlite();
    let (_database, large) = postgres("schema");
    let row = || Activity { id: 1, parent: None, kind: None, watts: 0.0 };
    for writer in [BatchWriter::builder(small).start().unwrap(), BatchWriter::builder(large).start().unwrap()]
    {
        let outcome = writer.reserve().await.unwrap().push(row()).outcome().await;
        assert!(
            matches!(outcome, Outcome::Returned(r) if matches!(&r.why, Why::Batch(c) if c.class() == Class::Schema))
        );
        assert_eq!(writer.close().await.unwrap().stats.transactions, 1);
    }
}

#[tokio::test]
async fn values_a_database_cannot_hold_are_rejected_not_changed() {
    let (_dir, small) = sqlite();
    let (_database, large) = postgres("values");
    run_sql!(small, "CREATE TABLE f (v REAL)");
    run_sql!(large, "CREATE TABLE s (v TEXT)", "CREATE TABLE n (v INT)");
    let doubles = BatchWriter::<(f64,)>::for_shape(small, Shape::new("f", [Column::new("v", Kind::Float8)]))
        .start()
        .unwrap();
    let outcomes = doubles.push_many([(1.0,), (f64::NAN,), (2.0,)]).await.unwrap().outcomes().await;
    assert!(outcomes[0].is_settled() && !outcomes[1].is_settled() && outcomes[2].is_settled());
    let texts =
        BatchWriter::<(String,)>::for_shape(large.clone(), Shape::new("s", [Column::new("v", Kind::Text)]))
            .start()
            .unwrap();
    let outcomes = texts.push_many([("a".into(),), ("b\0c".into(),)]).await.unwrap().outcomes().await;
    assert!(outcomes[0].is_settled());
    assert!(
        matches!(&outcomes[1], Outcome::Rejected(r) if r.cause.class() == Class::Data && r.row.0 == "b\0c")
    );
    let ints = BatchWriter::<(i64,)>::for_shape(large, Shape::new("n", [Column::new("v", Kind::Int8)]))
        .start()
        .unwrap();
    let outcomes = ints.push_many([(1,), (1 << 40,)]).await.unwrap().outcomes().await;
    assert!(matches!(&outcomes[1], Outcome::Rejected(r) if r.cause.class() == Class::Data));
    let _ = (doubles.close().await.unwrap(), texts.close().await.unwrap(), ints.close().await.unwrap());
}

#[tokio::test]
async fn a_batched_query_counts_rows_on_both_databases() {
    let (_dir, small) = sqlite();
    let (_database, large) = postgres("batched");
    run_sql!(small, "CREATE TABLE t (id INTEGER PRIMARY KEY, name TEXT)");
    run_sql!(large, "CREATE TABLE t (id BIGINT PRIMARY KEY, name TEXT)");
    let rows = || (0..2_500i64).map(|id| (id % 2_400, format!("row {id}")));
    let query =
        BatchedQuery::new("INSERT INTO t (id, name) VALUES (?, ?) ON CONFLICT (id) DO NOTHING", 1_000);
    for done in [query.execute(small, rows()).await.unwrap(), query.execute(large, rows()).await.unwrap()] {
        assert_eq!((done.processed, done.committed, done.skipped, done.batches), (2_500, 2_400, 100, 3));
        assert!(done.rows_per_sec() > 0.0);
    }
}

#[tokio::test]
async fn many_sqlite_writers_and_readers_see_no_busy() {
    let (_dir, gate) = sqlite();
    run_sql!(gate, "CREATE TABLE kv (k INTEGER PRIMARY KEY, v TEXT)");
    let shape = || Shape::new("kv", [Column::new("k", Kind::Int8)]).key(["k"]);
    let mut tasks = Vec::new();
    for writer in 0..4i64 {
        let gate = gate.clone();
        tasks.push(tokio::spawn(async move {
            let writer_ = BatchWriter::<(i64,)>::for_shape(gate, shape()).start().unwrap();
            for n in 0..20 {
                let rows = (0..10).map(|k| (writer * 1_000 + n * 10 + k,));
                assert!(
                    writer_.push_many(rows).await.unwrap().outcomes().await.iter().all(Outcome::is_settled)
                );
            }
            let report = writer_.close().await.unwrap();
            assert_eq!((report.stats.committed, report.is_clean()), (200, true));
        }));
    }
    for _ in 0..20 {
        let _ = fetch!(gate, "SELECT count(*) FROM kv");
    }
    for task in tasks {
        task.await.unwrap();
    }
    let count: i64 = fetch!(gate, "SELECT count(*) FROM kv")[0].get(0);
    assert_eq!(count, 800);
}

#[tokio::test]
async fn a_transaction_that_saw_an_error_does_not_report_a_commit() {
    let (_database, gate) = postgres("aborted");
    run_sql!(gate, "CREATE TABLE t (id INT PRIMARY KEY)");
    let mut tx = Tx::begin(gate.acquire(Acquire::default()).await.unwrap()).await.unwrap();
    sqlx::query("INSERT INTO t VALUES (1)").execute(&mut *tx).await.unwrap();
    sqlx::query("INSERT INTO t VALUES (1)").execute(&mut *tx).await.unwrap_err();
    assert!(tx.commit().await.is_err(), "COMMIT alone would say that all is well");
    let mut tx = Tx::begin(gate.acquire(Acquire::default()).await.unwrap()).await.unwrap();
    sqlx::query("INSERT INTO t VALUES (2)").execute(&mut *tx).await.unwrap();
    tx.commit().await.unwrap();
    drop(Tx::begin(gate.acquire(Acquire::default()).await.unwrap()).await.unwrap());
    let count: i64 = fetch!(gate, "SELECT count(*) FROM t")[0].get(0);
    assert_eq!(count, 1);
}
