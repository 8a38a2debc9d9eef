//! Connections that come and go: lifetimes, surplus, leaks, closing, and who keeps what.
#![cfg(feature = "sqlite")]

use offgridflow_query::sqlx::sqlite::{SqliteConnectOptions, SqlitePoolOptions};
use offgridflow_query::sqlx::{self, Connection, SqliteConnection};
use offgridflow_query::{
    Acquire, BatchWriter, Class, Column, ConnectionPool, GateConfig, Guard, Kind, Outcome, PoolError,
    PoolStatus, Shape, SqliteGate, Tx, Why,
};
use std::time::Duration;

const MS: Duration = Duration::from_millis(1);
const NEVER: Duration = Duration::from_secs(3_600);

/// A gate over a file of its own, that does nothing by itself unless the test says so.
fn gate(change: impl FnOnce(&mut GateConfig)) -> (tempfile::TempDir, SqliteGate) {
    let dir = tempfile::tempdir().unwrap();
    let url = format!("sqlite:{}", dir.path().join("gate.db").display());
    let mut config = GateConfig {
        max_open: 4,
        max_idle: 4,
        surplus_linger: NEVER,
        max_lifetime: None,
        reserve: Some(0),
        test_after_idle: NEVER,
        keepalive: None,
        leak_after: None,
        ..GateConfig::default()
    };
    change(&mut config);
    (dir, SqliteGate::from_url(&url, config).unwrap())
}

async fn take(gate: &SqliteGate) -> Guard<SqliteConnection> {
    gate.acquire(Acquire::default().within(Duration::from_secs(60))).await.unwrap()
}

async fn take_all(gate: &SqliteGate) -> Vec<Guard<SqliteConnection>> {
    let mut held = Vec::new();
    for _ in 0..gate.status().max_open {
        held.push(take(gate).await);
    }
    held
}

