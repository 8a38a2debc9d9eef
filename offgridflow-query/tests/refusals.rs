//! Refusals and equalities that only the database knows: each row still has its one true outcome.
#![cfg(all(feature = "postgres", feature = "sqlite"))]

use offgridflow_query::{
    Acquire, Atomicity, BatchConnection, BatchWriter, BatchWriterBuilder, Cause, Class, Column, Conflict,
    ConnectionPool, Fate, GateConfig, Kind, Outcome, PgGate, Retry, Shape, SqliteGate, Strategy, Ticket,
    TxToken, Why, WritePlan,
};
use sqlx::{AssertSqlSafe, Connection, PgConnection, SqliteConnection};
use std::time::Duration;

type Pair = (i64, String);

fn shape(table: &str) -> Shape {
    Shape::new(table, [Column::new("id", Kind::Int8), Column::new("v", Kind::Text)]).key(["id"])
}

fn keyed(table: &str, kind: Kind) -> Shape {
    Shape::new(table, [Column::new("k", kind), Column::new("v", Kind::Text)]).key(["k"])
}

fn pairs(ids: std::ops::Range<i64>) -> Vec<Pair> {
    ids.map(|id| (id, format!("v{id}"))).collect()
}

fn postgres(name: &str) -> (PgGate, testkit::Database) {
    let database = testkit::postgres().create_database(name).unwrap();
    let gate =
        PgGate::from_url(&database.url(), GateConfig { max_open: 4, ..GateConfig::default() }).unwrap();
    (gate, database)
}

fn sqlite() -> SqliteGate {
    SqliteGate::from_url("sqlite::memory:", GateConfig::default()).unwrap()
}

async fn pg(gate: &PgGate, sql: &str) {
    let mut conn = gate.acquire(Acquire::default()).await.unwrap();
    sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(&mut *conn).await.unwrap();
}

async fn lite(gate: &SqliteGate, sql: &str) {
    let mut conn = gate.acquire(Acquire::default()).await.unwrap();
    sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(&mut *conn).await.unwrap();
}

async fn pg_text(gate: &PgGate, sql: &str) -> String {
    let mut conn = gate.acquire(Acquire::default()).await.unwrap();
    sqlx::query_scalar(AssertSqlSafe(sql.to_owned())).fetch_one(&mut *conn).await.unwrap()
}

async fn lite_text(gate: &SqliteGate, sql: &str) -> String {
    let mut conn = gate.acquire(Acquire::default()).await.unwrap();
    sqlx::query_scalar(AssertSqlSafe(sql.to_owned())).fetch_one(&mut *conn).await.unwrap()
}

/// What became of the rows: positions rejected with their causes, and the others.
async fn fates<R: Send + 'static>(writer: BatchWriter<R>, rows: Vec<R>) -> Vec<Outcome<R>> {
    let outcomes = writer.push_many(rows).await.unwrap().outcomes().await;
    let report = writer.close().await.unwrap();
    assert_eq!(report.violation, None);
    outcomes
}

fn rejected<R>(outcomes: &[Outcome<R>]) -> Vec<(usize, Cause)> {
    let cause = |outcome: &Outcome<R>| match outcome {
        Outcome::Rejected(rejected) => Some(rejected.cause.clone()),
        _ => None,
    };
    outcomes.iter().enumerate().filter_map(|(at, outcome)| Some((at, cause(outcome)?))).collect()
}

fn settled<R>(outcomes: &[Outcome<R>]) -> usize {
    outcomes.iter().filter(|outcome| outcome.is_settled()).count()
}

fn returned<R>(outcome: &Outcome<R>) -> &Why {
    match outcome {
        Outcome::Returned(returned) => &returned.why,
        other => panic!("{other:?}"),
    }
}

/// One row of ten is refused, and named, and the others are stored.
fn only_five_is_refused(outcomes: &[Outcome<Pair>]) -> Cause {
    let bad = rejected(outcomes);
    assert_eq!((bad.len(), settled(outcomes)), (1, outcomes.len() - 1), "{outcomes:?}");
    assert_eq!(bad[0].0, 5);
    bad[0].1.clone()
}

// Settling a lost COMMIT.

