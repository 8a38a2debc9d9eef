//! Whatever goes wrong, the report says which rows went where and why, nothing hangs, and the pool is whole afterwards.
#![cfg(all(feature = "postgres", feature = "sqlite"))]

use offgridflow_query::{
    Acquire, BatchExecutor, BatchWriter, Class, Column, Conflict, ConnectionPool, GateConfig, Kind, Outcome,
    PgGate, Retry, Shape, SqliteGate, Strategy, Why, WritePlan, row,
};
use sqlx::{AssertSqlSafe, Row as _};
use std::time::Duration;

struct Reading {
    id: i64,
    note: String,
}
row!(Reading in "readings" { id, note } key { id });

fn reading(id: i64) -> Reading {
    Reading { id, note: "x".repeat(100) }
}

const TABLE: &str = "CREATE TABLE readings (id INT8 PRIMARY KEY, note TEXT)";

fn open(url: &str) -> PgGate {
    PgGate::from_url(url, GateConfig { max_open: 3, ..GateConfig::default() }).unwrap()
}

async fn run(gate: &PgGate, sql: &str) {
    let mut conn = gate.acquire(Acquire::default()).await.unwrap();
    sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(&mut *conn).await.unwrap();
}

/// Every row came back for a reason that `why` knows, and the pool has all its places.
async fn all_returned(gate: &PgGate, retry: Retry, strategy: Strategy, why: fn(&Why) -> bool) {
    let writer = BatchWriter::builder(gate.clone()).retry(retry).strategy(strategy).start().unwrap();
    let outcomes = writer.push_many((0..50).map(reading)).await.unwrap().outcomes().await;
    for (id, outcome) in (0..).zip(outcomes) {
        let Outcome::Returned(returned) = outcome else { panic!("{outcome:?}") };
        assert!(why(&returned.why), "{}", returned.why);
        assert_eq!(returned.row.id, id, "the row itself comes back");
    }
    let report = writer.close().await.unwrap();
    assert_eq!((report.stats.rows_in, report.stats.returned), (50, 50));
    whole(gate).await;
}

async fn whole(gate: &PgGate) {
    let all_back = async {
        while gate.status().in_use > 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), all_back).await.expect("every place is free again");
}

fn class(why: &Why) -> Option<Class> {
    match why {
        Why::Batch(cause) | Why::Unavailable(cause) => Some(cause.class()),
        _ => None,
    }
}

#[tokio::test]
async fn a_read_only_database_takes_nothing() {
    let database = testkit::postgres().create_database("readonly").unwrap();
    run(
        &open(&database.url()),
        &format!("{TABLE}; ALTER DATABASE {} SET default_transaction_read_only = on", database.name()),
    )
    .await;
    let gate = open(&database.url());
    for strategy in [Strategy::Unnest, Strategy::Copy] {
        all_returned(&gate, Retry::default(), strategy, |why| class(why) == Some(Class::ReadOnly)).await;
    }
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("readonly.db");
    let url = format!("sqlite:{}", path.display());
    let writable = SqliteGate::from_url(&url, GateConfig::default()).unwrap();
    sqlx::raw_sql(TABLE).execute(&mut *writable.acquire(Acquire::default()).await.unwrap()).await.unwrap();
    writable.close().await;
    let gate = SqliteGate::from_url(&format!("{url}?mode=ro"), GateConfig::default());
    let writer = BatchWriter::builder(gate.unwrap()).retry(Retry::never()).start().unwrap();
    let outcome = writer.reserve().await.unwrap().push(reading(1)).outcome().await;
    let Outcome::Returned(returned) = outcome else { panic!("{outcome:?}") };
    assert_eq!(class(&returned.why), Some(Class::ReadOnly), "{}", returned.why);
    let _ = writer.close().await.unwrap();
}

#[tokio::test]
async fn a_statement_that_takes_too_long_is_tried_again_and_then_given_back() {
    let database = testkit::postgres().create_database("slow").unwrap();
    let slow = "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(30); RETURN NEW; END $$; \
                CREATE TRIGGER slow BEFORE INSERT ON readings FOR EACH ROW EXECUTE FUNCTION slow()";
    let limit = format!("ALTER DATABASE {} SET statement_timeout = '60ms'", database.name());
    run(&open(&database.url()), &format!("{TABLE}; {slow}; {limit}")).await;
    let retry = Retry { attempts: 2, base: Duration::from_millis(1), ..Retry::default() };
    for strategy in [Strategy::Unnest, Strategy::Copy] {
        all_returned(&open(&database.url()), retry, strategy, |why| class(why) == Some(Class::Cancelled))
            .await;
    }
}

