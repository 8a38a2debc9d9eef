//! Futures dropped at random awaits: the pool stays whole, no session stays inside a transaction, no answer goes astray.
//!
//! `scripts/verify.sh query --only Q5` runs the ignored test, in the size of `VERIFY_SIZE`, and the same on bare sqlx.
#![cfg(feature = "postgres")]

mod dice;

use dice::Dice;
use offgridflow_query::sqlx::{self, Connection, PgConnection, Row};
use offgridflow_query::{Acquire, ConnectionPool, GateConfig, Guard, PgGate, Tx};
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::task::Poll;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use testkit::Database;
use tokio::task::JoinSet;

const TASKS: u64 = 8;
/// Futures of one task between two looks at the pool and the server.
const FUTURES: u64 = 125;
/// Polls after which a future is dropped, at most; most that get so far have ended.
const POLLS: u64 = 5;
const MAX_OPEN: usize = 4;
const INSERT: &str = "INSERT INTO dropped VALUES (1)";

/// What came out, over all tasks.
#[derive(Default)]
struct Seen {
    cut_short: AtomicU64,
    ended: AtomicU64,
    failed: AtomicU64,
    poisoned: AtomicU64,
}

type Outcome = Result<(), Box<dyn std::error::Error + Send + Sync>>;

/// Uses a session in the way that `dice` says.
async fn work(gate: &PgGate, seen: &Seen, mut dice: Dice) -> Outcome {
    let mut guard = gate.acquire(Acquire::default()).await?;
    match dice.below(6) {
        0 => return Ok(()),
        1 => expect(&mut guard, seen, dice.below(1_000)).await?,
        2 | 3 => {
            expect(&mut guard, seen, dice.below(1_000)).await?;
            return in_our_transaction(guard, dice).await;
        }
        _ => in_their_transaction(&mut guard, &mut dice).await?,
    }
    if dice.below(2) == 0 {
        guard.mark_whole(); // this future got so far, so nothing is under way
    }
    Ok(())
}

async fn in_our_transaction(guard: Guard<PgConnection>, mut dice: Dice) -> Outcome {
    let mut tx = Tx::begin(guard).await?;
    sqlx::query(INSERT).execute(&mut *tx).await?;
    match dice.below(3) {
        0 => tx.commit().await?,
        1 => tx.rollback().await?,
        _ => drop(tx),
    }
    Ok(())
}

/// sqlx's own, whose `begin` is not safe to drop.
async fn in_their_transaction(conn: &mut PgConnection, dice: &mut Dice) -> Outcome {
    let mut tx = conn.begin().await?;
    sqlx::query(INSERT).execute(&mut *tx).await?;
    match dice.below(3) {
        0 => tx.commit().await?,
        1 => tx.rollback().await?,
        _ => drop(tx),
    }
    Ok(())
}

/// Counts a session that is inside a transaction already, or that gives somebody else's answer.
async fn expect(conn: &mut PgConnection, seen: &Seen, number: u64) -> Outcome {
    let row = sqlx::raw_sql("SELECT now() <> statement_timestamp()").fetch_one(&mut *conn).await?;
    let inside: bool = row.try_get(0)?;
    let number = i64::try_from(number)?;
    let row = sqlx::query("SELECT $1::int8").bind(number).fetch_one(conn).await?;
    let astray = row.try_get::<i64, _>(0)? != number;
    seen.poisoned.fetch_add((inside || astray).into(), Relaxed);
    Ok(())
}

/// Polls at most so often, each time something woke it, and drops it.
async fn cut<F: Future<Output = Outcome>>(work: F, polls: u64, seen: &Seen) {
    let (mut work, mut left) = (pin!(work), polls);
    let ended = std::future::poll_fn(|cx| {
        while left > 0 {
            left -= 1;
            match work.as_mut().poll(cx) {
                Poll::Ready(outcome) => return Poll::Ready(Some(outcome)),
                Poll::Pending if left > 0 => return Poll::Pending,
                Poll::Pending => {}
            }
        }
        Poll::Ready(None)
    });
    match ended.await {
        None => &seen.cut_short,
        Some(Ok(())) => &seen.ended,
        Some(Err(_)) => &seen.failed,
    }
    .fetch_add(1, Relaxed);
}

/// All places lend at once, every session answers, the server has no more than these, and none is inside a transaction.
async fn is_whole(gate: &PgGate, database: &Database, seen: &Seen) {
    let settled = async {
        while gate.status().in_use > 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), settled).await.expect("a place is lost");
    assert!(nobody_is_inside_a_transaction(database).await, "idle in transaction: {:?}", gate.status());
    let mut held = Vec::new();
    for nth in 0..MAX_OPEN {
        let mut guard = gate.acquire(Acquire::default()).await.unwrap();
        expect(&mut guard, seen, nth as u64).await.unwrap();
        held.push(guard);
    }
    assert_eq!((gate.status().in_use, gate.status().open), (MAX_OPEN, MAX_OPEN));
}

