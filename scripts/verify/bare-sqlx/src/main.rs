//! Drops futures of sqlx's own pool at random awaits and counts the sessions that it lends inside somebody else's transaction.
//!
//! `bare-sqlx CUTS SEED` goes on until so many were cut short, with the server in `OFFGRIDFLOW_TESTKIT_POSTGRES`; prints `poisoned=… n=…`.

use std::error::Error;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::task::Poll;

use sqlx::postgres::PgPoolOptions;
use sqlx::{PgPool, Row};

const TASKS: u64 = 8;

/// SplitMix64.
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % limit
    }
}

#[derive(Default)]
struct Seen {
    cut_short: AtomicU64,
    poisoned: AtomicU64,
}

/// Half of the time a transaction, as everybody writes it; else a look at the session that the pool lends.
async fn work(pool: &PgPool, seen: &Seen, mut dice: Dice) -> Result<(), sqlx::Error> {
    if dice.below(2) == 0 {
        let mut tx = pool.begin().await?;
        sqlx::query("SELECT 1").execute(&mut *tx).await?;
        return if dice.below(2) == 0 { tx.commit().await } else { tx.rollback().await };
    }
    let mut conn = pool.acquire().await?;
    let row = sqlx::raw_sql("SELECT now() <> statement_timestamp()").fetch_one(&mut *conn).await?;
    seen.poisoned.fetch_add(row.try_get::<bool, _>(0)?.into(), Relaxed);
    Ok(())
}

/// Polls at most so often, each time something woke it, and drops it.
async fn cut<F: Future>(work: F, mut polls: u64, seen: &Seen) {
    let mut work = pin!(work);
    let ended = std::future::poll_fn(|cx| {
        while polls > 0 {
            polls -= 1;
            match work.as_mut().poll(cx) {
                Poll::Ready(_) => return Poll::Ready(true),
                Poll::Pending if polls > 0 => return Poll::Pending,
                Poll::Pending => {}
            }
        }
        Poll::Ready(false)
    });
    seen.cut_short.fetch_add((!ended.await).into(), Relaxed);
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1).map(|argument| argument.parse::<u64>());
    let (Some(cuts), Some(seed)) = (arguments.next(), arguments.next()) else {
        return Err("usage: bare-sqlx CUTS SEED".into());
    };
    let (cuts, seed) = (cuts?, seed?);
    let url = std::env::var("OFFGRIDFLOW_TESTKIT_POSTGRES")?;
    let pool = PgPoolOptions::new().max_connections(4).connect(&url).await?;
    let seen = Arc::new(Seen::default());
    let tasks: Vec<_> = (0..TASKS)
        .map(|task| {
            let (pool, seen) = (pool.clone(), Arc::clone(&seen));
            let mut dice = Dice(seed ^ task.wrapping_mul(0x2545_f491_4f6c_dd1d));
            tokio::spawn(async move {
                while seen.cut_short.load(Relaxed) < cuts {
                    let (polls, inner) = (1 + dice.below(5), Dice(dice.below(u64::MAX)));
                    cut(work(&pool, &seen, inner), polls, &seen).await;
                }
            })
        })
        .collect();
    for task in tasks {
        task.await?;
    }
    println!("poisoned={} n={}", seen.poisoned.load(Relaxed), seen.cut_short.load(Relaxed));
    Ok(())
}