#[tokio::test]
async fn a_lock_that_is_held_too_long_is_contention() {
    let database = testkit::postgres().create_database("locked").unwrap();
    let gate = open(&database.url());
    run(&gate, TABLE).await;
    let holder = open(&database.url());
    let mut lock = holder.acquire(Acquire::default()).await.unwrap();
    sqlx::raw_sql("BEGIN; LOCK TABLE readings IN ACCESS EXCLUSIVE MODE").execute(&mut *lock).await.unwrap();
    let writer =
        BatchWriter::builder(gate.clone()).retry(Retry::never()).lock_timeout(Duration::from_millis(50));
    let writer = writer.start().unwrap();
    let outcome = writer.reserve().await.unwrap().push(reading(1)).outcome().await;
    let Outcome::Returned(returned) = outcome else { panic!("{outcome:?}") };
    assert_eq!(class(&returned.why), Some(Class::Contention));
    sqlx::raw_sql("ROLLBACK").execute(&mut *lock).await.unwrap();
    writer.reserve().await.unwrap().push(returned.row).committed().await.unwrap();
    let _ = writer.close().await.unwrap();
    whole(&gate).await;
}

/// 40001 in the first try, success in the second.
#[tokio::test]
async fn a_serialization_failure_is_tried_again() {
    let database = testkit::postgres().create_database("serial").unwrap();
    let gate = open(&database.url());
    let fails_once = "CREATE SEQUENCE tries; CREATE FUNCTION once() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
        IF nextval('tries') = 1 THEN RAISE EXCEPTION 'could not serialize' USING ERRCODE = '40001'; END IF; RETURN NEW; END $$; \
        CREATE TRIGGER once BEFORE INSERT ON readings FOR EACH STATEMENT EXECUTE FUNCTION once()";
    run(&gate, &format!("{TABLE}; {fails_once}")).await;
    let writer = BatchWriter::builder(gate.clone()).strategy(Strategy::Copy).start().unwrap();
    let outcomes = writer.push_many((0..50).map(reading)).await.unwrap().outcomes().await;
    assert!(outcomes.iter().all(Outcome::is_settled));
    let report = writer.close().await.unwrap();
    assert!(report.stats.retries >= 1 && report.stats.committed == 50);
    whole(&gate).await;
}

/// The writer holds row 1 and waits for row 2; whoever holds row 2 asks for row 1. The server gives up the writer, which
/// waited first.
#[tokio::test]
async fn a_deadlock_is_tried_again() {
    use sqlx::Connection as _;
    let database = testkit::postgres().create_database("deadlock").unwrap();
    let gate = open(&database.url());
    run(&gate, &format!("{TABLE}; INSERT INTO readings VALUES (1, 'old'), (2, 'old')")).await;
    let mut other = sqlx::PgConnection::connect(&database.url()).await.unwrap();
    let begin = "SET deadlock_timeout = '60s'; BEGIN; UPDATE readings SET note = 'other' WHERE id = 2";
    sqlx::raw_sql(begin).execute(&mut other).await.unwrap();
    let writer = BatchWriter::builder(gate.clone()).conflict(Conflict::Update);
    let writer = writer.lock_timeout(Duration::from_secs(60)).start().unwrap();
    let tickets = writer.push_many([1, 2].map(reading)).await.unwrap();
    let waiting = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
    let mut watcher = sqlx::PgConnection::connect(&database.url()).await.unwrap(); // within a transaction the first answer stays
    while sqlx::query(waiting).fetch_one(&mut watcher).await.unwrap().get::<i64, _>(0) == 0 {
        tokio::task::yield_now().await;
    }
    let end = "UPDATE readings SET note = 'other' WHERE id = 1; COMMIT";
    sqlx::raw_sql(end).execute(&mut other).await.expect("the writer is the one that is given up");
    assert!(tickets.outcomes().await.iter().all(Outcome::is_settled));
    let report = writer.close().await.unwrap();
    assert!(report.stats.retries >= 1 && report.stats.committed == 2, "{:?}", report.stats);
    let sql = "SELECT count(*) FROM readings WHERE note LIKE 'x%'";
    assert_eq!(sqlx::query(sql).fetch_one(&mut other).await.unwrap().get::<i64, _>(0), 2);
    whole(&gate).await;
}

