//! Every strategy that a table allows gives the same table, or the same error.
#![cfg(feature = "postgres")]

mod common;

use common::{Case, gate, run, texts};
use offgridflow_query::{
    BatchExecutor, BatchWriter, ChunkWriter, Class, Column, Conflict, ConnectionPool, GateConfig, Kind,
    Outcome, PgGate, Shape, Strategy as Way, Why, WritePlan,
};
use proptest::prelude::*;

/// A row with every kind whose values may be refused, or kept in different forms.
#[derive(Debug, Clone)]
struct Mixed {
    id: i64,
    small: Option<i16>,
    real: Option<f64>,
    single: f32,
    name: Option<String>,
    amount: Option<String>,
    json: Option<String>,
    at: Option<i64>,
    raw: Option<Vec<u8>>,
    day: i32,
}

const TABLE: &str = "CREATE TABLE mixed (id INT8 PRIMARY KEY, small INT2 CHECK (small <> 13), real FLOAT8, single FLOAT4, name VARCHAR(8) NOT NULL, \
     amount NUMERIC(12, 2), json JSONB, at TIMESTAMPTZ(3), raw BYTEA, day DATE)";

fn shape() -> Shape {
    let columns = [
        Column::new("id", Kind::Int8),
        Column::nullable("small", Kind::Int2),
        Column::nullable("real", Kind::Float8),
        Column::new("single", Kind::Float4),
        Column::nullable("name", Kind::Text),
        Column::nullable("amount", Kind::Numeric),
        Column::nullable("json", Kind::Json),
        Column::nullable("at", Kind::TimestampTz),
        Column::nullable("raw", Kind::Bytes),
        Column::new("day", Kind::Date),
    ];
    Shape::new("mixed", columns).key(["id"])
}

fn put(row: &Mixed, to: &mut ChunkWriter<'_>) {
    fn or_null<T>(value: Option<&T>, to: &mut ChunkWriter<'_>, put: impl FnOnce(&mut ChunkWriter<'_>, &T)) {
        match value {
            Some(value) => put(to, value),
            None => to.null(),
        }
    }
    to.i64(row.id);
    or_null(row.small.as_ref(), to, |to, v| to.i16(*v));
    or_null(row.real.as_ref(), to, |to, v| to.f64(*v));
    to.f32(row.single);
    or_null(row.name.as_ref(), to, |to, v| to.text(v));
    or_null(row.amount.as_ref(), to, |to, v| to.numeric(v));
    or_null(row.json.as_ref(), to, |to, v| to.json(v));
    or_null(row.at.as_ref(), to, |to, v| to.micros(*v));
    or_null(row.raw.as_ref(), to, |to, v| to.bytes(v));
    to.days(row.day);
}

fn decimal() -> impl Strategy<Value = String> {
    let plain = (any::<i32>(), "[0-9]{0,6}").prop_map(|(whole, part)| format!("{whole}.{part}0"));
    prop_oneof![8 => plain, 1 => "[-+]?[0-9]{1,4}[eE]-?[0-9]{1,2}", 1 => Just("12345678901234.5".to_owned())]
}