#[tokio::test]
async fn a_connection_that_was_ended_is_not_taken_for_an_answer() {
    let (gate, database) = postgres("ended");
    let end = async || {
        let mut conn = PgConnection::connect(&database.url()).await.unwrap();
        let pid: i32 = sqlx::query_scalar("SELECT pg_backend_pid()").fetch_one(&mut conn).await.unwrap();
        pg(&gate, &format!("SELECT pg_terminate_backend({pid}, 5000)")).await;
        conn
    };
    let asked = end().await.outcome(&TxToken::new("s", "00000001", "700")).await;
    assert_eq!(asked.unwrap_err().class(), Class::Connection);
    pg(&gate, "CREATE TABLE t (id int8 PRIMARY KEY, v text)").await;
    let looked = end().await.prepare(&shape("t"), &WritePlan::new(Conflict::Error)).await;
    assert_eq!(looked.unwrap_err().cause().class(), Class::Connection);
}

/// COMMIT ends every connection of the database, itself included, once: all connections at hand hold a farewell.
#[tokio::test]
async fn a_terminated_commit_is_settled_by_the_healthy_server() {
    let (gate, _database) = postgres("terminated");
    pg(
        &gate,
        "CREATE TABLE t (id int8 PRIMARY KEY, v text); CREATE SEQUENCE once; \
        CREATE FUNCTION farewell() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF nextval('once') = 1 THEN \
        PERFORM pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() \
        ORDER BY pid = pg_backend_pid(); PERFORM pg_sleep(5); END IF; RETURN NULL; END $$; \
        CREATE CONSTRAINT TRIGGER farewell AFTER INSERT ON t DEFERRABLE INITIALLY DEFERRED FOR EACH ROW \
        EXECUTE FUNCTION farewell()",
    )
    .await;
    let idle =
        [gate.acquire(Acquire::default()).await.unwrap(), gate.acquire(Acquire::default()).await.unwrap()];
    drop(idle);
    let writer = BatchWriter::for_shape(gate.clone(), shape("t")).start().unwrap();
    let outcomes = fates(writer, pairs(0..3)).await;
    assert_eq!(settled(&outcomes), 3, "{outcomes:?}");
    assert_eq!(pg_text(&gate, "SELECT count(*)::text FROM t").await, "3");
}

// Keys that only the database calls equal.

async fn last_wins_pg<K: Send + 'static>(table: &str, key: &str, kind: Kind, rows: Vec<(K, String)>)
where
    (K, String): offgridflow_query::Fields,
{
    let (gate, _database) = postgres(table);
    pg(&gate, "CREATE COLLATION ci (provider = icu, locale = 'und-u-ks-level2', deterministic = false)")
        .await;
    pg(&gate, &format!("CREATE TABLE {table} (k {key} PRIMARY KEY, v text)")).await;
    let builder: BatchWriterBuilder<(K, String), _> =
        BatchWriter::for_shape(gate.clone(), keyed(table, kind));
    let writer = builder.conflict(Conflict::Update).in_flight(3).start().unwrap();
    let outcomes = fates(writer, rows).await;
    assert!(outcomes.iter().all(Outcome::is_settled), "{outcomes:?}");
    assert_eq!(pg_text(&gate, &format!("SELECT string_agg(v, ',') FROM {table}")).await, "last", "{key}");
}

fn told<K>(keys: impl IntoIterator<Item = K>) -> Vec<(K, String)> {
    let mut rows: Vec<_> = keys.into_iter().map(|key| (key, "early".to_owned())).collect();
    rows.last_mut().unwrap().1 = "last".to_owned();
    rows
}

#[tokio::test]
async fn the_last_write_wins_whatever_postgresql_calls_equal() {
    let text = |keys: &[&str]| told(keys.iter().map(|&key| key.to_owned()));
    last_wins_pg(
        "ci",
        "text COLLATE ci",
        Kind::Text,
        text(&["b", "a", "B", "A", "aA", "Aa", "AA", "A"][1..2]),
    )
    .await;
    last_wins_pg("ci_one", "text COLLATE ci", Kind::Text, text(&["abc", "aBc", "ABC"])).await;
    last_wins_pg("padded", "char(5)", Kind::Text, text(&["a  ", "a ", "a"])).await;
    last_wins_pg("short", "varchar(2)", Kind::Text, text(&["ab  ", "ab ", "ab"])).await;
    last_wins_pg("whole", "int", Kind::Float8, told([1.4, 1.3, 1.2])).await;
    last_wins_pg("nan", "float8", Kind::Float8, told([f64::NAN, -f64::NAN])).await;
    last_wins_pg("nan_too", "float8", Kind::Float8, told([-f64::NAN, f64::NAN])).await;
    last_wins_pg("narrow", "float4", Kind::Int8, told([16_777_217_i64, 16_777_216])).await;
}

