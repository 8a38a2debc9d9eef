//! A COMMIT that nobody answered is settled, or the rows come back: never lost, never stored twice, never called stored
//! when they are not.
#![cfg(all(feature = "postgres", feature = "sqlite"))]

use offgridflow_query::{
    Acquire, BatchExecutor, BatchWriter, Chunk, Column, Conflict, ConnectionPool, Delivery, Error, Fate,
    GateConfig, Kind, MemoryPool, Outcome, PgGate, Retry, Shape, SqliteGate, TxOutcome, TxToken, Why,
    WriteError, WritePlan, ledger_table_sql, row,
};
use sqlx::{AssertSqlSafe, Row as _};
use std::sync::Arc;
use std::time::Duration;

struct Reading {
    id: i64,
}
row!(Reading in "readings" { id });

/// One connection, so that a second write finds its statement prepared.
fn gate(url: &str) -> PgGate {
    PgGate::from_url(url, GateConfig { max_open: 1, ..GateConfig::default() }).unwrap()
}

async fn run(gate: &PgGate, sql: &str) {
    let mut conn = gate.acquire(Acquire::default()).await.unwrap();
    sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(&mut *conn).await.unwrap();
}

async fn number(gate: &PgGate, sql: &'static str) -> i64 {
    let mut conn = gate.acquire(Acquire::default()).await.unwrap();
    sqlx::query(sql).fetch_one(&mut *conn).await.unwrap().get(0)
}

const COUNT: &str = "SELECT count(*) FROM readings";

/// A server, a proxy in front of it, and a gate through each.
struct Link {
    server: testkit::Postgres,
    proxy: testkit::FaultProxy,
    direct: PgGate,
    through: PgGate,
}

async fn link() -> Link {
    let server = testkit::Postgres::start().unwrap();
    let proxy = testkit::FaultProxy::start(server.addr()).unwrap();
    let url = server.url().replace(&server.addr().to_string(), &proxy.addr().to_string());
    let (direct, through) = (gate(&server.url()), gate(&url));
    // No key: what is written twice is there twice.
    run(&direct, "CREATE TABLE readings (id INT8)").await;
    Link { server, proxy, direct, through }
}

/// Writes one row, so that the statement is prepared: a flush is then BEGIN, INSERT, COMMIT, once the pool has its
/// connection back, which it tests.
async fn warm(writer: &BatchWriter<Reading>, gate: &PgGate) {
    writer.reserve().await.unwrap().push(Reading { id: 0 }).committed().await.unwrap();
    idle(gate).await;
}