fn mixed() -> impl Strategy<Value = Mixed> {
    let name = prop_oneof![20 => "[a-zäß]{0,8}".prop_map(Some), 1 => Just(None), 1 => Just(Some("far too long a name".into())),
        1 => Just(Some("a\0b".into()))];
    let json = prop_oneof![10 => Just(r#"{"a": [1, null, "x"]}"#.to_owned()), 1 => Just("{broken".to_owned()),
        1 => Just("\"\\u0000\"".to_owned())];
    (
        (0i64..200, prop::option::of(-20i16..20), prop::option::of(any::<f64>()), name),
        (prop::option::of(decimal()), prop::option::of(json), any::<f32>()),
        (
            prop::option::of(-62_135_596_800_000_000i64..253_402_300_799_999_999),
            prop::option::of(any::<Vec<u8>>()),
            -719_162i32..2_932_896,
        ),
    )
        .prop_map(|((id, small, real, name), (amount, json, single), (at, raw, day))| Mixed {
            id,
            small,
            real,
            single,
            name,
            amount,
            json,
            at,
            raw,
            day,
        })
}

const MIXED: Case<Mixed> = Case {
    table: TABLE,
    reset: "TRUNCATE mixed; INSERT INTO mixed (id, name) SELECT i, 'old' FROM generate_series(0, 190, 10) i",
    read: "SELECT m::text FROM mixed m ORDER BY id",
    shape,
    put,
    key: |row| row.id,
};

#[test]
fn any_chunk_gives_the_same_table_or_the_same_error() {
    MIXED.agrees_by_every_strategy(prop::collection::vec(mixed(), 0..12), 120);
}

#[tokio::test]
async fn each_kind_of_fault_has_the_same_class_by_every_strategy() {
    let database = testkit::postgres().create_database("faults").unwrap();
    let gate = gate(&database);
    run(&gate, TABLE).await;
    let good = Mixed {
        id: 1,
        small: None,
        real: None,
        single: 0.5,
        name: Some("x".into()),
        amount: None,
        json: None,
        at: None,
        raw: None,
        day: 0,
    };
    let faults = [
        (Mixed { small: Some(13), ..good.clone() }, Class::Check),
        (Mixed { name: None, ..good.clone() }, Class::NotNull),
        (Mixed { name: Some("far too long".into()), ..good.clone() }, Class::Data),
        (Mixed { name: Some("a\0".into()), ..good.clone() }, Class::Data),
        (Mixed { amount: Some("99999999999".into()), ..good.clone() }, Class::Data),
        (Mixed { amount: Some(format!("0.{}", "1".repeat(17_000))), ..good.clone() }, Class::Data),
        (Mixed { json: Some("{".into()), ..good.clone() }, Class::Data),
        (Mixed { json: Some("\"\\u0000\"".into()), ..good.clone() }, Class::Data),
    ];
    for (row, class) in faults {
        for (rule, way) in [
            (Conflict::Error, Way::Unnest),
            (Conflict::Error, Way::Copy),
            (Conflict::Update, Way::Unnest),
            (Conflict::Update, Way::Staging),
        ] {
            let seen = MIXED.outcome(&gate, std::slice::from_ref(&row), &rule, way).await;
            assert_eq!(seen.err(), Some(class), "{way:?} {row:?}");
        }
    }
}

#[tokio::test]
async fn copy_names_the_row_and_spares_the_search() {
    let database = testkit::postgres().create_database("lines").unwrap();
    let gate = gate(&database);
    run(&gate, "CREATE TABLE \"t 9, line 3\" (id INT8 PRIMARY KEY, v INT4 CHECK (v > 0))").await;
    let shape = Shape::new("t 9, line 3", [Column::new("id", Kind::Int8), Column::new("v", Kind::Int4)]);
    for (way, cost) in [(Way::Copy, 3..12), (Way::Unnest, 20..90)] {
        run(&gate, "TRUNCATE \"t 9, line 3\"").await;
        let writer = BatchWriter::<(i64, i32)>::for_shape(gate.clone(), shape.clone()).strategy(way);
        let writer = writer.start().unwrap();
        let rows = (0..4_000i64).map(|id| (id, if [7, 2_222, 3_999].contains(&id) { -1 } else { 1 }));
        let outcomes = writer.push_many(rows).await.unwrap().outcomes().await;
        let bad: Vec<usize> = (0..4_000).filter(|&at| !outcomes[at].is_settled()).collect();
        assert_eq!(bad, [7, 2_222, 3_999]);
        let report = writer.close().await.unwrap();
        assert!(
            cost.contains(&report.stats.transactions),
            "{way:?}: {} transactions",
            report.stats.transactions
        );
        assert_eq!(report.strategies.iter().map(|used| used.rows).sum::<u64>(), 3_997);
        assert!(report.strategies.iter().all(|used| used.strategy == way));
    }
}

#[tokio::test]
async fn the_catalog_limits_the_strategies() {
    let database = testkit::postgres().create_database("catalog").unwrap();
    let gate = gate(&database);
    let schema = "CREATE TABLE plain (id INT8 PRIMARY KEY); \
        CREATE TABLE narrow (id INT4 PRIMARY KEY); \
        CREATE TABLE ruled (id INT8 PRIMARY KEY); \
        CREATE RULE nothing AS ON INSERT TO ruled WHERE NEW.id = 7 DO INSTEAD NOTHING; \
        CREATE TABLE parts (id INT8 PRIMARY KEY) PARTITION BY RANGE (id); \
        CREATE TABLE parts_all PARTITION OF parts DEFAULT; \
        CREATE DOMAIN big AS INT8 CHECK (VALUE < 100); CREATE TABLE domained (id big PRIMARY KEY); \
        CREATE VIEW seen AS SELECT * FROM plain; \
        CREATE TABLE always (id INT8 GENERATED ALWAYS AS IDENTITY PRIMARY KEY); \
        CREATE TABLE made (id INT8 GENERATED ALWAYS AS (1) STORED)";
    run(&gate, schema).await;
    let allowed = async |table: &str, conflict: Conflict| {
        let shape = Shape::new(table, [Column::new("id", Kind::Int8)]).key(["id"]);
        gate.prepare(&shape, &WritePlan::new(conflict)).await.map(|prepared| prepared.strategies().to_vec())
    };
    for (table, copy) in
        [("plain", true), ("parts", true), ("domained", true), ("narrow", false), ("ruled", false)]
    {
        let expected = if copy { vec![Way::Unnest, Way::Copy] } else { vec![Way::Unnest] };
        assert_eq!(allowed(table, Conflict::Error).await.unwrap(), expected, "{table}");
    }
    assert_eq!(allowed("plain", Conflict::Update).await.unwrap(), [Way::Unnest, Way::Staging]);
    for (table, code, words) in [
        ("seen", "42809", "is a view"),
        ("always", "428C9", "GENERATED ALWAYS AS IDENTITY"),
        ("made", "428C9", "is generated"),
        ("nowhere", "42P01", "there is no table"),
    ] {
        let error = allowed(table, Conflict::Error).await.unwrap_err();
        assert_eq!((error.cause().class(), error.cause().code()), (Class::Schema, Some(code)));
        assert!(error.cause().message().contains(words), "{error}");
    }
    let wrong = Shape::new("plain", [Column::new("di", Kind::Int8)]);
    let error = gate.prepare(&wrong, &WritePlan::new(Conflict::Error)).await.unwrap_err();
    assert!(error.cause().message().contains("no column \"di\""), "{error}");
}

/// Where somebody watches tables being made, none is made for a flush.
#[tokio::test]
async fn an_event_trigger_on_tables_leaves_unnest() {
    let database = testkit::postgres().create_database("watched").unwrap();
    let gate = gate(&database);
    run(
        &gate,
        "CREATE TABLE t (id INT8 PRIMARY KEY, v TEXT); \
         CREATE FUNCTION never() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'no tables now'; END $$; \
         CREATE EVENT TRIGGER frozen ON ddl_command_start WHEN TAG IN ('CREATE TABLE AS') EXECUTE FUNCTION never()",
    )
    .await;
    let shape = || {
        let columns = [Column::new("id", Kind::Int8), Column::new("v", Kind::Text)];
        Shape::new("t", columns).key(["id"])
    };
    let start = |way: Option<Way>| {
        let writer =
            BatchWriter::<(i64, String)>::for_shape(gate.clone(), shape()).conflict(Conflict::Update);
        let writer = writer.flush_rows(20_000);
        match way {
            Some(way) => writer.strategy(way).start().unwrap(),
            None => writer.start().unwrap(),
        }
    };
    let writer = start(None);
    let rows = (0..20_000).map(|id| (id, format!("v{id}")));
    let outcomes = writer.push_many(rows).await.unwrap().outcomes().await;
    assert!(outcomes.iter().all(Outcome::is_settled));
    let ways: Vec<_> = writer.close().await.unwrap().strategies.iter().map(|used| used.strategy).collect();
    assert_eq!(ways, [Way::Unnest]);
    let forced = start(Some(Way::Staging));
    let outcome = forced.reserve().await.unwrap().push((1, String::new())).outcome().await;
    let Outcome::Returned(returned) = outcome else { panic!("{outcome:?}") };
    assert!(returned.why.to_string().contains("event trigger"), "{}", returned.why);
    let _ = forced.close().await.unwrap();
    gate.close().await;
}

#[tokio::test]
async fn row_security_leaves_unnest() {
    let database = testkit::postgres().create_database("guarded").unwrap();
    let owner = gate(&database);
    let role = format!("reader_{}", std::process::id());
    run(
        &owner,
        &format!(
            "CREATE ROLE {role} LOGIN; CREATE TABLE t (id INT8); ALTER TABLE t ENABLE ROW LEVEL SECURITY; \
             CREATE POLICY small ON t FOR INSERT WITH CHECK (id < 10); GRANT INSERT ON t TO {role}"
        ),
    )
    .await;
    let url = database.url().replace("postgres@", &format!("{role}@"));
    let gate = PgGate::from_url(&url, GateConfig::default()).unwrap();
    let shape = || Shape::new("t", [Column::new("id", Kind::Int8)]);
    let writer = BatchWriter::<(i64,)>::for_shape(gate.clone(), shape()).start().unwrap();
    assert!(
        writer
            .push_many((0..9).map(|id| (id,)))
            .await
            .unwrap()
            .outcomes()
            .await
            .iter()
            .all(Outcome::is_settled)
    );
    let report = writer.close().await.unwrap();
    assert_eq!(report.strategies[0].strategy, Way::Unnest);
    let forced = BatchWriter::<(i64,)>::for_shape(gate.clone(), shape()).strategy(Way::Copy).start().unwrap();
    let outcome = forced.reserve().await.unwrap().push((1,)).outcome().await;
    let Outcome::Returned(returned) = outcome else { panic!("{outcome:?}") };
    assert!(
        matches!(&returned.why, Why::Batch(cause) if cause.message().contains("row security")),
        "{}",
        returned.why
    );
    let _ = forced.close().await.unwrap();
    gate.close().await;
    run(&owner, &format!("DROP OWNED BY {role}; DROP ROLE {role}")).await;
}

#[tokio::test]
async fn a_table_that_changes_under_a_writer_is_looked_up_again() {
    let database = testkit::postgres().create_database("changes").unwrap();
    let gate = gate(&database);
    run(&gate, "CREATE TABLE t (id INT8)").await;
    let shape = Shape::new("t", [Column::new("id", Kind::Int8)]);
    let writer = BatchWriter::<(i64,)>::for_shape(gate.clone(), shape).start().unwrap();
    let rows = || (0..2_000).map(|id| (id,));
    assert!(writer.push_many(rows()).await.unwrap().outcomes().await.iter().all(Outcome::is_settled));
    run(&gate, "ALTER TABLE t ALTER id TYPE INT4").await; // COPY BINARY of eight bytes no longer fits
    assert!(writer.push_many(rows()).await.unwrap().outcomes().await.iter().all(Outcome::is_settled));
    run(&gate, "ALTER TABLE t RENAME id TO number").await;
    let outcome = writer.reserve().await.unwrap().push((1,)).outcome().await;
    assert!(
        matches!(&outcome, Outcome::Returned(r) if matches!(&r.why, Why::Batch(c) if c.code() == Some("42703")))
    );
    let report = writer.close().await.unwrap();
    let ways: Vec<Way> = report.strategies.iter().map(|used| used.strategy).collect();
    assert_eq!(ways, [Way::Copy, Way::Unnest]);
}

#[tokio::test]
async fn rows_skipped_by_copy_are_named() {
    let database = testkit::postgres().create_database("skipped").unwrap();
    let gate = gate(&database);
    run(
        &gate,
        "CREATE TABLE kv (k INT8, v TEXT); \
         CREATE FUNCTION odd() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF NEW.k % 2 = 1 THEN RETURN NULL; END IF; RETURN NEW; END $$; \
         CREATE TRIGGER odd BEFORE INSERT ON kv FOR EACH ROW EXECUTE FUNCTION odd()",
    )
    .await;
    let shape = Shape::new("kv", [Column::new("k", Kind::Int8)]);
    let writer = BatchWriter::<(i64,)>::for_shape(gate, shape).strategy(Way::Copy).start().unwrap();
    let outcomes = writer.push_many((0..40).map(|k| (k,))).await.unwrap().outcomes().await;
    assert!(outcomes.iter().all(Outcome::is_settled));
    let report = writer.close().await.unwrap();
    assert_eq!((report.stats.committed, report.stats.skipped), (20, 20));
}

#[tokio::test]
async fn keys_that_only_the_server_calls_equal_keep_their_order() {
    let database = testkit::postgres().create_database("equal").unwrap();
    let gate = gate(&database);
    run(&gate, "CREATE TABLE prices (amount NUMERIC PRIMARY KEY, tag TEXT)").await;
    let shape = Shape::new("prices", [Column::new("amount", Kind::Numeric), Column::new("tag", Kind::Text)])
        .key(["amount"]);
    for way in [Way::Unnest, Way::Staging] {
        run(&gate, "TRUNCATE prices").await;
        let writer =
            BatchWriter::<(offgridflow_query::Numeric, String)>::for_shape(gate.clone(), shape.clone());
        let writer = writer.conflict(Conflict::Update).strategy(way).start().unwrap();
        let rows = ["1.00", "2", "1.0"].map(|n| (offgridflow_query::Numeric(n.into()), format!("tag {n}")));
        let outcomes = writer.push_many(rows).await.unwrap().outcomes().await;
        assert!(outcomes.iter().all(Outcome::is_settled), "{way:?} {outcomes:?}");
        assert!(writer.close().await.unwrap().is_clean());
        let left = texts(&gate, "SELECT tag FROM prices ORDER BY amount").await;
        assert_eq!(left, ["tag 1.0", "tag 2"]);
    }
}

// Decimal numbers at the limits of `numeric`.

const LONGEST: Case<String> = Case {
    table: "CREATE TABLE amounts (id INT8, amount NUMERIC)",
    reset: "TRUNCATE amounts",
    read: "SELECT md5(amount::text) FROM amounts ORDER BY 1",
    shape: || Shape::new("amounts", [Column::new("id", Kind::Int8), Column::new("amount", Kind::Numeric)]),
    put: |text, to| {
        to.i64(1);
        to.numeric(text);
    },
    key: |_| 1,
};

#[tokio::test]
async fn the_longest_numbers_go_by_every_strategy() {
    let database = testkit::postgres().create_database("numerics").unwrap();
    let gate = gate(&database);
    run(&gate, LONGEST.table).await;
    let (whole, part) = ("9".repeat(131_072), "7".repeat(16_383));
    let fits = [
        "1e131071".to_owned(),
        "1e-16383".to_owned(),
        "-1E+10000".to_owned(),
        whole.clone(),
        format!("-{whole}.{part}"),
        format!(".{part}"),
    ];
    for number in fits {
        let what = format!("{number:.20}, {} characters", number.len());
        let [copy, unnest] = by_both(&gate, number).await;
        assert!(copy.is_ok(), "{what}: {copy:?}");
        assert_eq!(copy, unnest, "{what}");
        assert_eq!(texts(&gate, "SELECT count(*)::text FROM amounts").await, ["1"]);
    }
    for number in ["NaN", "Infinity", "-Infinity"] {
        let [copy, unnest] = by_both(&gate, number.to_owned()).await;
        assert!(copy == unnest && copy.is_ok(), "{number}: {copy:?}, {unnest:?}");
        assert_eq!(texts(&gate, "SELECT amount::text FROM amounts").await, [number]);
    }
    for number in ["1e131072".to_owned(), format!("{whole}0"), "1e-16384".to_owned(), "-1e999999".to_owned()]
    {
        let what = format!("{number:.20}, {} characters", number.len());
        let [copy, unnest] = by_both(&gate, number).await;
        assert_eq!(copy, unnest, "{what}");
    }
}

/// What COPY leaves, and what UNNEST.
async fn by_both(gate: &PgGate, number: String) -> [Result<Vec<String>, Class>; 2] {
    let rows = [number];
    [
        LONGEST.outcome(gate, &rows, &Conflict::Error, Way::Copy).await,
        LONGEST.outcome(gate, &rows, &Conflict::Error, Way::Unnest).await,
    ]
}
