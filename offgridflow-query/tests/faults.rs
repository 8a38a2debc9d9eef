//! Links that break and futures that are dropped leave the pool whole and lose no row.
#![cfg(feature = "postgres")]

use offgridflow_query::{
    Acquire, BatchWriter, ConnectionPool, GateConfig, Outcome, PgGate, PoolError, Retry, Tx, Why, row,
};
use sqlx::Row as _;
use std::collections::BTreeSet;
use std::task::Poll;
use std::time::Duration;

struct Reading {
    id: i64,
}
row!(Reading in "readings" { id } key { id });

fn config(max_open: usize) -> GateConfig {
    GateConfig { max_open, ..GateConfig::default() }
}

async fn create(gate: &PgGate) {
    let mut conn = gate.acquire(Acquire::default()).await.unwrap();
    sqlx::query("CREATE TABLE readings (id BIGINT PRIMARY KEY)").execute(&mut *conn).await.unwrap();
}

async fn stored(gate: &PgGate) -> BTreeSet<i64> {
    let mut conn = gate.acquire(Acquire::default()).await.unwrap();
    let rows = sqlx::query("SELECT id FROM readings").fetch_all(&mut *conn).await.unwrap();
    rows.iter().map(|row| row.get(0)).collect()
}

#[tokio::test]
async fn a_killed_server_returns_rows_and_the_pool_recovers() {
    let mut server = testkit::Postgres::start().unwrap();
    let database = server.create_database("killed").unwrap();
    let gate = PgGate::from_url(&database.url(), config(4)).unwrap();
    create(&gate).await;
    let writer = BatchWriter::builder(gate.clone()).retry(Retry::never()).start().unwrap();
    writer.reserve().await.unwrap().push(Reading { id: 0 }).committed().await.unwrap();

    // Whoever holds the lock keeps the flush open until the server dies under it.
    let mut lock = Tx::begin(gate.acquire(Acquire::default()).await.unwrap()).await.unwrap();
    sqlx::query("LOCK TABLE readings").execute(&mut *lock).await.unwrap();
    let tickets = writer.push_many((1..100).map(|id| Reading { id })).await.unwrap();
    let mut watcher = gate.acquire(Acquire::default()).await.unwrap();
    let waiting =
        "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE 'INSERT%'";
    while sqlx::query(waiting).fetch_one(&mut *watcher).await.unwrap().get::<i64, _>(0) == 0 {}
    server.kill();
    let outcomes = tickets.outcomes().await;
    assert_eq!(outcomes.len(), 99);
    for outcome in &outcomes {
        let Outcome::Returned(returned) = outcome else { panic!("{outcome:?}") };
        assert!(matches!(returned.why, Why::Unavailable(_) | Why::CommitUnknown(_)), "{}", returned.why);
    }
    drop((lock, watcher));

    server.restart().unwrap();
    for outcome in outcomes {
        let row = outcome.committed().unwrap_err().into_row();
        let mut ticket = writer.reserve().await.unwrap().push(row);
        // Connections that died with the server are found out one by one.
        while let Err(again) = ticket.committed().await {
            ticket = writer.reserve().await.unwrap().push(again.into_row());
        }
    }
    assert_eq!(stored(&gate).await.len(), 100);
    let report = writer.close().await.unwrap();
    assert_eq!(report.stats.rows_in, report.stats.settled());
    gate.close().await;
    assert_eq!((gate.status().in_use, gate.status().open), (0, 0));
}

#[tokio::test]
async fn a_link_cut_at_any_flush_loses_no_acknowledged_row() {
    let server = testkit::Postgres::start().unwrap();
    let database = server.create_database("cut").unwrap();
    let direct = PgGate::from_url(&database.url(), config(2)).unwrap();
    create(&direct).await;
    let proxy = testkit::FaultProxy::start(server.addr()).unwrap();
    let url = database.url().replace(&server.addr().to_string(), &proxy.addr().to_string());
    let mut acknowledged = BTreeSet::new();
    let mut next = 0i64;
    for cut in 1..25 {
        let gate = PgGate::from_url(&url, config(1)).unwrap();
        let writer = BatchWriter::builder(gate.clone()).retry(Retry::never()).start().unwrap();
        proxy.restore();
        proxy.cut_at_flush(cut);
        for _ in 0..4 {
            let id = next;
            next += 1;
            match writer.reserve().await.unwrap().push(Reading { id }).outcome().await {
                Outcome::Settled(_) => assert!(acknowledged.insert(id)),
                Outcome::Returned(_) => {}
                other => panic!("{other:?}"),
            }
        }
        let stats = writer.close().await.unwrap().stats;
        assert_eq!((stats.rows_in, stats.settled()), (4, 4));
    }
    let stored = stored(&direct).await;
    assert!(acknowledged.is_subset(&stored), "acknowledged rows are stored");
    assert!(
        !acknowledged.is_empty() && acknowledged.len() < 96,
        "some cuts hurt, some did not: {}",
        acknowledged.len()
    );
}