/// Returns once the status is as wanted; the test's own time limit ends what never comes.
async fn until(gate: &SqliteGate, wanted: impl Fn(&PoolStatus) -> bool) -> PoolStatus {
    let wait = async {
        loop {
            let status = gate.status();
            if wanted(&status) {
                return status;
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), wait)
        .await
        .unwrap_or_else(|_| panic!("never came: {:?}", gate.status()))
}

async fn answer(conn: &mut SqliteConnection) -> i64 {
    sqlx::query_scalar("SELECT 6 * 7").fetch_one(conn).await.unwrap()
}

#[tokio::test]
async fn a_burst_wider_than_max_idle_does_not_connect_again() {
    let (_dir, gate) = gate(|config| config.max_idle = 1);
    for _ in 0..10 {
        drop(take_all(&gate).await);
    }
    let status = gate.status();
    assert_eq!((status.connect.count, status.idle, status.open), (4, 4, 4));
}

#[tokio::test]
async fn surplus_closes_when_it_has_lingered() {
    let (_dir, gate) = gate(|config| (config.max_idle, config.surplus_linger) = (1, MS));
    drop(take_all(&gate).await);
    let status = until(&gate, |status| status.open == 1).await;
    assert_eq!((status.idle, status.surplus), (1, 3));
}

#[tokio::test]
async fn surplus_that_may_not_linger_closes_at_once() {
    let (_dir, gate) = gate(|config| (config.max_idle, config.surplus_linger) = (1, Duration::ZERO));
    drop(take_all(&gate).await);
    let status = gate.status();
    assert_eq!((status.idle, status.surplus), (1, 3));
    until(&gate, |status| status.open == 1 && status.in_use == 0).await;
}

#[tokio::test]
async fn old_connections_are_replaced_idle_or_lent() {
    let (_dir, gate) = gate(|config| config.max_lifetime = Some(40 * MS));
    let held = take(&gate).await;
    drop(take(&gate).await);
    let status = until(&gate, |status| status.retired == 1).await;
    assert_eq!(status.in_use, 1, "who is lent is left alone");
    drop(held);
    until(&gate, |status| status.retired == 2 && status.open == 0 && status.in_use == 0).await;
    assert_eq!(answer(&mut *take(&gate).await).await, 42);
}

#[tokio::test]
async fn leaks_are_noticed_without_anybody_asking() {
    let (_dir, gate) = gate(|config| config.leak_after = Some(20 * MS));
    let guard = take(&gate).await;
    let leaks = until(&gate, |status| status.leaks.suspected == 1).await.leaks;
    assert!(leaks.recent[0].holder.at.contains("gate.rs:"), "{leaks:?}");
    drop(guard);
    let leaks = gate.status().leaks;
    assert_eq!((leaks.suspected, leaks.returned), (1, 1));
}

#[tokio::test]
async fn idle_connections_are_kept_alive() {
    let (_dir, gate) = gate(|config| config.keepalive = Some(4 * MS));
    drop(take_all(&gate).await);
    let status = until(&gate, |status| status.ping.count >= 12).await;
    assert_eq!((status.open, status.dead, status.acquired), (4, 0, 4), "nobody came in between");
    drop(take_all(&gate).await);
}

#[tokio::test]
async fn what_answered_lately_is_lent_untested_and_what_did_not_is_not() {
    let (_dir, gate) = gate(|_| {});
    for _ in 0..10 {
        drop(take(&gate).await);
    }
    assert_eq!((gate.status().ping.count, gate.status().connect.count), (0, 1));
    let (_dir, gate) = self::gate(|config| config.test_after_idle = Duration::ZERO);
    for _ in 0..10 {
        drop(take(&gate).await);
    }
    assert_eq!((gate.status().ping.count, gate.status().connect.count), (9, 1));
}

/// Connections nobody touched, or whose holder vouches for them, are at hand in the moment they are given back.
#[tokio::test]
async fn what_needs_no_look_is_at_hand_at_once() {
    let (_dir, gate) = gate(|config| config.max_open = 1);
    let mut guard = take(&gate).await;
    answer(&mut guard).await;
    guard.mark_whole();
    drop(guard);
    assert_eq!((gate.status().idle, gate.status().in_use), (1, 0), "vouched for");
    drop(take(&gate).await);
    assert_eq!((gate.status().idle, gate.status().in_use), (1, 0), "untouched");
    Tx::begin(take(&gate).await).await.unwrap().commit().await.unwrap();
    assert_eq!((gate.status().idle, gate.status().in_use), (1, 0), "committed");

    let mut guard = take(&gate).await;
    answer(&mut guard).await;
    drop(guard);
    assert_eq!((gate.status().idle, gate.status().in_use), (0, 1), "used: looked at first");
    until(&gate, |status| status.idle == 1 && status.in_use == 0).await;
}

#[tokio::test]
async fn what_was_left_open_is_rolled_back_whoever_began_it() {
    let (_dir, gate) = gate(|config| config.max_open = 1);
    let mut guard = take(&gate).await;
    sqlx::query("CREATE TABLE t (n INTEGER)").execute(&mut *guard).await.unwrap();
    sqlx::query("BEGIN IMMEDIATE").execute(&mut *guard).await.unwrap();
    sqlx::query("INSERT INTO t VALUES (1)").execute(&mut *guard).await.unwrap();
    drop(guard);
    let mut guard = take(&gate).await;
    assert_eq!(gate.status().rolled_back, 1);
    let mut transaction = guard.begin().await.unwrap();
    sqlx::query("INSERT INTO t VALUES (2)").execute(&mut *transaction).await.unwrap();
    drop(transaction); // sqlx rolls back by itself, once the connection is used again
    drop(guard);
    let mut guard = take(&gate).await;
    let rows: i64 = sqlx::query_scalar("SELECT count(*) FROM t").fetch_one(&mut *guard).await.unwrap();
    assert_eq!((rows, gate.status().connect.count), (0, 1));
}

#[tokio::test]
async fn without_shedding_callers_wait_whatever_the_forecast() {
    let (_dir, gate) = gate(|config| (config.max_open, config.shed) = (1, false));
    for _ in 0..100 {
        drop(take(&gate).await);
    }
    let _held = take(&gate).await;
    let refused = gate.acquire(Acquire::default().within(MS)).await;
    assert!(matches!(refused, Err(PoolError::Timeout { .. })), "{refused:?}");
    assert_eq!(gate.status().shed, 0);
}

#[tokio::test]
async fn a_gate_over_a_pool_takes_what_it_lends_and_leaves_the_rest() {
    let dir = tempfile::tempdir().unwrap();
    let options = SqliteConnectOptions::new().filename(dir.path().join("over.db")).create_if_missing(true);
    let pool = SqlitePoolOptions::new().max_connections(3).connect_lazy_with(options);
    let config = GateConfig { max_open: 2, reserve: Some(0), ..GateConfig::default() };
    let gate = SqliteGate::over(pool.clone(), config).unwrap();
    let held = take_all(&gate).await;
    assert_eq!((held.len(), pool.size()), (2, 2));
    let one: i64 = sqlx::query_scalar("SELECT 1").fetch_one(&pool).await.unwrap();
    assert_eq!(one, 1, "one is left for the pool's own users");
    drop(held);
    gate.close().await;
    assert!(!pool.is_closed());
    assert_eq!((gate.status().open, pool.size()), (0, 1));
    assert_eq!(SqliteGate::over(pool, GateConfig::default()).unwrap().status().max_open, 3);
}

#[tokio::test]
async fn closing_closes_what_is_at_hand_and_what_comes_back() {
    let (_dir, gate) = gate(|config| config.keepalive = Some(4 * MS)); // the keeper may have one out just now
    let mut held = take_all(&gate).await;
    held.truncate(2);
    answer(&mut held[0]).await;
    let closing = tokio::spawn({
        let gate = gate.clone();
        async move { gate.close().await }
    });
    until(&gate, |status| status.open == 2).await;
    assert!(!closing.is_finished(), "two are out");
    drop(held);
    closing.await.unwrap();
    let status = gate.status();
    assert_eq!((status.open, status.idle, status.in_use), (0, 0, 0));
    assert!(matches!(gate.acquire(Acquire::default()).await, Err(PoolError::Closed)));
}

/// Nothing more can come of trying again, so that nobody waits for it.
#[tokio::test]
async fn a_writer_over_a_closed_gate_returns_its_rows_at_the_first_try() {
    let (_dir, gate) = gate(|_| {});
    gate.close().await;
    let shape = Shape::new("t", [Column::new("id", Kind::Int8)]);
    let writer = BatchWriter::<(i64,)>::for_shape(gate, shape).start().unwrap();
    let outcomes = writer.push_many([(1,), (2,)]).await.unwrap().outcomes().await;
    for outcome in &outcomes {
        let Outcome::Returned(returned) = outcome else { panic!("{outcome:?}") };
        assert!(matches!(&returned.why, Why::Batch(cause) if cause.class() == Class::Closed), "{returned:?}");
    }
    assert_eq!(writer.close().await.unwrap().stats.retries, 0);
}

/// The runtime may end first: connections close without it.
#[test]
fn a_gate_survives_its_runtime() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let (_dir, gate, held) = runtime.block_on(async {
        let (dir, gate) = gate(|_| {});
        let (one, mut two) = (take(&gate).await, take(&gate).await);
        answer(&mut two).await;
        drop(take(&gate).await);
        (dir, gate, [one, two])
    });
    drop(runtime);
    drop(held);
    assert_eq!(gate.status().open, 2, "the one that was used could not be looked at: closed");
    drop(gate);
}
