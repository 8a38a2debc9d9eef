//! Whatever a holder leaves behind on PostgreSQL, the next one finds a session outside any transaction.
#![cfg(feature = "postgres")]

use offgridflow_query::sqlx::{self, Connection, Executor, PgConnection, Row};
use offgridflow_query::{
    Acquire, BatchWriter, Class, Column, ConnectionPool, GateConfig, Guard, Kind, PgGate, PoolStatus, Shape,
    Strategy, Tx,
};
use std::future::Future;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

/// Whether the session is inside a transaction that began before this statement. Exact as one message: bound and
/// executed apart, the two times may differ by a microsecond.
const INSIDE: &str = "SELECT now() <> statement_timestamp()";

fn gate(database: &testkit::Database, max_open: usize) -> PgGate {
    PgGate::from_url(&database.url(), GateConfig { max_open, ..GateConfig::default() }).unwrap()
}

async fn take(gate: &PgGate) -> Guard<PgConnection> {
    gate.acquire(Acquire::default().within(Duration::from_secs(60))).await.unwrap()
}

async fn is_inside(conn: &mut PgConnection) -> bool {
    let row = sqlx::raw_sql(INSIDE).fetch_one(conn).await.expect("a session that can be used");
    row.get(0)
}

/// Polls at most so often, each time something woke it, and drops it; whether it got to its end.
async fn cut<F: Future>(work: F, polls: usize) -> bool {
    let (mut work, mut left) = (pin!(work), polls);
    std::future::poll_fn(|cx| {
        if left == 0 {
            return Poll::Ready(false);
        }
        left -= 1;
        match work.as_mut().poll(cx) {
            Poll::Ready(_) => Poll::Ready(true),
            Poll::Pending if left == 0 => Poll::Ready(false),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}

/// Lends the only connection and gives it back as it is, to see that it can be used; the status after that.
async fn next_holder_is_outside(gate: &PgGate) -> PoolStatus {
    let mut guard = take(gate).await;
    assert!(!is_inside(&mut guard).await);
    drop(guard);
    drop(take(gate).await); // there again, so looked at
    let status = gate.status();
    assert_eq!((status.in_use, status.open), (0, 1));
    status
}

/// sqlx's own `begin`, dropped at each await: sqlx 0.9.0's pool lends the open transaction (transact-rs/sqlx#4385).
#[tokio::test]
async fn a_dropped_begin_of_sqlx_leaves_no_transaction() {
    let database = testkit::postgres().create_database("begin").unwrap();
    let gate = gate(&database, 1);
    let mut cut_short = 0;
    // How often it is cut at the right moment is up to the server; some hundred times are enough on any machine.
    for polls in [1, 1, 1, 2, 3].into_iter().cycle().take(5_000) {
        let mut guard = take(&gate).await;
        cut_short += u32::from(!cut(guard.begin(), polls).await);
        drop(guard);
        if next_holder_is_outside(&gate).await.rolled_back > 5 {
            break;
        }
    }
    let status = gate.status();
    assert!(status.rolled_back > 5, "{} of {cut_short} were found open: no bite", status.rolled_back);
    assert_eq!(status.connect.count, 1, "and the session went on being used");
}

#[tokio::test]
async fn an_open_or_failed_transaction_of_unknown_origin_is_rolled_back() {
    let database = testkit::postgres().create_database("unknown").unwrap();
    let gate = gate(&database, 1);
    for (expected, statements) in
        [(1, &["BEGIN"][..]), (2, &["BEGIN", "SELECT 1 / 0"]), (3, &["BEGIN", "SELECT 1 / 0", "SELECT 1"])]
    {
        let mut guard = take(&gate).await;
        for statement in statements {
            let _ = sqlx::raw_sql(*statement).execute(&mut *guard).await;
        }
        drop(guard);
        assert_eq!(next_holder_is_outside(&gate).await.rolled_back, expected, "{statements:?}");
    }
    assert_eq!(gate.status().connect.count, 1);
}

/// An error that nobody waited for stands in the link before the answer to the look.
#[tokio::test]
async fn answers_that_nobody_waited_for_are_not_taken_for_others() {
    let database = testkit::postgres().create_database("leftovers").unwrap();
    let gate = gate(&database, 1);
    for polls in (1..6).cycle().take(40) {
        for statement in ["SELECT 1 / 0", "SELECT count(*) FROM generate_series(1, 1000)"] {
            let mut guard = take(&gate).await;
            cut(sqlx::query(statement).fetch_all(&mut *guard), polls).await;
            drop(guard);
            next_holder_is_outside(&gate).await;
        }
    }
    assert_eq!(gate.status().connect.count, 1);
}

/// Leaves a COPY half-way, in one of four ways; where the server was quick enough to answer at once, once more.
async fn leave_a_copy(conn: &mut PgConnection, way: usize) {
    loop {
        let mut copy = conn.copy_in_raw("COPY t FROM STDIN").await.unwrap();
        let ended = match way {
            0 => return drop(copy),
            1 => return drop(copy.send(&b"1\n2\n"[..]).await.map(drop)),
            2 => cut(copy.finish(), 1).await,
            _ => cut(copy.abort("no"), 1).await,
        };
        if !ended {
            return;
        }
    }
}

/// sqlx does not count the answers to a dropped COPY: each later statement would be given the answer of the one before.
#[tokio::test]
async fn a_link_that_answers_out_of_step_is_closed() {
    let database = testkit::postgres().create_database("copy").unwrap();
    let gate = gate(&database, 1);
    let mut guard = take(&gate).await;
    sqlx::query("CREATE TABLE t (n INTEGER)").execute(&mut *guard).await.unwrap();
    for way in 0..4 {
        leave_a_copy(&mut guard, way).await;
        drop(guard);
        next_holder_is_outside(&gate).await;
        guard = take(&gate).await;
    }
    drop(guard.copy_out_raw("COPY (SELECT generate_series(1, 9)) TO STDOUT").await.unwrap());
    drop(guard);
    next_holder_is_outside(&gate).await;
    guard = take(&gate).await;
    let rows: i64 = sqlx::query_scalar("SELECT count(*) FROM t").fetch_one(&mut *guard).await.unwrap();
    assert_eq!((rows, gate.status().dead), (0, 5));
}

#[tokio::test]
async fn a_statement_that_goes_on_without_its_caller_does_not_hold_the_place_for_long() {
    let database = testkit::postgres().create_database("goes_on").unwrap();
    let (watching, gate) = (gate(&database, 1), gate(&database, 1));
    let (mut watcher, mut guard) = (take(&watching).await, take(&gate).await);
    tokio::select! {
        ended = sqlx::query("SELECT pg_sleep(600)").execute(&mut *guard) => panic!("{ended:?}"),
        () = asleep(&mut watcher) => {} // and so the statement is dropped here
    }
    drop(guard);
    let status = next_holder_is_outside(&gate).await;
    assert_eq!((status.broken, status.connect.count), (1, 2), "given up, and another one opened");
}

async fn asleep(watcher: &mut PgConnection) {
    const ASLEEP: &str =
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'PgSleep'";
    while sqlx::query_scalar::<_, i64>(ASLEEP).fetch_one(&mut *watcher).await.unwrap() == 0 {
        tokio::task::yield_now().await;
    }
}

/// A dropped `Tx` is rolled back by its own task, and one that ended needs no look.
#[tokio::test]
async fn a_transaction_of_ours_ends_wherever_it_is_dropped() {
    let database = testkit::postgres().create_database("ours").unwrap();
    let gate = gate(&database, 1);
    for polls in (1..12).cycle().take(110) {
        let work = async {
            let mut tx = Tx::begin(take(&gate).await).await.unwrap();
            sqlx::query("SELECT 1").execute(&mut *tx).await.unwrap();
            tx.commit().await.unwrap();
        };
        cut(work, polls).await;
        next_holder_is_outside(&gate).await;
    }
    let status = gate.status();
    assert_eq!((status.rolled_back, status.connect.count, status.broken), (0, 1, 0));
}

/// Inside our transaction, a COPY whose end was not waited for: COMMIT does not take its answer for its own.
#[tokio::test]
async fn an_answer_meant_for_a_dropped_copy_is_no_commit() {
    let database = testkit::postgres().create_database("stray").unwrap();
    database.psql("CREATE TABLE t (n INTEGER)").unwrap();
    let gate = gate(&database, 1);
    for keep in [true, false] {
        let mut tx = Tx::begin(take(&gate).await).await.unwrap();
        leave_a_copy(&mut tx, 2).await;
        if keep {
            let error = tx.commit().await.expect_err("nobody can say whether it was committed");
            assert_eq!(error.class(), Class::Connection);
        } else {
            let _ = tx.rollback().await;
        }
        next_holder_is_outside(&gate).await;
    }
}

/// sqlx's own transaction, dropped, queues its ROLLBACK for the next statement; without one its locks would stay.
#[tokio::test]
async fn a_rollback_that_was_only_queued_is_sent_when_the_session_comes_back() {
    let database = testkit::postgres().create_database("queued").unwrap();
    database.psql("CREATE TABLE queued (n INTEGER)").unwrap();
    let gate = gate(&database, 1);
    let mut guard = gate.acquire(Acquire::default()).await.unwrap();
    let mut theirs = guard.begin().await.unwrap();
    sqlx::query("INSERT INTO queued VALUES (1)").execute(&mut *theirs).await.unwrap();
    drop(theirs);
    guard.mark_whole();
    drop(guard);
    while gate.status().in_use > 0 {
        tokio::task::yield_now().await;
    }
    let inside =
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND state LIKE 'idle in%'";
    assert_eq!(database.psql(inside).unwrap().trim(), "0", "it rests inside a transaction");
}

/// What resets a session drops the statements prepared in it, and sqlx goes on to name them.
#[tokio::test]
async fn a_session_that_was_reset_is_written_through_as_before() {
    let database = testkit::postgres().create_database("reset").unwrap();
    let gate = gate(&database, 1);
    take(&gate).await.execute("CREATE TABLE t (id int8 PRIMARY KEY)").await.unwrap();
    let shape = Shape::new("t", [Column::new("id", Kind::Int8)]);
    let writer = BatchWriter::<(i64,)>::for_shape(gate.clone(), shape).start().unwrap();
    for (id, reset) in [(1, "SELECT 1"), (2, "DISCARD ALL"), (3, "DEALLOCATE ALL"), (4, "SELECT 1")] {
        take(&gate).await.execute(sqlx::raw_sql(reset)).await.unwrap();
        let ticket = writer.reserve().await.unwrap().push((id,));
        ticket.committed().await.unwrap_or_else(|error| panic!("after {reset}: {error}"));
    }
    assert_eq!(writer.close().await.unwrap().stats.committed, 4);
}

/// What a session says of the client's texts is the server's to believe: a holder that left it otherwise changes no row.
#[tokio::test]
async fn texts_are_stored_as_they_are_whatever_encoding_a_holder_left() {
    let database = testkit::postgres().create_database("encoding").unwrap();
    let gate = gate(&database, 1);
    take(&gate).await.execute("CREATE TABLE t (id int8 PRIMARY KEY, v text)").await.unwrap();
    for (id, way) in [(1, Strategy::Unnest), (2, Strategy::Copy)] {
        take(&gate).await.execute("SET client_encoding = 'LATIN1'").await.unwrap();
        let shape = Shape::new("t", [Column::new("id", Kind::Int8), Column::new("v", Kind::Text)]);
        let writer =
            BatchWriter::<(i64, String)>::for_shape(gate.clone(), shape).strategy(way).start().unwrap();
        writer.reserve().await.unwrap().push((id, "Öl für 5 €".to_owned())).committed().await.unwrap();
        assert!(writer.close().await.unwrap().is_clean());
    }
    assert_eq!(
        database.psql("SELECT count(*) FROM t WHERE v = U&'\\00D6l f\\00FCr 5 \\20AC'").unwrap().trim(),
        "2"
    );
}
