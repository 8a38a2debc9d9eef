//! S3: the whole system under load while everything behind it breaks. Nothing that was acknowledged is lost or there twice, no total is older than Δ, and
//! reads go on. `make test` strikes two blows; `scripts/verify/S3.sh` all of them, and the controls; `S3_ONLY=redis` those with that in their names.
//!
//! S6: the same on five hosts, network namespaces with delay and loss between them, while the network between them is cut. `make test` cuts once,
//! where namespaces are allowed; `scripts/verify/S6.sh` seven times, and the controls.

#![allow(unreachable_pub, reason = "parts of one test")]

mod blows;
mod controls;
mod cuts;
mod hosts;
mod ledger;
mod load;
mod process;
mod rig;
mod tally;

use std::time::Duration;

use blows::Blow;
use cuts::Cut;
use hosts::Hosts;
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
    let load = load::Load::start(rig.bases()).await;
    let mut tally = Tally::default();
    for blow in blows {
        let said = blows::strike(*blow, &mut rig, &load).await;
        println!("S3 {said}");
        tally.blows.push(said);
    }
    let sent = load.end().await;
    tally.account = ledger::account(&|sql| rig.database.psql(sql), &rig.bases(), &sent).await;
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

/// Makes each cut under load, and looks afterwards whether everything is there.
async fn survive_on_hosts(hosts: &Hosts<'_>, cuts: &[Cut]) -> Tally {
    println!("S6 {}", hosts::words(hosts.weather));
    let load = load::Load::start(hosts.bases()).await;
    let mut tally = Tally::default();
    for cut in cuts {
        let said = cuts::cut(*cut, hosts, &load).await;
        println!("S6 {said}");
        tally.blows.push(said);
    }
    let sent = load.end().await;
    tally.account = ledger::account(&|sql| hosts.sql(sql), &hosts.bases(), &sent).await;
    println!("S6 {}", tally.account);
    tally
}

/// Runs on the network's hub, whose runtime is there, too.
fn on_hosts<T: Send>(work: impl AsyncFnOnce(&Hosts<'_>) -> T + Send) -> Option<T> {
    let lan = hosts::lan()?;
    let work = || {
        let hosts = Hosts::start(&lan);
        tokio::runtime::Runtime::new().unwrap().block_on(work(&hosts))
    };
    Some(lan.hub().run(work))
}

#[test]
fn answers_of_redis_that_one_host_never_gets_lose_nothing() {
    let tally = on_hosts(async |hosts| survive_on_hosts(hosts, &cuts::ALL[1..2]).await);
    if let Some(tally) = tally {
        tally.judge(&BOUNDS).unwrap();
    }
}

#[test]
#[ignore = "minutes: scripts/verify/S6.sh runs it"]
fn the_network_is_cut_and_nothing_is_lost() {
    let rounds = std::env::var("S6_ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(1);
    let mut faults = Vec::new();
    for round in 0..rounds {
        let mut cuts = cuts::ALL;
        cuts.rotate_left(round * 3 % cuts::ALL.len());
        let Some(tally) = on_hosts(async |hosts| survive_on_hosts(hosts, &cuts).await) else { return };
        println!("S6 round={round} {}", tally.sum());
        faults.extend(tally.judge(&BOUNDS).err());
    }
    let (duplicates, overdue) =
        on_hosts(async |hosts| (cuts::at_least_once(hosts).await, cuts::fence_off(hosts).await)).unwrap();
    println!("S6 control=at-least-once duplicates={duplicates}");
    println!("S6 control=fence-off overdue_ms={}", overdue.as_millis());
    assert!(faults.is_empty(), "{faults:#?}");
    assert!(duplicates > 0, "rows without ids, sent again, were not there twice: the check cannot fail");
    assert!(overdue > Duration::ZERO, "caches that nobody tells were never old: the check cannot fail");
}