async fn idle(gate: &PgGate) {
    while gate.status().in_use > 0 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_commit_that_arrived_is_known_and_one_that_did_not_is_repeated() {
    let Link { proxy, direct, through, server: _server } = link().await;
    let writer = BatchWriter::builder(through.clone()).start().unwrap();
    warm(&writer, &through).await;
    proxy.cut_after_flush(3);
    writer.reserve().await.unwrap().push(Reading { id: 1 }).committed().await.unwrap();
    assert_eq!(number(&direct, COUNT).await, 2);
    warm(&writer, &through).await;
    proxy.cut_at_flush(3);
    writer.reserve().await.unwrap().push(Reading { id: 2 }).committed().await.unwrap();
    assert_eq!(number(&direct, COUNT).await, 4, "neither lost nor stored twice");
    let report = writer.close().await.unwrap();
    assert_eq!((report.stats.committed, report.stats.retries), (4, 1));
}

#[tokio::test]
async fn at_least_once_stores_twice_what_exactly_once_does_not() {
    let Link { proxy, direct, through, server: _server } = link().await;
    let writer = BatchWriter::builder(through.clone()).delivery(Delivery::AtLeastOnce).start().unwrap();
    warm(&writer, &through).await;
    proxy.cut_after_flush(3);
    writer.reserve().await.unwrap().push(Reading { id: 1 }).committed().await.unwrap();
    assert_eq!(number(&direct, "SELECT count(*) FROM readings WHERE id = 1").await, 2);
    let _ = writer.close().await.unwrap();
}

/// The token of a transaction whose COMMIT reached the server unanswered.
async fn lost_commit(gate: &PgGate, proxy: &testkit::FaultProxy) -> TxToken {
    let shape = Shape::new("readings", [Column::new("id", Kind::Int8)]);
    let mut chunk = Chunk::new(shape.clone());
    chunk.push(|to| to.i64(7)).unwrap();
    let mut plan = WritePlan::new(Conflict::Error);
    plan.prepared = Arc::new(gate.prepare(&shape, &plan).await.unwrap());
    gate.write(&[chunk.slice(0..1)], &plan).await.unwrap();
    idle(gate).await;
    proxy.cut_after_flush(3);
    match gate.write(&[chunk.slice(0..1)], &plan).await.unwrap_err() {
        WriteError::CommitUnknown { token: Some(token), .. } => *token,
        other => panic!("{other:?}"),
    }
}

/// What became of a transaction, once the server is through with it: the link ends before the COMMIT that it carried.
async fn settled(gate: &PgGate, token: &TxToken) -> TxOutcome {
    loop {
        match gate.outcome(token).await.unwrap() {
            TxOutcome::InProgress => tokio::task::yield_now().await,
            outcome => return outcome,
        }
    }
}

/// W1: commit, promote a lagging replica, forty transactions later it calls the reused id committed.
#[tokio::test]
async fn a_promoted_replica_never_vouches_for_the_transaction_of_another() {
    let server = testkit::Postgres::start().unwrap();
    let proxy = testkit::FaultProxy::start(server.addr()).unwrap();
    let url = server.url().replace(&server.addr().to_string(), &proxy.addr().to_string());
    let (direct, through) = (gate(&server.url()), gate(&url));
    let mut replica = testkit::Replica::start(&server).unwrap();
    replica.fall_behind().unwrap();
    run(&direct, "CREATE TABLE readings (id INT8)").await;
    let token = lost_commit(&through, &proxy).await;
    assert_eq!(settled(&direct, &token).await, TxOutcome::Committed, "the primary knows");

    replica.promote().unwrap();
    let promoted = gate(&replica.url());
    for _ in 0..40 {
        run(&promoted, "SELECT pg_current_xact_id()").await;
    }
    let xid: String = token.to_string().split(' ').nth(1).unwrap().to_owned();
    let mut conn = promoted.acquire(Acquire::default()).await.unwrap();
    let status: String = sqlx::query("SELECT pg_xact_status($1::text::xid8)")
        .bind(&xid)
        .fetch_one(&mut *conn)
        .await
        .unwrap()
        .get(0);
    assert_eq!(status, "committed", "what a token without a timeline would believe");
    drop(conn);
    assert_eq!(promoted.outcome(&token).await.unwrap(), TxOutcome::Unknown);
    assert_eq!(number(&promoted, "SELECT count(*) FROM pg_class WHERE relname = 'readings'").await, 0);
}

/// During a failover the address leads to a standby for a while.
#[tokio::test]
async fn rows_wait_for_a_standby_to_be_promoted() {
    let server = testkit::Postgres::start().unwrap();
    run(&gate(&server.url()), "CREATE TABLE readings (id INT8)").await;
    let replica = testkit::Replica::start(&server).unwrap();
    let standby = gate(&replica.url());
    let patient = Retry { budget: Duration::from_secs(60), attempts: 200, ..Retry::default() };
    let writer = BatchWriter::<Reading>::builder(standby.clone()).retry(patient).start().unwrap();
    let pushed = writer.reserve().await.unwrap().push(Reading { id: 1 });
    while standby.status().broken == 0 {
        tokio::task::yield_now().await;
    }
    let promoting = tokio::task::spawn_blocking(move || replica.promote().map(|()| replica));
    let _promoted = promoting.await.unwrap().unwrap();
    pushed.committed().await.unwrap();
    let report = writer.close().await.unwrap();
    assert_eq!((report.stats.committed, number(&standby, COUNT).await), (1, 1));
}

/// A transaction that began before the promotion stays read-only after it; a trigger stands for that moment.
#[tokio::test]
async fn rows_refused_by_a_transaction_older_than_the_promotion_are_tried_again() {
    let database = testkit::postgres().create_database("promoted").unwrap();
    let gate = gate(&database.url());
    run(
        &gate,
        "CREATE TABLE readings (id INT8); CREATE TABLE seen (id INT8); CREATE SEQUENCE once; \
         CREATE FUNCTION aged() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF nextval('once') = 1 THEN \
         PERFORM set_config('transaction_read_only', 'on', true); INSERT INTO seen VALUES (1); END IF; RETURN NEW; END $$; \
         CREATE TRIGGER aged BEFORE INSERT ON readings FOR EACH ROW EXECUTE FUNCTION aged()",
    )
    .await;
    let writer = BatchWriter::<Reading>::builder(gate.clone()).start().unwrap();
    writer.reserve().await.unwrap().push(Reading { id: 1 }).committed().await.unwrap();
    let report = writer.close().await.unwrap();
    assert_eq!((report.stats.committed, number(&gate, COUNT).await), (1, 1));
}

/// A crash forgets transaction ids that never reached the disk, and hands them out again.
#[tokio::test]
async fn a_server_that_crashed_does_not_vouch_for_ids_from_before() {
    let server = testkit::Postgres::start().unwrap();
    let (direct, shape) = (gate(&server.url()), Shape::new("readings", [Column::new("id", Kind::Int8)]));
    run(&direct, "CREATE TABLE readings (id INT8)").await;
    let prepared = |gate: PgGate, shape: Shape| async move {
        gate.prepare(&shape, &WritePlan::new(Conflict::Error)).await
    };
    let before = prepared(direct.clone(), shape.clone()).await.unwrap();
    let pid = number(&direct, "SELECT pg_backend_pid()::int8").await;
    let killed = std::process::Command::new("kill").args(["-9", &pid.to_string()]).status().unwrap();
    assert!(killed.success());
    let again = gate(&server.url());
    let after = tokio::time::timeout(Duration::from_secs(30), async {
        loop {
            match prepared(again.clone(), shape.clone()).await {
                Ok(after) if after != before => return after,
                Ok(_) => tokio::task::yield_now().await, // it has not noticed yet
                Err(error) => assert!(error.is_transient(), "{error}"),
            }
        }
    });
    let after =
        after.await.expect("it comes back as another server, so that no token from before is believed");
    assert_eq!(after, prepared(again, shape).await.unwrap(), "and stays");
}

#[tokio::test]
async fn a_transaction_is_committed_aborted_in_progress_or_unknown() {
    let Link { proxy, direct, through, server } = link().await;
    let token = lost_commit(&through, &proxy).await;
    assert_eq!(settled(&direct, &token).await, TxOutcome::Committed);
    let text = token.to_string();
    let (xid, rest) = (text.split(' ').nth(1).unwrap(), text.split(" of ").nth(1).unwrap());
    // A session of somebody else that is still at work, as the server sees one whose link went silent.
    let other = gate(&server.url());
    let mut open = other.acquire(Acquire::default()).await.unwrap();
    let answer =
        sqlx::raw_sql("BEGIN; SELECT pg_current_xact_id()::text").fetch_all(&mut *open).await.unwrap();
    let mine: String = answer[0].get(0);
    assert_ne!(mine, xid);
    let timeline = "00000001";
    let in_progress = TxToken::new(rest, timeline, &mine);
    assert_eq!(direct.outcome(&in_progress).await.unwrap(), TxOutcome::InProgress);
    sqlx::raw_sql("ROLLBACK").execute(&mut *open).await.unwrap();
    assert_eq!(direct.outcome(&in_progress).await.unwrap(), TxOutcome::Aborted);
    for strange in [
        TxToken::new(rest, "00000002", &mine),
        TxToken::new("another", timeline, &mine),
        TxToken::new(rest, timeline, "99999999"),
        TxToken::new(rest, timeline, "1'; DROP TABLE readings; --"),
    ] {
        assert_eq!(direct.outcome(&strange).await.unwrap(), TxOutcome::Unknown);
    }
}

/// The same batch, pushed again by whoever thinks it may be missing, is stored once.
async fn replays<E: BatchExecutor + Clone>(executor: E, other: E) -> (Vec<Fate>, Vec<Fate>) {
    let rows = || (0..50).map(|id| Reading { id });
    let push = async |executor: E| {
        let writer = BatchWriter::builder(executor).ledger("batches").start().unwrap();
        let outcomes = writer.push_batch("import 1", rows()).await.unwrap().outcomes().await;
        let report = writer.close().await.unwrap();
        assert_eq!(report.stats.rows_in, report.stats.settled());
        outcomes.into_iter().map(|outcome| outcome.committed().unwrap().fate).collect()
    };
    (push(executor).await, push(other).await)
}

#[tokio::test]
async fn a_batch_that_is_replayed_is_stored_once_on_both_databases() {
    let dir = tempfile::tempdir().unwrap();
    let url = format!("sqlite:{}", dir.path().join("ledger.db").display());
    let small = SqliteGate::from_url(&url, GateConfig::default()).unwrap();
    let ledger = AssertSqlSafe(ledger_table_sql("batches").unwrap());
    let mut conn = small.acquire(Acquire::default()).await.unwrap();
    sqlx::raw_sql(ledger).execute(&mut *conn).await.unwrap();
    sqlx::raw_sql("CREATE TABLE readings (id INTEGER)").execute(&mut *conn).await.unwrap();
    drop(conn);
    let other = SqliteGate::from_url(&url, GateConfig::default()).unwrap();
    let expected = (vec![Fate::Committed; 50], vec![Fate::Replayed; 50]);
    assert_eq!(replays(small.clone(), other).await, expected);
    let mut conn = small.acquire(Acquire::default()).await.unwrap();
    let stored: i64 = sqlx::query(COUNT).fetch_one(&mut *conn).await.unwrap().get(0);
    assert_eq!(stored, 50);

    let database = testkit::postgres().create_database("ledger").unwrap();
    let large = gate(&database.url());
    run(&large, &format!("{}; CREATE TABLE readings (id INT8)", ledger_table_sql("batches").unwrap())).await;
    assert_eq!(replays(large.clone(), gate(&database.url())).await, expected);
    assert_eq!(number(&large, COUNT).await, 50);
    assert_eq!(number(&large, "SELECT rows FROM batches").await, 50);
}

#[tokio::test]
async fn a_ledger_in_a_schema_of_its_own_is_found_there() {
    let database = testkit::postgres().create_database("ledgerschema").unwrap();
    let gate = gate(&database.url());
    let ledger = ledger_table_sql("batches").unwrap().replace("\"batches\"", "audit.batches");
    run(&gate, &format!("CREATE SCHEMA audit; {ledger}; CREATE TABLE readings (id INT8)")).await;
    let writer = BatchWriter::builder(gate.clone()).ledger_in("audit", "batches").start().unwrap();
    for expected in [Fate::Committed, Fate::Replayed] {
        let batch = writer.push_batch("b", [Reading { id: 1 }]).await.unwrap();
        let fate = batch.outcomes().await.remove(0).committed().unwrap().fate;
        assert_eq!(fate, expected);
    }
    let _ = writer.close().await.unwrap();
    assert_eq!(number(&gate, "SELECT rows FROM audit.batches").await, 1);
}

#[tokio::test]
async fn a_search_path_that_somebody_left_leads_to_no_other_ledger() {
    let database = testkit::postgres().create_database("ledgerpath").unwrap();
    let gate =
        PgGate::from_url(&database.url(), GateConfig { max_open: 1, ..GateConfig::default() }).unwrap();
    let ledger = ledger_table_sql("batches").unwrap();
    let other = ledger.replace("\"batches\"", "tenant.batches");
    run(&gate, &format!("{ledger}; CREATE SCHEMA tenant; {other}; CREATE TABLE readings (id INT8)")).await;
    let writer = BatchWriter::builder(gate.clone()).ledger("batches").start().unwrap();
    for (fate, then) in [(Fate::Committed, "SET search_path TO tenant"), (Fate::Replayed, "SELECT 1")] {
        let outcomes = writer.push_batch("b", [Reading { id: 1 }]).await.unwrap().outcomes().await;
        assert!(matches!(&outcomes[0], Outcome::Settled(receipt) if receipt.fate == fate), "{outcomes:?}");
        run(&gate, then).await;
    }
    let _ = writer.close().await.unwrap();
    assert_eq!(number(&gate, "SELECT count(*) FROM public.readings").await, 1);
}

/// The old way of partitioning: the row goes elsewhere, and the statement counts nothing.
#[tokio::test]
async fn a_ledger_that_takes_nothing_has_replayed_nothing() {
    let database = testkit::postgres().create_database("ledgerdrops").unwrap();
    let gate = gate(&database.url());
    let (ledger, drops) = (
        ledger_table_sql("batches").unwrap(),
        "CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS \
        $$ BEGIN RETURN NULL; END $$; CREATE TRIGGER f BEFORE INSERT ON batches FOR EACH ROW EXECUTE FUNCTION f()",
    );
    run(&gate, &format!("{ledger}; CREATE TABLE readings (id INT8); {drops}")).await;
    let small = SqliteGate::from_url("sqlite::memory:", GateConfig::default()).unwrap();
    let mut conn = small.acquire(Acquire::default()).await.unwrap();
    let drops = "CREATE TRIGGER f BEFORE INSERT ON batches BEGIN SELECT RAISE(IGNORE); END";
    let sql = format!("{ledger}; CREATE TABLE readings (id INTEGER); {drops}");
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut *conn).await.unwrap();
    drop(conn);
    let executors: [Arc<dyn offgridflow_query::DynBatchExecutor>; 2] = [Arc::new(gate), Arc::new(small)];
    for executor in executors {
        let writer = BatchWriter::builder(executor).ledger("batches").start().unwrap();
        let outcomes = writer.push_batch("b", [Reading { id: 1 }]).await.unwrap().outcomes().await;
        let Outcome::Returned(returned) = &outcomes[0] else { panic!("{outcomes:?}") };
        assert!(
            matches!(&returned.why, Why::Batch(cause) if cause.message().contains("nor has one of that name"))
        );
        let _ = writer.close().await.unwrap();
    }
}