/// Drops futures at the awaits they reach; after each drop the pool is whole and no session is inside a transaction.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dropped_futures_leave_no_transaction_open() {
    let database = testkit::postgres().create_database("dropped").unwrap();
    let gate = PgGate::from_url(&database.url(), config(3)).unwrap();
    create(&gate).await;
    let watching = PgGate::from_url(&database.url(), config(1)).unwrap();
    let mut watcher = watching.acquire(Acquire::default()).await.unwrap();
    for round in 0..240usize {
        // Polled only when something woke it, so that most polls stand behind another await than the one before.
        let (mut work, mut polls) = (Box::pin(transact(gate.clone(), round % 2 == 0)), round % 12);
        std::future::poll_fn(|cx| {
            if polls == 0 || work.as_mut().poll(cx).is_ready() {
                return Poll::Ready(());
            }
            polls -= 1;
            if polls == 0 { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
        drop(work);
        tokio::time::timeout(Duration::from_secs(20), whole(&gate, &mut watcher))
            .await
            .expect("a session stays open");
    }
}

async fn transact(gate: PgGate, keep: bool) -> Result<(), PoolError> {
    let mut tx = Tx::begin(gate.acquire(Acquire::default()).await?).await.map_err(PoolError::Connect)?;
    let _ = sqlx::query("SELECT 1").execute(&mut *tx).await;
    if keep { tx.commit().await } else { tx.rollback().await }.map_err(PoolError::Connect)
}

/// Returns once every place is free and no other session of the database is inside a transaction.
async fn whole(gate: &PgGate, watcher: &mut sqlx::PgConnection) {
    const OPEN: &str = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() AND state <> 'idle'";
    while gate.status().in_use > 0
        || sqlx::query(OPEN).fetch_one(&mut *watcher).await.unwrap().get::<i64, _>(0) > 0
    {
        tokio::task::yield_now().await;
    }
}

/// The statement of a dropped transaction is provably under way: it waits for a lock that the watcher holds.
#[tokio::test]
async fn a_transaction_dropped_in_a_statement_is_rolled_back() {
    let database = testkit::postgres().create_database("midstatement").unwrap();
    let gate = PgGate::from_url(&database.url(), config(1)).unwrap();
    create(&gate).await;
    let watching = PgGate::from_url(&database.url(), config(1)).unwrap();
    let mut watcher = watching.acquire(Acquire::default()).await.unwrap();
    sqlx::query("SELECT pg_advisory_lock(1)").execute(&mut *watcher).await.unwrap();
    let work = async {
        let mut tx = Tx::begin(gate.acquire(Acquire::default()).await.unwrap()).await.unwrap();
        sqlx::query("INSERT INTO readings VALUES (1)").execute(&mut *tx).await.unwrap();
        sqlx::query("SELECT pg_advisory_xact_lock(1)").execute(&mut *tx).await.unwrap();
        tx.commit().await.unwrap();
    };
    tokio::select! {
        () = work => panic!("the lock is held"),
        () = blocked(&mut watcher) => {} // and so `work` is dropped here
    }
    assert_eq!(gate.status().in_use, 1, "the place is taken until the rollback is through");
    sqlx::query("SELECT pg_advisory_unlock(1)").execute(&mut *watcher).await.unwrap();
    tokio::time::timeout(Duration::from_secs(20), whole(&gate, &mut watcher))
        .await
        .expect("a session stays open");
    assert!(stored(&gate).await.is_empty());
}

async fn blocked(watcher: &mut sqlx::PgConnection) {
    const WAITING: &str = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'advisory'";
    while sqlx::query(WAITING).fetch_one(&mut *watcher).await.unwrap().get::<i64, _>(0) == 0 {
        tokio::task::yield_now().await;
    }
}
