//! What this machine can do with nothing else to do, measured before a run.

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::{mpsc, oneshot, watch},
    task::LocalSet,
    time::Instant,
};

use crate::{
    clock::{ClockSource, RunClock},
    executor::{Executor, OnCap},
    generator::Calibration,
    histogram::{Latencies, as_f64},
    pacer::{Pacer, Pacing},
    route::RouteTable,
    shard::{Links, ShardPlan, run_shard},
    stop::StopHandle,
    warm_up::WarmUp,
    workload::workload_fn,
};

/// How many sleeps, and how long each, the timer is judged by.
const SLEEPS: u32 = 32;
const SLEEP: Duration = Duration::from_micros(500);
/// How long the null target is under load.
const NULL_RUN: Duration = Duration::from_millis(20);

/// Times the pacer and a target that does nothing, on the engine itself. Takes about 50 ms.
pub(crate) async fn calibrate() -> Calibration {
    Calibration { timer_lag: timer_lag().await, null_rate_per_sec: null_rate().await }
}

async fn timer_lag() -> Latencies {
    let clock = RunClock::starting_at(Instant::now());
    let mut pacer = Pacer::new(clock, ClockSource::Monotonic, Pacing::Sleep);
    let mut lag = Latencies::new();
    for _ in 0..SLEEPS {
        let due = clock.now() + SLEEP;
        let mut woken = clock.now();
        while woken < due {
            woken = pacer.approach(due).await;
        }
        lag.record(woken.saturating_sub(due));
    }
    lag
}

/// One worker that asks nothing of anybody, as fast as the engine goes.
async fn null_rate() -> Option<f64> {
    let (ready, is_ready) = oneshot::channel();
    let (start, starting) = watch::channel(Some(Instant::now()));
    let (windows, mut seen) = mpsc::channel(1);
    let (_spares, no_spares) = mpsc::channel(1);
    let (_measure_from, from_the_start) = watch::channel(None);
    let links = Links {
        ready,
        start: starting,
        windows,
        spares: no_spares,
        measure_from: from_the_start,
        stop: StopHandle::default(),
    };
    let shard = run_shard(Arc::new(workload_fn(|_op| async {})), plan(), links);
    LocalSet::new().run_until(shard).await?;
    drop((start, is_ready));
    let tally = seen.try_recv().ok()?.tally;
    let spent = tally.last_done.max(Duration::from_micros(1));
    Some(as_f64(tally.dispatched) / spent.as_secs_f64())
}

fn plan() -> ShardPlan {
    ShardPlan {
        index: 0,
        shards: 1,
        executor: Executor::closed(1, NULL_RUN),
        cap: 1,
        on_cap: OnCap::Queue,
        timeout: Duration::from_secs(1),
        deadline: None,
        think_time: Duration::ZERO,
        warm_sessions: 1,
        warm_up: WarmUp::None,
        seed: 0,
        feed: None,
        clock: ClockSource::Monotonic,
        pacing: Pacing::Sleep,
        routes: Arc::new(RouteTable::new()),
    }
}
