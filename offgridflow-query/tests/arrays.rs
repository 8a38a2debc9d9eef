//! Arrays go into PostgreSQL by every strategy alike, and are refused where there are none.
#![cfg(all(feature = "sqlite", feature = "postgres"))]

mod common;

use common::{Case, gate, run, texts};
use offgridflow_query::{
    Acquire, BatchExecutor, BatchWriter, ChunkWriter, Class, Column, Conflict, ConnectionPool, Element, Fate,
    GateConfig, Kind, MemoryPool, Numeric, Outcome, Shape, SqliteGate, Stored, Strategy as Way, WritePlan,
    row,
};
use proptest::prelude::*;
use sqlx::Row as _;

/// Every kind of element, the type of its column, and what `t` refuses.
const COLUMNS: [(Element, &str); 14] = [
    (Element::Bool, "BOOL[]"),
    (Element::Int2, "INT2[] CHECK (NOT 13 = ANY (c1))"),
    (Element::Int4, "INT4[]"),
    (Element::Int8, "INT8[]"),
    (Element::Float4, "FLOAT4[]"),
    (Element::Float8, "FLOAT8[] NOT NULL"),
    (Element::Text, "VARCHAR(8)[]"),
    (Element::Bytes, "BYTEA[]"),
    (Element::Uuid, "UUID[]"),
    (Element::Timestamp, "TIMESTAMP[]"),
    (Element::TimestampTz, "TIMESTAMPTZ(3)[]"),
    (Element::Date, "DATE[]"),
    (Element::Numeric, "NUMERIC(12, 2)[]"),
    (Element::Json, "JSONB[]"),
];

fn shape() -> Shape {
    let columns = COLUMNS.iter().enumerate();
    let columns = columns.map(|(at, (element, _))| Column::nullable(format!("c{at}"), Kind::Array(*element)));
    Shape::new("t", std::iter::once(Column::new("id", Kind::Int8)).chain(columns)).key(["id"])
}

fn table() -> String {
    let columns: Vec<String> =
        COLUMNS.iter().enumerate().map(|(at, (_, kind))| format!("c{at} {kind}")).collect();
    format!("CREATE TABLE t (id INT8 PRIMARY KEY, {})", columns.join(", "))
}

/// One element; which of these it is depends on the column.
#[derive(Debug, Clone)]
enum Item {
    Whole(i64),
    Real(f64),
    Text(String),
    Bytes(Vec<u8>),
}

#[derive(Debug, Clone)]
struct Arrays {
    id: i64,
    columns: Vec<Option<Vec<Option<Item>>>>, // one for each of COLUMNS
}