/// Rust's text is always UTF-8; a database may keep less.
#[tokio::test]
async fn text_that_the_database_s_encoding_lacks_is_rejected_alone() {
    let server = testkit::postgres().create_database("encodings").unwrap();
    let name = format!("latin_{}", std::process::id());
    let admin = open(&server.url());
    run(&admin, &format!("CREATE DATABASE {name} ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0")).await;
    let gate = open(&server.url().replace(server.name(), &name));
    run(&gate, TABLE).await;
    for (strategy, first) in [(Strategy::Unnest, 0), (Strategy::Copy, 10)] {
        let writer = BatchWriter::builder(gate.clone()).strategy(strategy).start().unwrap();
        let texts = ["plain", "grüße", "日本", "plain"];
        let rows = (first..).zip(texts).map(|(id, note)| Reading { id, note: note.to_owned() });
        let outcomes = writer.push_many(rows).await.unwrap().outcomes().await;
        let settled: Vec<bool> = outcomes.iter().map(Outcome::is_settled).collect();
        assert_eq!(settled, [true, true, false, true], "{strategy:?} {outcomes:?}");
        assert!(
            matches!(&outcomes[2], Outcome::Rejected(r) if r.cause.class() == Class::Data && r.row.note == "日本")
        );
        let _ = writer.close().await.unwrap();
    }
    whole(&gate).await;
    gate.close().await;
    run(&admin, &format!("DROP DATABASE {name} WITH (FORCE)")).await;
}

#[tokio::test]
async fn a_server_that_restarts_in_the_middle_of_copy_loses_nothing() {
    let mut server = testkit::Postgres::start().unwrap();
    let gate = open(&server.url());
    run(&gate, TABLE).await;
    let holder = open(&server.url());
    let mut lock = holder.acquire(Acquire::default()).await.unwrap();
    sqlx::raw_sql("BEGIN; INSERT INTO readings VALUES (4999, 'in the way')")
        .execute(&mut *lock)
        .await
        .unwrap();
    let retry = Retry { attempts: 60, budget: Duration::from_secs(60), ..Retry::default() };
    let writer = BatchWriter::builder(gate.clone()).strategy(Strategy::Copy).retry(retry);
    let writer = writer.lock_timeout(Duration::from_secs(60)).start().unwrap();
    let tickets = writer.push_many((0..5_000).map(reading)).await.unwrap();
    // COPY waits for the transaction that holds the key of its last row.
    let watching = open(&server.url());
    let mut watcher = watching.acquire(Acquire::default()).await.unwrap();
    let waiting =
        "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE 'COPY%'";
    while sqlx::query(waiting).fetch_one(&mut *watcher).await.unwrap().get::<i64, _>(0) == 0 {
        tokio::task::yield_now().await;
    }
    server.kill();
    drop((lock, watcher));
    server.restart().unwrap();
    assert!(tickets.outcomes().await.iter().all(Outcome::is_settled));
    let report = writer.close().await.unwrap();
    assert_eq!(report.stats.committed, 5_000);
    let mut conn = open(&server.url()).acquire(Acquire::default()).await.unwrap();
    let stored: i64 =
        sqlx::query("SELECT count(*) FROM readings").fetch_one(&mut *conn).await.unwrap().get(0);
    assert_eq!(stored, 5_000);
    whole(&gate).await;
}

