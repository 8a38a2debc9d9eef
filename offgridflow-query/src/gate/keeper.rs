//! The task beside a gate: closes what is too old or too much, tests what is idle, watches for leaks, and tells the gauges.

use crate::gate::lease::PATIENCE;
use crate::gate::lend::Lender;
use crate::gate::pool::GateDatabase;
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// Starts the task; it ends with the last clone of the gate.
pub(crate) fn start<DB: GateDatabase>(lender: &Arc<Lender<DB>>, every: Duration) {
    let task = lender.runtime.spawn(keep(Arc::downgrade(lender), every));
    let _ = lender.keeper.set(task.abort_handle());
}

async fn keep<DB: GateDatabase>(lender: Weak<Lender<DB>>, every: Duration) {
    loop {
        sleep(every).await;
        let Some(lender) = lender.upgrade() else { return };
        let now = Instant::now();
        lender.places.look(now);
        lender.places.report(lender.idle.len());
        while let Some((lease, why)) = lender.idle.take_leaving(now) {
            lender.close(lease, why, None);
        }
        if let Some(before) = lender.keepalive.and_then(|period| now.checked_sub(period)) {
            keep_alive(&lender, before).await;
        }
    }
}

/// Tests idle connections that have not answered since `before`, one after the other. While one is tested its place is
/// taken, or a caller might open one too many; after a failure the next round goes on.
async fn keep_alive<DB: GateDatabase>(lender: &Lender<DB>, before: Instant) {
    while lender.idle.has_unproven(before)
        && let Some(_place) = lender.places.enter_for_upkeep()
        && let Some(lease) = lender.idle.take_unproven(before)
        && let Some(lease) = lender.test(lease, Instant::now() + PATIENCE).await
    {
        drop(lender.idle.put_back(lease)); // closed meanwhile: so is the connection
    }
}