#[tokio::test]
async fn a_batch_with_a_bad_row_leaves_no_trace_in_the_ledger() {
    let database = testkit::postgres().create_database("ledgerbad").unwrap();
    let gate = gate(&database.url());
    let table = "CREATE TABLE readings (id INT8 CHECK (id <> 13))";
    run(&gate, &format!("{}; {table}", ledger_table_sql("batches").unwrap())).await;
    let writer = BatchWriter::builder(gate.clone()).ledger("batches").start().unwrap();
    let rows = |bad| [1, bad, 3].map(|id| Reading { id });
    let outcomes = writer.push_batch("b", rows(13)).await.unwrap().outcomes().await;
    assert!(matches!(&outcomes[1], Outcome::Rejected(rejected) if rejected.row.id == 13));
    assert!(matches!(&outcomes[0], Outcome::Returned(returned) if returned.why == Why::GroupRefused));
    assert_eq!(number(&gate, "SELECT count(*) FROM batches").await, 0);
    let outcomes = writer.push_batch("b", rows(2)).await.unwrap().outcomes().await;
    assert!(outcomes.iter().all(Outcome::is_settled), "mended, it goes in under the same name");
    let _ = writer.close().await.unwrap();
    let plain = BatchWriter::builder(gate).start().unwrap();
    let refused = plain.push_batch("b", rows(2)).await.err().unwrap();
    assert_eq!((refused.error, refused.rows.len()), (Error::NoLedger, 3));
    let _ = plain.close().await.unwrap();
}