#[tokio::test]
async fn no_rows_and_sixteen_hundred_columns_are_ordinary() {
    let database = testkit::postgres().create_database("extremes").unwrap();
    let gate = open(&database.url());
    run(&gate, TABLE).await;
    let writer = BatchWriter::<Reading>::builder(gate.clone()).start().unwrap();
    assert!(writer.push_many([]).await.unwrap().outcomes().await.is_empty());
    assert!(writer.push_group([]).await.unwrap().is_empty());
    writer.flush().await.unwrap();
    let report = writer.close().await.unwrap();
    assert_eq!((report.stats.rows_in, report.stats.flushes, report.is_clean()), (0, 0, true));

    let names: Vec<String> = (0..1_600).map(|at| format!("c{at}")).collect();
    let columns: Vec<String> = names.iter().map(|name| format!("{name} INT2")).collect();
    run(&gate, &format!("CREATE TABLE broad ({})", columns.join(", "))).await;
    let shape =
        |width: usize| Shape::new("broad", names[..width].iter().map(|name| Column::new(name, Kind::Int2)));
    for strategy in [Strategy::Unnest, Strategy::Copy] {
        let writer =
            BatchWriter::<Broad>::for_shape(gate.clone(), shape(1_600)).strategy(strategy).start().unwrap();
        assert!(
            writer
                .push_many((0..10).map(Broad))
                .await
                .unwrap()
                .outcomes()
                .await
                .iter()
                .all(Outcome::is_settled)
        );
        let _ = writer.close().await.unwrap();
    }
    run(&gate, "TRUNCATE broad; ALTER TABLE broad ADD UNIQUE (c0)").await;
    let keyed = shape(1_600).key(["c0"]);
    let prepared = gate.prepare(&keyed, &WritePlan::new(Conflict::Ignore)).await.unwrap();
    assert_eq!(prepared.strategies(), [Strategy::Unnest], "a staging table would be wider still");
    let prepared = gate.prepare(&keyed, &WritePlan::new(Conflict::Error)).await.unwrap();
    assert_eq!(prepared.strategies(), [Strategy::Unnest, Strategy::Copy]);
    let ignoring = BatchWriter::<Broad>::for_shape(gate.clone(), keyed).conflict(Conflict::Ignore);
    let ignoring = ignoring.start().unwrap();
    let outcomes = ignoring.push_many((0..10).map(Broad)).await.unwrap().outcomes().await;
    assert!(outcomes.iter().all(Outcome::is_settled), "{outcomes:?}");
    let _ = ignoring.close().await.unwrap();
    let wider = Shape::new("broad", (0..1_601).map(|at| Column::new(format!("c{at}"), Kind::Int2)));
    assert!(BatchWriter::<Broad>::for_shape(gate, wider).start().is_err(), "refused before anything is sent");
}

struct Broad(i16);
impl offgridflow_query::Fields for Broad {
    fn kinds() -> Vec<(Kind, bool)> {
        vec![(Kind::Int2, false); 1_600]
    }
    fn put(&self, to: &mut offgridflow_query::ChunkWriter<'_>) {
        (0..1_600).for_each(|_| to.i16(self.0));
    }
}

#[tokio::test]
async fn a_type_that_does_not_fit_is_a_matter_of_the_schema() {
    let database = testkit::postgres().create_database("types").unwrap();
    let gate = open(&database.url());
    run(&gate, "CREATE TYPE mood AS ENUM ('fine'); CREATE TABLE readings (id INET, note mood)").await;
    all_returned(&gate, Retry::default(), Strategy::Unnest, |why| class(why) == Some(Class::Schema)).await;
    let plain = BatchWriter::builder(gate).conflict(Conflict::Error).start().unwrap();
    let outcome = plain.reserve().await.unwrap().push(reading(1)).outcome().await;
    assert!(matches!(outcome, Outcome::Returned(_)));
    let _ = plain.close().await.unwrap();
}

/// A file system of a megabyte. Needs the right to mount one.
#[tokio::test]
async fn a_full_disk_gives_rows_back_and_takes_them_once_there_is_room() {
    on_a_small_disk("size=1m", full_disk).await;
}

#[tokio::test]
async fn a_full_disk_of_the_server_gives_rows_back_too() {
    use std::os::unix::fs::MetadataExt as _;
    let server = testkit::Postgres::start().unwrap();
    let gate = open(&server.url());
    let mut conn = gate.acquire(Acquire::default()).await.unwrap();
    let data: String = sqlx::query("SHOW data_directory").fetch_one(&mut *conn).await.unwrap().get(0);
    drop(conn);
    let owner = std::fs::metadata(data).unwrap().uid();
    on_a_small_disk(&format!("size=2m,mode=700,uid={owner}"), |path| full_server(server, gate, path)).await;
}

async fn on_a_small_disk<F>(options: &str, test: impl FnOnce(String) -> F)
where
    F: Future<Output = ()> + Send + 'static,
{
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().display().to_string();
    let mounted =
        std::process::Command::new("mount").args(["-t", "tmpfs", "-o", options, "tmpfs", &path]).status();
    if !mounted.is_ok_and(|status| status.success()) {
        eprintln!("skipped: this user may not mount a small file system");
        return;
    }
    let result = tokio::spawn(test(path.clone())).await;
    let _ = std::process::Command::new("umount").args(["-l", &path]).status();
    result.unwrap();
}