/// Whether every session of the database leaves its transaction. One whose connection was closed rather than lent again ends a
/// little later than that, when its server process notices; one that the pool holds stays, as nobody asks it anything meanwhile.
async fn nobody_is_inside_a_transaction(database: &Database) -> bool {
    const LOOKS: u32 = 100;
    let inside =
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND state LIKE 'idle in%'";
    for _ in 0..LOOKS {
        if database.psql(inside).unwrap().trim() == "0" {
            return true;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let sessions = "SELECT pid, state, now() - state_change, query FROM pg_stat_activity WHERE datname = current_database()";
    eprintln!("{}", database.psql(sessions).unwrap());
    false
}

/// Goes on until `cuts` futures were cut short; what was seen, and how many transactions were found open and rolled back.
async fn storm(database: &Database, config: GateConfig, cuts: u64, seed: u64) -> (Arc<Seen>, u64) {
    let gate = PgGate::from_url(&database.url(), GateConfig { max_open: MAX_OPEN, ..config }).unwrap();
    let seen = Arc::new(Seen::default());
    let mut round = 0;
    while seen.cut_short.load(Relaxed) < cuts {
        round += 1;
        let mut tasks = JoinSet::new();
        for task in 0..TASKS {
            let (gate, seen) = (gate.clone(), Arc::clone(&seen));
            let mut dice = Dice(seed ^ (round * TASKS + task).wrapping_mul(0x2545_f491_4f6c_dd1d));
            tasks.spawn(async move {
                for _ in 0..FUTURES {
                    let (polls, inner) = (1 + dice.below(POLLS), Dice(dice.below(u64::MAX)));
                    cut(work(&gate, &seen, inner), polls, &seen).await;
                }
            });
        }
        while let Some(done) = tasks.join_next().await {
            done.unwrap();
        }
        is_whole(&gate, database, &seen).await;
    }
    let status = gate.status();
    gate.close().await;
    assert_eq!((gate.status().open, gate.status().in_use), (0, 0));
    (seen, status.rolled_back)
}

/// Half of the cuts under defaults, half while connections are tested, kept alive and replaced all the time.
async fn storms(cuts: u64, seed: u64) -> (u64, u64, u64) {
    let database = testkit::postgres().create_database("cancellation").unwrap();
    database.psql("CREATE TABLE dropped (n INTEGER)").unwrap();
    let ms = Duration::from_millis;
    let restless = GateConfig {
        max_lifetime: Some(ms(200)),
        keepalive: Some(ms(20)),
        test_after_idle: Duration::ZERO,
        surplus_linger: ms(5),
        max_idle: 1,
        ..GateConfig::default()
    };
    let (mut cut_short, mut poisoned, mut rolled_back) = (0, 0, 0);
    for config in [GateConfig::default(), restless] {
        let (seen, found) = storm(&database, config, cuts / 2, seed).await;
        let (ended, failed) = (seen.ended.load(Relaxed), seen.failed.load(Relaxed));
        eprintln!(
            "seed {seed}: {} cut short, {ended} ended, {failed} failed, {found} found open",
            seen.cut_short.load(Relaxed)
        );
        assert_eq!(failed, 0, "nobody sees an error because somebody else was dropped");
        assert!(ended > cuts / 100, "some come to their end: {ended}");
        cut_short += seen.cut_short.load(Relaxed);
        poisoned += seen.poisoned.load(Relaxed);
        rolled_back += found;
    }
    assert!(rolled_back > 0, "no dropped future left a transaction open: the storm does not bite");
    (cut_short, poisoned, rolled_back)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn futures_dropped_at_random_awaits_leave_the_pool_whole() {
    let (_, poisoned, _) = storms(2_000, 7).await;
    assert_eq!(poisoned, 0);
}

/// Promise Q5; prints `measured=… n=…`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes long: scripts/verify.sh query --only Q5"]
async fn promise() {
    let full = std::env::var("VERIFY_SIZE").is_ok_and(|size| size == "full");
    let asked = std::env::var("VERIFY_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = asked.unwrap_or_else(|| SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs());
    let (cut_short, poisoned, rolled_back) = storms(if full { 100_000 } else { 10_000 }, seed).await;
    println!(
        "measured=poisoned:{poisoned},idle-in-transaction:0,lost-places:0 n={cut_short}-futures-cut-short seed {seed}; {rolled_back} transactions found open on return and rolled back"
    );
    assert_eq!(poisoned, 0);
}