#[tokio::test]
async fn the_last_write_wins_in_a_transaction_of_several_parts() {
    let (gate, _database) = postgres("ci_together");
    pg(
        &gate,
        "CREATE COLLATION ci (provider = icu, locale = 'und-u-ks-level2', deterministic = false); \
        CREATE TABLE t (k text COLLATE ci PRIMARY KEY, v text CHECK (v <> 'bad'))",
    )
    .await;
    let builder = BatchWriter::<(String, String)>::for_shape(gate.clone(), keyed("t", Kind::Text));
    let writer = builder.conflict(Conflict::Update).atomicity(Atomicity::Together).start().unwrap();
    let rows =
        [("b", "early"), ("B", "middle"), ("x", "bad"), ("a", "early"), ("b ", "apart"), ("A", "last")];
    let outcomes = fates(writer, rows.map(|(k, v)| (k.to_owned(), v.to_owned())).into()).await;
    assert_eq!((rejected(&outcomes).len(), settled(&outcomes)), (1, 5), "{outcomes:?}");
    assert_eq!(pg_text(&gate, "SELECT string_agg(v, ',' ORDER BY v) FROM t").await, "apart,last,middle");
}

#[tokio::test]
async fn the_last_write_wins_whatever_sqlite_calls_equal() {
    let gate = sqlite();
    for (key, keys) in [
        ("TEXT COLLATE NOCASE", ["abc", "aBc", "ABC"]),
        ("TEXT COLLATE RTRIM", ["a  ", "a ", "a"]),
        ("NUMERIC", ["10.00", "10.0", "10"]),
    ] {
        lite(&gate, &format!("CREATE TABLE t (k {key} PRIMARY KEY, v TEXT)")).await;
        let builder = BatchWriter::<(String, String)>::for_shape(gate.clone(), keyed("t", Kind::Text));
        let writer = builder.conflict(Conflict::Update).start().unwrap();
        let outcomes = fates(writer, told(keys.map(str::to_owned))).await;
        assert_eq!(settled(&outcomes), 3);
        assert_eq!(lite_text(&gate, "SELECT group_concat(v) FROM t").await, "last", "{key}");
        lite(&gate, "DROP TABLE t").await;
    }
}

// SQLite that rolls back by itself, and foreign keys that only COMMIT looks at.

#[tokio::test]
async fn a_row_for_which_sqlite_rolls_back_is_named() {
    let gate = sqlite();
    lite(&gate, "CREATE TABLE raised (id INTEGER PRIMARY KEY, v TEXT); CREATE TRIGGER r BEFORE INSERT ON raised \
        WHEN new.id = 5 BEGIN SELECT RAISE(ROLLBACK, 'no five'); END; \
        CREATE TABLE clashing (id INTEGER, v TEXT UNIQUE ON CONFLICT ROLLBACK); INSERT INTO clashing VALUES (1000, 'v5')").await;
    for atomicity in [Atomicity::Independent, Atomicity::Together] {
        let writer = |table| {
            BatchWriter::for_shape(gate.clone(), shape(table)).atomicity(atomicity).retry(Retry::never())
        };
        let cause = only_five_is_refused(&fates(writer("raised").start().unwrap(), pairs(0..10)).await);
        assert_eq!((cause.class(), cause.message()), (Class::Raised, "no five"));
        let cause = only_five_is_refused(&fates(writer("clashing").start().unwrap(), pairs(0..10)).await);
        assert_eq!(cause.class(), Class::Unique);
        lite(&gate, "DELETE FROM raised; DELETE FROM clashing WHERE id < 1000").await;
    }
}

#[tokio::test]
async fn rehearsals_check_what_sqlites_commit_checks() {
    let gate = sqlite();
    lite(&gate, "CREATE TABLE parent (id INTEGER PRIMARY KEY); INSERT INTO parent VALUES (0), (1), (2), (3), (4), (6), (7), (8), (9); \
        CREATE TABLE child (id INTEGER REFERENCES parent (id) DEFERRABLE INITIALLY DEFERRED, v TEXT)").await;
    let writer = |atomicity| {
        BatchWriter::for_shape(gate.clone(), shape("child")).atomicity(atomicity).start().unwrap()
    };
    let cause = only_five_is_refused(&fates(writer(Atomicity::Together), pairs(0..10)).await);
    assert_eq!(cause.class(), Class::ForeignKey);
    assert_eq!(lite_text(&gate, "SELECT CAST(count(*) AS TEXT) FROM child").await, "9");
    let outcomes = fates(writer(Atomicity::AllOrNothing), pairs(0..10)).await;
    assert_eq!((rejected(&outcomes)[0].0, settled(&outcomes)), (5, 0), "{outcomes:?}");
    let grouping = writer(Atomicity::Independent);
    let outcomes = grouping.push_group(pairs(0..10)).await.unwrap().outcomes().await;
    assert_eq!((rejected(&outcomes)[0].0, settled(&outcomes)), (5, 0), "{outcomes:?}");
    let _ = grouping.close().await.unwrap();
    assert_eq!(
        lite_text(&gate, "SELECT CAST(count(*) AS TEXT) FROM child").await,
        "9",
        "rehearsals store nothing"
    );
}