/// The table is in a tablespace of two megabytes; the log is elsewhere.
async fn full_server(_server: testkit::Postgres, gate: PgGate, path: String) {
    run(&gate, &format!("CREATE TABLESPACE small LOCATION '{path}'")).await;
    for strategy in [Strategy::Unnest, Strategy::Copy] {
        run(&gate, "CREATE TABLE readings (id INT8, note TEXT) TABLESPACE small").await;
        let writer = BatchWriter::builder(gate.clone()).retry(Retry::never()).strategy(strategy);
        let writer = writer.start().unwrap();
        let outcomes = writer.push_many((0..30_000).map(reading)).await.unwrap().outcomes().await;
        let full = outcomes.iter().filter(
            |outcome| matches!(outcome, Outcome::Returned(r) if class(&r.why) == Some(Class::Resource)),
        );
        let (full, settled) = (full.count(), outcomes.iter().filter(|o| o.is_settled()).count());
        assert!(full > 0, "three megabytes do not fit two");
        assert_eq!(full + settled, 30_000, "{strategy:?}");
        let mut conn = gate.acquire(Acquire::default()).await.unwrap();
        let stored = sqlx::query("SELECT count(*) FROM readings").fetch_one(&mut *conn).await.unwrap();
        assert_eq!(usize::try_from(stored.get::<i64, _>(0)).unwrap(), settled);
        drop(conn);
        let _ = writer.close().await.unwrap();
        run(&gate, "DROP TABLE readings").await;
    }
    whole(&gate).await;
}

async fn full_disk(path: String) {
    let gate = SqliteGate::from_url(&format!("sqlite:{path}/full.db"), GateConfig::default()).unwrap();
    sqlx::raw_sql(TABLE).execute(&mut *gate.acquire(Acquire::default()).await.unwrap()).await.unwrap();
    let writer = BatchWriter::builder(gate.clone()).retry(Retry::never()).start().unwrap();
    writer.reserve().await.unwrap().push(reading(-1)).committed().await.unwrap();
    let mut returned = Vec::new();
    for outcome in writer.push_many((0..20_000).map(reading)).await.unwrap().outcomes().await {
        if let Outcome::Returned(row) = outcome {
            let full = matches!(&row.why, Why::Unavailable(cause) | Why::CommitUnknown(cause)
                if [Class::Resource, Class::Connection].contains(&cause.class()));
            assert!(full, "{}", row.why);
            returned.push(row.row);
        }
    }
    assert!(!returned.is_empty(), "two megabytes do not fit one");
    let mut conn = gate.acquire(Acquire::default()).await.unwrap();
    let stored: i64 =
        sqlx::query("SELECT count(*) FROM readings").fetch_one(&mut *conn).await.unwrap().get(0);
    drop(conn);
    let stats = writer.close().await.unwrap().stats;
    assert_eq!(
        u64::try_from(stored).unwrap(),
        stats.committed,
        "what is acknowledged is stored, and nothing else"
    );
    assert_eq!(stats.rows_in, stats.settled());
}

#[tokio::test]
async fn a_schema_within_the_name_of_the_table_is_told_where_it_goes() {
    let database = testkit::postgres().create_database("dotted").unwrap();
    let gate = open(&database.url());
    run(&gate, TABLE).await;
    let memory = SqliteGate::from_url("sqlite::memory:", GateConfig::default()).unwrap();
    sqlx::raw_sql(TABLE).execute(&mut *memory.acquire(Acquire::default()).await.unwrap()).await.unwrap();
    let told = [why(gate, "public.readings").await, why(memory, "main.readings").await];
    for (text, schema) in told.iter().zip(["public", "main"]) {
        assert!(text.contains(&format!("in_schema({schema:?})")), "{text}");
    }
}

/// Why a row for `table` came back.
async fn why(executor: impl BatchExecutor, table: &str) -> String {
    let shape = Shape::new(table, [Column::new("id", Kind::Int8)]);
    let writer = BatchWriter::<(i64,)>::for_shape(executor, shape).start().unwrap();
    let outcome = writer.reserve().await.unwrap().push((1,)).outcome().await;
    let Outcome::Returned(returned) = outcome else { panic!("{outcome:?}") };
    let _ = writer.close().await.unwrap();
    returned.why.to_string()
}

#[tokio::test]
async fn a_file_that_must_exist_is_not_made_by_mistake() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("typo.db");
    let gate =
        SqliteGate::from_url(&format!("sqlite:{}?mode=rw", path.display()), GateConfig::default()).unwrap();
    let error = gate.acquire(Acquire::default()).await.unwrap_err();
    assert!(error.to_string().contains("unable to open database file"), "{error}");
    assert!(!path.exists());
}
