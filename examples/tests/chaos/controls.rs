//! What the checks must find: a path that is at least once, and caches that nobody tells.

use std::time::{Duration, Instant};

use testkit::FaultProxy;

use crate::BOUNDS;
use crate::load::{told, write};
use crate::process::Process;
use crate::rig::{BUSY, Rig, environment};

/// Answers that get lost.
const LOST: u64 = 5;

/// Rows without ids, sent again whenever their answer was lost; how many are there too many.
pub async fn at_least_once() -> u64 {
    let rig = Rig::start().await;
    let way = FaultProxy::start(rig.apis[0].base.strip_prefix("http://").unwrap().parse().unwrap()).unwrap();
    let base = format!("http://{}", way.addr());
    let row = "{\"category\":\"diesel\",\"quantity\":1,\"period\":\"2024\"}\n";
    let mut sent = 0;
    for n in 0..2 * LOST {
        if n % 2 == 0 {
            // The server acts on it, and nobody hears of it: head and body may be one flush or two.
            way.cut_after_flush(1 + n / 2 % 2);
        }
        sent += 1;
        while !write(&base, BUSY[0], row.to_owned()).await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    let stored: u64 = rig.database.psql("SELECT count(*) FROM activities").unwrap().parse().unwrap();
    rig.end().await;
    stored.saturating_sub(sent)
}

/// Two servers that share a database and no Redis: by how much a total is older than it may be.
pub async fn fence_off() -> Duration {
    let rig = Rig::start().await;
    let folder = tempfile::tempdir().unwrap();
    let url = rig.database.url();
    let start = |name: &str| Process::start("api", name, folder.path(), &environment(&url, ""));
    let (one, other) = (start("alone-0"), start("alone-1"));
    let overdue = overdue(&one.base, &other.base).await;
    drop((one, other));
    rig.end().await;
    overdue
}

/// By how much a server's total is older than it may be, of a row that another acknowledged.
pub async fn overdue(one: &str, other: &str) -> Duration {
    assert_eq!(told(other, BUSY[0]).await, Some(0));
    assert!(write(one, BUSY[0], crate::load::row(BUSY[0], 0)).await);
    let acknowledged = Instant::now();
    let mut overdue = Duration::ZERO;
    while acknowledged.elapsed() < BOUNDS.stale * 2 && told(other, BUSY[0]).await == Some(0) {
        overdue = acknowledged.elapsed().saturating_sub(BOUNDS.stale);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    overdue
}