// Triggers with codes of their own, and slow rows.

async fn refusing(gate: &PgGate, table: &str, body: &str, when: &str) {
    pg(
        gate,
        &format!(
            "CREATE TABLE {table} (id int8 PRIMARY KEY, v text); \
        CREATE FUNCTION {table}_t() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {body} RETURN NEW; END $$; \
        CREATE {when} FOR EACH ROW EXECUTE FUNCTION {table}_t()"
        ),
    )
    .await;
}

#[tokio::test]
async fn a_row_refused_with_any_code_is_named() {
    let (gate, _database) = postgres("codes");
    for code in ["AB123", "P0002", "P0004", "XX000", "55000", "U0001"] {
        let body = format!("IF NEW.id = 5 THEN RAISE EXCEPTION 'no five' USING ERRCODE = '{code}'; END IF;");
        for (n, when) in
            ["TRIGGER t BEFORE INSERT ON", "CONSTRAINT TRIGGER t AFTER INSERT ON"].into_iter().enumerate()
        {
            let table = format!("t{n}_{}", code.to_lowercase());
            let deferred = if n == 1 { " DEFERRABLE INITIALLY DEFERRED" } else { "" };
            refusing(&gate, &table, &body, &format!("{when} {table}{deferred}")).await;
            for atomicity in [Atomicity::Independent, Atomicity::Together] {
                let builder = BatchWriter::for_shape(gate.clone(), shape(&table)).atomicity(atomicity);
                let cause = only_five_is_refused(&fates(builder.start().unwrap(), pairs(0..10)).await);
                assert_eq!((cause.code(), cause.message()), (Some(code), "no five"), "{table}");
                pg(&gate, &format!("DELETE FROM {table}")).await;
            }
        }
    }
}

#[tokio::test]
async fn a_code_that_every_row_meets_returns_the_batch() {
    let (gate, _database) = postgres("every");
    refusing(&gate, "t", "RAISE EXCEPTION 'never' USING ERRCODE = 'XX000';", "TRIGGER t BEFORE INSERT ON t")
        .await;
    for (atomicity, rows) in
        [(Atomicity::Independent, 1_000), (Atomicity::Together, 1_000), (Atomicity::Independent, 3)]
    {
        let writer = BatchWriter::for_shape(gate.clone(), shape("t")).atomicity(atomicity).start().unwrap();
        let outcomes = writer.push_many(pairs(0..rows)).await.unwrap().outcomes().await;
        for outcome in &outcomes {
            assert!(
                matches!(returned(outcome), Why::Batch(cause) if cause.code() == Some("XX000")),
                "{outcome:?}"
            );
        }
        let tried = writer.close().await.unwrap().stats.transactions;
        assert!(tried < 30, "{tried} transactions to find that every row fails");
    }
}

/// What a trigger finds missing for one row is that row's fault.
#[tokio::test]
async fn a_row_for_which_a_trigger_finds_no_table_is_named() {
    let (gate, _database) = postgres("routed");
    let route = "EXECUTE 'SELECT 1 FROM part_' || (CASE WHEN NEW.id = 5 THEN 'secret4711' ELSE 'a' END);";
    refusing(&gate, "t", route, "TRIGGER t BEFORE INSERT ON t").await;
    pg(&gate, "CREATE TABLE part_a ()").await;
    for strategy in [Strategy::Unnest, Strategy::Copy] {
        let writer = BatchWriter::for_shape(gate.clone(), shape("t")).strategy(strategy).start().unwrap();
        let outcomes = writer.push_many(pairs(0..20)).await.unwrap().outcomes().await;
        let _ = writer.close().await.unwrap();
        assert_eq!(settled(&outcomes), 19, "{outcomes:?}");
        let Outcome::Rejected(rejected) = &outcomes[5] else { panic!("{:?}", outcomes[5]) };
        assert_eq!(rejected.cause.class(), Class::Schema);
        assert!(!rejected.cause.message().contains("4711"), "{}", rejected.cause);
        pg(&gate, "DELETE FROM t").await;
    }
}