fn items(element: Element) -> BoxedStrategy<Item> {
    let text = |strategy: BoxedStrategy<String>| strategy.prop_map(Item::Text).boxed();
    match element {
        Element::Float4 | Element::Float8 => any::<f64>().prop_map(Item::Real).boxed(),
        Element::Text => text(
            prop_oneof![
                20 => "[a-zß,{}\"'\\\\ ]{0,8}", 4 => Just("NULL".to_owned()), 4 => Just(String::new()),
                1 => Just("far too long".to_owned()), 1 => Just("a\0b".to_owned())
            ]
            .boxed(),
        ),
        Element::Numeric => text(
            prop_oneof![20 => "-?[0-9]{1,8}\\.[0-9]{0,5}", 4 => "[0-9]{1,3}[eE]-?[0-9]", 1 => "[1-9]{14}"]
                .boxed(),
        ),
        Element::Json => text(
            prop_oneof![
                20 => Just(r#"{"a": [1, null, "x\\\"y"]}"#.to_owned()), 4 => Just("null".to_owned()),
                1 => Just("{broken".to_owned()), 1 => Just("\"\\u0000\"".to_owned())
            ]
            .boxed(),
        ),
        Element::Bytes => any::<Vec<u8>>().prop_map(Item::Bytes).boxed(),
        Element::Uuid => any::<[u8; 16]>().prop_map(|bytes| Item::Bytes(bytes.to_vec())).boxed(),
        Element::Timestamp | Element::TimestampTz => {
            (-62_135_596_800_000_000i64..253_402_300_799_999_000).prop_map(Item::Whole).boxed()
        }
        Element::Date => (-719_162i64..2_932_896).prop_map(Item::Whole).boxed(),
        Element::Int2 => (-40i64..40).prop_map(Item::Whole).boxed(),
        _ => any::<i64>().prop_map(Item::Whole).boxed(),
    }
}

fn arrays() -> impl Strategy<Value = Arrays> {
    let column = |element| {
        let item = prop::option::weighted(0.9, items(element));
        prop::option::weighted(0.98, prop::collection::vec(item, 0..4))
    };
    let columns: Vec<_> = COLUMNS.iter().map(|(element, _)| column(*element)).collect();
    (0i64..100, columns).prop_map(|(id, columns)| Arrays { id, columns })
}

#[expect(clippy::cast_possible_truncation, reason = "any number will do")]
fn put_item(item: &Item, element: Element, to: &mut ChunkWriter<'_>) {
    match (element, item) {
        (Element::Bool, Item::Whole(v)) => to.bool(*v > 0),
        (Element::Int2, Item::Whole(v)) => to.i16(*v as i16),
        (Element::Int4, Item::Whole(v)) => to.i32(*v as i32),
        (Element::Int8, Item::Whole(v)) => to.i64(*v),
        (Element::Timestamp | Element::TimestampTz, Item::Whole(v)) => to.micros(*v),
        (Element::Date, Item::Whole(v)) => to.days(*v as i32),
        (Element::Float4, Item::Real(v)) => to.f32(*v as f32),
        (Element::Float8, Item::Real(v)) => to.f64(*v),
        (Element::Text, Item::Text(v)) => to.text(v),
        (Element::Numeric, Item::Text(v)) => to.numeric(v),
        (Element::Json, Item::Text(v)) => to.json(v),
        (Element::Bytes, Item::Bytes(v)) => to.bytes(v),
        (Element::Uuid, Item::Bytes(v)) => to.uuid(v.as_slice().try_into().unwrap()),
        other => panic!("{other:?}"),
    }
}

fn put(row: &Arrays, to: &mut ChunkWriter<'_>) {
    to.i64(row.id);
    for (column, (element, _)) in row.columns.iter().zip(COLUMNS) {
        match column {
            None => to.null(),
            Some(items) => to.array(|to| {
                for item in items {
                    match item {
                        Some(item) => put_item(item, element, to),
                        None => to.null(),
                    }
                }
            }),
        }
    }
}

#[test]
fn any_arrays_give_the_same_table_or_the_same_error() {
    let case = Case {
        table: table().leak(),
        reset: "TRUNCATE t; INSERT INTO t (id, c5) SELECT i, '{0.5}' FROM generate_series(0, 95, 10) i",
        read: "SELECT t::text FROM t ORDER BY id",
        shape,
        put,
        key: |row: &Arrays| row.id,
    };
    case.agrees_by_every_strategy(prop::collection::vec(arrays(), 0..6), 150);
}

struct Tagged {
    id: i64,
    tags: Vec<Option<String>>,
    amounts: Option<Vec<Numeric>>,
}
row!(Tagged in "tagged" { id, tags, amounts } key { id });

fn tagged(id: i64, tags: &[Option<&str>]) -> Tagged {
    let tags = tags.iter().map(|tag| tag.map(str::to_owned)).collect();
    let amounts = (id % 2 == 0).then(|| vec![Numeric("1.50".into()), Numeric("-2e3".into())]);
    Tagged { id, tags, amounts }
}

const AWKWARD: [Option<&str>; 9] = [
    Some("NULL"),
    None,
    Some(""),
    Some("a,b"),
    Some("{}"),
    Some("\"quoted\""),
    Some("back\\slash"),
    Some(" grüße\t\n"),
    Some("'"),
];

#[tokio::test]
async fn texts_that_look_like_syntax_come_back_as_they_went_in() {
    let database = testkit::postgres().create_database("awkward").unwrap();
    let gate = gate(&database);
    for (conflict, way) in [
        (Conflict::Error, Way::Unnest),
        (Conflict::Error, Way::Copy),
        (Conflict::Update, Way::Unnest),
        (Conflict::Update, Way::Staging),
        (Conflict::Ignore, Way::Unnest),
        (Conflict::Ignore, Way::Staging),
    ] {
        run(&gate, "DROP TABLE IF EXISTS tagged; CREATE TABLE tagged (id INT8 PRIMARY KEY, tags TEXT[], amounts NUMERIC[])")
            .await;
        let writer = BatchWriter::builder(gate.clone()).conflict(conflict).strategy(way).start().unwrap();
        let rows = [tagged(0, &AWKWARD), tagged(1, &[]), tagged(2, &[None])];
        let outcomes = writer.push_many(rows).await.unwrap().outcomes().await;
        assert!(outcomes.iter().all(Outcome::is_settled), "{way:?}: {outcomes:?}");
        let _ = writer.close().await.unwrap();
        let mut conn = gate.acquire(Acquire::default()).await.unwrap();
        let sql = "SELECT tags, amounts::text FROM tagged ORDER BY id";
        let rows = sqlx::query(sql).fetch_all(&mut *conn).await.unwrap();
        let tags: Vec<Vec<Option<String>>> = rows.iter().map(|row| row.get(0)).collect();
        let amounts: Vec<Option<String>> = rows.iter().map(|row| row.get(1)).collect();
        assert_eq!(tags[0], AWKWARD.map(|tag| tag.map(str::to_owned)), "{way:?}");
        assert_eq!((tags[1].len(), &tags[2][..]), (0, &[None][..]), "{way:?}");
        assert_eq!(amounts, [Some("{1.50,-2000}".into()), None, Some("{1.50,-2000}".into())], "{way:?}");
    }
}

#[tokio::test]
async fn an_element_that_cannot_be_stored_rejects_its_row_alone() {
    let database = testkit::postgres().create_database("nul").unwrap();
    let gate = gate(&database);
    run(&gate, "CREATE TABLE tagged (id INT8 PRIMARY KEY, tags TEXT[], amounts NUMERIC[])").await;
    for (way, first) in [(Way::Unnest, 0), (Way::Copy, 10)] {
        let writer = BatchWriter::builder(gate.clone()).strategy(way).start().unwrap();
        let mut rows: Vec<Tagged> = (first..first + 5).map(|id| tagged(id, &[Some("fine")])).collect();
        rows[2].tags.push(Some("a\0b".into()));
        rows[3].amounts = Some(vec![Numeric("no number".into())]);
        let outcomes = writer.push_many(rows).await.unwrap().outcomes().await;
        let classes: Vec<Option<Class>> = outcomes
            .iter()
            .map(|outcome| match outcome {
                Outcome::Rejected(rejected) => Some(rejected.cause.class()),
                _ => None,
            })
            .collect();
        assert_eq!(classes, [None, None, Some(Class::Data), Some(Class::Encoding), None], "{way:?}");
        let report = writer.close().await.unwrap();
        assert_eq!((report.stats.committed, report.stats.rejected), (3, 2));
    }
    assert_eq!(texts(&gate, "SELECT count(*)::text FROM tagged").await, ["6"]);
}

#[tokio::test]
async fn arrays_are_keys_like_any_other() {
    let database = testkit::postgres().create_database("arraykeys").unwrap();
    let gate = gate(&database);
    run(&gate, "CREATE TABLE k (path TEXT[] PRIMARY KEY, v INT8)").await;
    let shape =
        Shape::new("k", [Column::new("path", Kind::Array(Element::Text)), Column::new("v", Kind::Int8)]);
    for way in [Way::Unnest, Way::Staging] {
        let writer =
            BatchWriter::<(Vec<Option<String>>, i64)>::for_shape(gate.clone(), shape.clone().key(["path"]))
                .conflict(Conflict::Update)
                .strategy(way)
                .start()
                .unwrap();
        let path = |parts: &[&str]| parts.iter().map(|part| Some((*part).to_owned())).collect::<Vec<_>>();
        let rows = [
            (path(&["a", "b"]), 1),
            (path(&["ab"]), 2),
            (vec![None], 3),
            (path(&["a", "b"]), 4),
            (vec![None], 5), // in an array, one NULL equals another
        ];
        let outcomes = writer.push_many(rows).await.unwrap().outcomes().await;
        let fates: Vec<Fate> =
            outcomes.into_iter().map(|outcome| outcome.committed().unwrap().fate).collect();
        use Fate::{Committed, Superseded};
        assert_eq!(fates, [Superseded, Committed, Superseded, Committed, Committed], "{way:?}");
        let _ = writer.close().await.unwrap();
        let sql = "SELECT path::text || v FROM k ORDER BY v";
        assert_eq!(texts(&gate, sql).await, ["{ab}2", "{a,b}4", "{NULL}5"], "{way:?}");
    }
}

#[tokio::test]
async fn copy_takes_arrays_of_the_column_s_own_type_only() {
    let database = testkit::postgres().create_database("arraytypes").unwrap();
    let gate = gate(&database);
    run(&gate, "CREATE TABLE narrow (v INT4[]); CREATE TABLE same (v INT8[]); CREATE TABLE one (v INT8); CREATE TABLE texts (v TEXT)")
        .await;
    let shape = |table: &str| Shape::new(table, [Column::new("v", Kind::Array(Element::Int8))]);
    let ways = async |table: &str| {
        let prepared = gate.prepare(&shape(table), &WritePlan::new(Conflict::Error)).await.unwrap();
        prepared.strategies().to_vec()
    };
    assert_eq!(ways("same").await, [Way::Unnest, Way::Copy]);
    assert_eq!(ways("narrow").await, [Way::Unnest]);
    let push = async |table: &str, row: Vec<i64>| {
        let writer = BatchWriter::<(Vec<i64>,)>::for_shape(gate.clone(), shape(table)).start().unwrap();
        let outcome = writer.reserve().await.unwrap().push((row,)).outcome().await;
        let _ = writer.close().await.unwrap();
        outcome
    };
    assert!(push("narrow", vec![1, 2]).await.is_settled());
    let outcome = push("narrow", vec![1 << 40]).await;
    assert!(matches!(&outcome, Outcome::Rejected(r) if r.cause.class() == Class::Data), "{outcome:?}");
    let outcome = push("one", vec![1]).await;
    assert!(matches!(&outcome, Outcome::Returned(_)), "an array is no number: {outcome:?}");
}

/// A role or a database may say that NULL within an array is a word like any other.
#[tokio::test]
async fn null_is_null_whatever_array_nulls_says() {
    let database = testkit::postgres().create_database("arraynulls").unwrap();
    let off =
        "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET array_nulls = off', current_database()); END $$";
    database.psql(off).unwrap();
    let gate = gate(&database);
    run(&gate, "CREATE TABLE t (v TEXT[])").await;
    assert_eq!(texts(&gate, "SHOW array_nulls").await, ["off"]);
    for way in [Way::Unnest, Way::Copy] {
        let shape = Shape::new("t", [Column::new("v", Kind::Array(Element::Text))]);
        let writer = BatchWriter::<(Vec<Option<String>>,)>::for_shape(gate.clone(), shape).strategy(way);
        let writer = writer.start().unwrap();
        writer.reserve().await.unwrap().push((vec![None, Some("NULL".into())],)).committed().await.unwrap();
        let _ = writer.close().await.unwrap();
    }
    let nulls = "SELECT (v[1] IS NULL AND v[2] = 'NULL')::text FROM t";
    assert_eq!(texts(&gate, nulls).await, ["true", "true"]);
    assert_eq!(texts(&gate, "SHOW array_nulls").await, ["off"], "the session is as it was");
}

#[tokio::test]
async fn a_database_without_arrays_says_so_before_the_first_row() {
    let gate = SqliteGate::from_url("sqlite::memory:", GateConfig::default()).unwrap();
    let error = BatchWriter::<Tagged>::builder(gate).start().unwrap_err();
    let expected = "the shape of \"tagged\" cannot work: column \"tags\" is an array, which this database has no type for";
    assert_eq!(error.to_string(), expected);

    let pool = MemoryPool::new(1);
    let writer = BatchWriter::builder(pool.clone()).start().unwrap();
    writer.reserve().await.unwrap().push(tagged(1, &[None])).committed().await.unwrap();
    assert_eq!(pool.rows("tagged")[0][1], Stored::List(vec![Stored::Null]));
    let _ = writer.close().await.unwrap();
}