#[tokio::test]
async fn a_fault_of_the_ledger_is_no_rows_fault() {
    let database = testkit::postgres().create_database("ledgerfault").unwrap();
    let gate = gate(&database.url());
    let ledger = ledger_table_sql("batches").unwrap();
    let strict = "ALTER TABLE batches ADD COLUMN who TEXT NOT NULL";
    run(&gate, &format!("{ledger}; {strict}; CREATE TABLE readings (id INT8)")).await;
    let writer = BatchWriter::builder(gate.clone()).ledger("batches").start().unwrap();
    for rows in [1, 5] {
        for name in ["b", "b\0"] {
            let batch = writer.push_batch(name, (0..rows).map(|id| Reading { id })).await.unwrap();
            for outcome in batch.outcomes().await {
                let Outcome::Returned(returned) = outcome else { panic!("{outcome:?}") };
                let Why::Batch(cause) = returned.why else { panic!("{:?}", returned.why) };
                assert!(cause.message().contains("the ledger \"batches\" refuses"), "{cause}");
            }
        }
    }
    assert_eq!(number(&gate, COUNT).await, 0);
    let _ = writer.close().await.unwrap();
}

#[tokio::test]
async fn with_a_ledger_a_lost_commit_is_repeated_until_it_is_known() {
    let Link { proxy, direct, through, server: _server } = link().await;
    run(&direct, &ledger_table_sql("batches").unwrap()).await;
    // At least once knows no tokens, so it is the ledger alone that keeps the repetition out.
    let writer = BatchWriter::builder(through.clone())
        .ledger("batches")
        .delivery(Delivery::AtLeastOnce)
        .start()
        .unwrap();
    let rows = || (0..5).map(|id| Reading { id });
    let fates = async |name: &str| {
        let outcomes = writer.push_batch(name, rows()).await.unwrap().outcomes().await;
        outcomes.into_iter().map(|outcome| outcome.committed().unwrap().fate).collect::<Vec<_>>()
    };
    assert_eq!(fates("first").await, [Fate::Committed; 5]);
    for cut in 1..8 {
        proxy.cut_after_flush(cut);
        assert_eq!(fates(&format!("cut {cut}")).await, [Fate::Committed; 5], "after flush {cut}");
        proxy.restore();
    }
    assert_eq!(number(&direct, COUNT).await, 8 * 5);
    let _ = writer.close().await.unwrap();
}