#[tokio::test]
async fn a_slow_row_is_named_and_the_others_are_stored() {
    let (gate, database) = postgres("slow_row");
    refusing(&gate, "t", "IF NEW.id = 5 THEN PERFORM pg_sleep(30); END IF;", "TRIGGER t BEFORE INSERT ON t")
        .await;
    pg(&gate, &format!("ALTER DATABASE {} SET statement_timeout = '300ms'", database.name())).await;
    let gate = PgGate::from_url(&database.url(), GateConfig::default()).unwrap();
    for strategy in [Strategy::Unnest, Strategy::Copy] {
        let writer = BatchWriter::for_shape(gate.clone(), shape("t")).strategy(strategy).start().unwrap();
        let outcomes = writer.push_many(pairs(0..64)).await.unwrap().outcomes().await;
        let retries = writer.close().await.unwrap().stats.retries;
        assert_eq!((settled(&outcomes), retries), (63, 0), "{outcomes:?}");
        let Why::Unavailable(cause) = returned(&outcomes[5]) else { panic!("{:?}", outcomes[5]) };
        assert_eq!(cause.class(), Class::Cancelled);
        pg(&gate, "DELETE FROM t").await;
    }
}

// Tables that store somewhere else.

#[tokio::test]
async fn what_stores_elsewhere_is_refused_before_a_row_is_sent() {
    let gate = sqlite();
    lite(
        &gate,
        "CREATE TABLE base (id INTEGER PRIMARY KEY, v TEXT); CREATE VIEW seen AS SELECT * FROM base; \
        CREATE TRIGGER i INSTEAD OF INSERT ON seen BEGIN INSERT INTO base VALUES (new.id, new.v); END",
    )
    .await;
    let outcomes =
        fates(BatchWriter::for_shape(gate.clone(), shape("seen")).start().unwrap(), pairs(0..3)).await;
    let Why::Batch(cause) = returned(&outcomes[0]) else { panic!("{outcomes:?}") };
    assert!(cause.message().contains("a view; write to the table behind it"), "{cause}");
    assert_eq!(lite_text(&gate, "SELECT CAST(count(*) AS TEXT) FROM base").await, "0");

    let (gate, _database) = postgres("elsewhere");
    pg(&gate, "CREATE TABLE t (id int8, v text); CREATE TABLE aside (id int8, v text); \
        CREATE RULE aside AS ON INSERT TO t WHERE NEW.id > 4 DO INSTEAD INSERT INTO aside VALUES (NEW.id, NEW.v)").await;
    let outcomes =
        fates(BatchWriter::for_shape(gate.clone(), shape("t")).start().unwrap(), pairs(0..10)).await;
    let Why::Batch(cause) = returned(&outcomes[9]) else { panic!("{outcomes:?}") };
    assert!(cause.message().contains("DO INSTEAD"), "{cause}");
    assert_eq!(pg_text(&gate, "SELECT count(*)::text FROM aside").await, "0");
}

/// A ROLLBACK after SQLite has rolled back itself is no failure, and the connection stays.
#[tokio::test]
async fn a_rollback_without_a_transaction_is_no_error() {
    use offgridflow_query::Transact;
    let mut conn = SqliteConnection::connect("sqlite::memory:").await.unwrap();
    Transact::begin(&mut conn).await.unwrap();
    conn.rollback().await.unwrap();
    conn.rollback().await.unwrap();
}

#[tokio::test]
async fn postgresql_has_no_end_of_time() {
    let (gate, _database) = postgres("longest");
    pg(&gate, "CREATE TABLE t (id int8 PRIMARY KEY, v text)").await;
    let builder =
        BatchWriter::for_shape(gate, shape("t")).answer_timeout(Duration::MAX).lock_timeout(Duration::MAX);
    let outcomes = fates(builder.start().unwrap(), pairs(0..3)).await;
    assert_eq!(settled(&outcomes), 3, "{outcomes:?}");
}

/// Tickets of committed rows say so even where a later row of an equal key overwrote them.
#[tokio::test]
async fn overwritten_rows_were_committed() {
    let gate = sqlite();
    lite(&gate, "CREATE TABLE t (k TEXT PRIMARY KEY COLLATE NOCASE, v TEXT)").await;
    let builder = BatchWriter::<(String, String)>::for_shape(gate, keyed("t", Kind::Text));
    let writer = builder.conflict(Conflict::Update).start().unwrap();
    let tickets = writer.push_many(told(["a", "A"].map(str::to_owned))).await.unwrap();
    for receipt in tickets.into_iter().map(Ticket::committed) {
        assert_eq!(receipt.await.unwrap().fate, Fate::Committed);
    }
    let _ = writer.close().await.unwrap();
}
