//! S3: the whole system under load while everything behind it breaks. Nothing that was acknowledged is lost or there twice, no total is older than Δ, and
//! reads go on. `make test` strikes two blows; `scripts/verify/S3.sh` all of them, and the controls; `S3_ONLY=redis` those with that in their names.

#![allow(unreachable_pub, reason = "parts of one test")]

mod blows;
mod controls;
mod ledger;
mod load;
mod process;
mod rig;
mod tally;

use std::time::Duration;

use blows::Blow;
use rig::Rig;
use tally::{Bounds, Tally};

/// What a run holds to.
const BOUNDS: Bounds = Bounds {
    // The cache's own bound, and what a busy machine may take on top.
    stale: Duration::from_millis(2_000 + 500),
    quiet_failed: 0.001,
    busy_failed: 0.01,
    recovery: Duration::from_secs(20),
};

/// Strikes each blow under load, and looks afterwards whether everything is there.
async fn survive(blows: &[Blow]) -> Tally {
    let mut rig = Rig::start().await;
    let load = load::Load::start(&rig).await;
    let mut tally = Tally::default();
    for blow in blows {
        let said = blows::strike(*blow, &mut rig, &load).await;
        println!("S3 {said}");
        tally.blows.push(said);
    }
    let sent = load.end().await;
    tally.account = ledger::account(&rig, &sent).await;
    println!("S3 {}", tally.account);
    rig.end().await;
    tally
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_server_and_an_emptied_redis_lose_nothing() {
    survive(&[Blow::ApiKilled, Blow::RedisEmptied]).await.judge(&BOUNDS).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "minutes: scripts/verify/S3.sh runs it"]
async fn everything_breaks_and_nothing_is_lost() {
    let rounds = std::env::var("S3_ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(1);
    let mut faults = Vec::new();
    for round in 0..rounds {
        let tally = survive(&blows::all(round)).await;
        println!("S3 round={round} {}", tally.sum());
        faults.extend(tally.judge(&BOUNDS).err());
    }
    let duplicates = controls::at_least_once().await;
    println!("S3 control=at-least-once duplicates={duplicates}");
    let overdue = controls::fence_off().await;
    println!("S3 control=fence-off overdue_ms={}", overdue.as_millis());
    assert!(faults.is_empty(), "{faults:#?}");
    assert!(duplicates > 0, "rows without ids, sent again, were not there twice: the check cannot fail");
    assert!(overdue > Duration::ZERO, "caches that nobody tells were never old: the check cannot fail");
}