struct Level {
    key: i64,
    value: i64,
}
row!(Level in "levels" { key, value } key { key });

/// W2: flush 1 (k = old) backs off, flush 2 (k = new) commits, flush 1 retries.
#[tokio::test(start_paused = true)]
async fn a_flush_that_backs_off_is_not_overtaken_by_a_newer_one_of_the_same_key() {
    let pool = MemoryPool::new(8);
    let retry = Retry { attempts: 20, ..Retry::default() };
    let writer = BatchWriter::builder(pool.clone()).conflict(Conflict::Update).in_flight(4).retry(retry);
    let writer = writer.flush_rows(1).start().unwrap();
    let busy =
        || WriteError::failed(offgridflow_query::Cause::new(offgridflow_query::Class::Contention, "busy"));
    for round in 0..50 {
        pool.fail_next(busy());
        let mut tickets = Vec::new();
        for value in 0..4 {
            let level = Level { key: round, value };
            tickets.push(writer.reserve().await.unwrap().push(level));
            tokio::task::yield_now().await;
        }
        for ticket in tickets {
            ticket.committed().await.unwrap();
        }
    }
    let _ = writer.close().await.unwrap();
    let rows = pool.rows("levels");
    assert_eq!(rows.len(), 50);
    assert!(
        rows.iter().all(|row| row[1] == offgridflow_query::Stored::Int(3)),
        "the last write wins: {rows:?}"
    );
}

#[tokio::test]
async fn several_flushes_are_under_way_when_their_keys_differ() {
    let pool = MemoryPool::new(8);
    let writer = BatchWriter::builder(pool.clone()).conflict(Conflict::Update).in_flight(4).flush_rows(1);
    let writer = writer.start().unwrap();
    pool.stall();
    let mut tickets = Vec::new();
    for key in 0..64 {
        tickets.push(writer.reserve().await.unwrap().push(Level { key, value: 0 }));
    }
    let most = async {
        while ConnectionPool::status(&pool).in_use < 4 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), most).await.expect("four connections are in use");
    for _ in 0..1_000 {
        tokio::task::yield_now().await;
        assert!(ConnectionPool::status(&pool).in_use <= 4, "one flush a partition");
    }
    pool.resume();
    for ticket in tickets {
        ticket.committed().await.unwrap();
    }
    assert_eq!(pool.rows("levels").len(), 64);
    let _ = writer.close().await.unwrap();
}
