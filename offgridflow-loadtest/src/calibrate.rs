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
    part::Part,
    route::RouteTable,
    shard::{Links, ShardPlan, run_shard},
    stop::StopHandle,
    warm_up::WarmUp,
    workload::{Workload, workload_fn},
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
            woken = pacer.approach(woken, due).await;
        }
        lag.record(woken.saturating_sub(due));
    }
    lag
}

/// One worker that asks nothing of anybody, as fast as the engine goes: operations a second.
pub(crate) async fn null_rate() -> Option<f64> {
    let null = Arc::new(workload_fn(|_op| async {}));
    rehearse(null, 1, NULL_RUN).await.map(|rehearsed| rehearsed.per_sec)
}

/// What a short closed loop achieved.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rehearsed {
    pub(crate) per_sec: f64,
    /// CPU time of an operation on the thread that sends; where this system does not tell, the time it took.
    #[cfg_attr(not(feature = "http"), expect(dead_code, reason = "only the HTTP target asks"))]
    pub(crate) each: Duration,
}

/// Runs `workers` of a workload on the calling thread for `span`, as fast as they go. `None` if nothing was answered.
pub(crate) async fn rehearse<W: Workload>(
    workload: Arc<W>,
    workers: usize,
    span: Duration,
) -> Option<Rehearsed> {
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
        pulse: Arc::default(),
    };
    let used = LocalSet::new().run_until(run_shard(workload, plan(workers, span), links)).await?;
    drop((start, is_ready));
    let tally = seen.try_recv().ok()?.tally;
    let answered = tally.routes().map(|(_, route)| route.ok).sum::<u64>();
    let took = used.thread.map_or(tally.last_done, |thread| thread.cpu);
    let each = Duration::from_secs_f64(took.as_secs_f64() / as_f64(answered.max(1)));
    let spent = tally.last_done.max(Duration::from_micros(1));
    (answered > 0).then(|| Rehearsed { per_sec: as_f64(answered) / spent.as_secs_f64(), each })
}

fn plan(workers: usize, span: Duration) -> ShardPlan {
    ShardPlan {
        index: 0,
        shards: 1,
        executor: Executor::closed(workers, span),
        cap: workers,
        on_cap: OnCap::Queue,
        timeout: Duration::from_secs(1),
        deadline: None,
        think_time: Duration::ZERO,
        warm_sessions: workers,
        warm_up: WarmUp::None,
        seed: 0,
        feed: None,
        part: Part::default(),
        steered: None,
        clock: ClockSource::Monotonic,
        pacing: Pacing::Sleep,
        routes: Arc::new(RouteTable::new()),
    }
}
