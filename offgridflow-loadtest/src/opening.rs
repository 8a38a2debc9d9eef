//! Before a shard's run: its first sessions, and arriving at the common start.

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
    sync::Arc,
    time::Duration,
};

use tokio::{
    task::spawn_local,
    time::{Instant, sleep_until},
};

use crate::{
    clock::ClockSource,
    guard::guarded,
    outcome::TargetError,
    shard::{ShardPlan, as_u64, context},
    workload::Workload,
};

/// How many sessions a shard opens at a time before the run.
pub(crate) const OPENERS: usize = 8;

/// Arrives at the common start on time: the last stretch by looking, since a timer wakes late.
pub(crate) async fn wait_for_start(origin: Instant, clock: ClockSource) {
    if clock == ClockSource::Monotonic {
        sleep_until(origin - Duration::from_millis(3)).await;
        while Instant::now() < origin {
            tokio::task::yield_now().await;
        }
    } else {
        sleep_until(origin).await;
    }
}

/// Opens the first sessions, a few at a time, so that the run does not begin with a connect storm.
/// Fails if none could be opened.
pub(crate) async fn open_sessions<W: Workload>(
    workload: &Arc<W>,
    plan: &ShardPlan,
    idle: &mut Vec<W::Session>,
) -> Result<(), TargetError> {
    let opened = Rc::new(RefCell::new((Vec::new(), None)));
    let left = Rc::new(Cell::new(plan.warm_sessions));
    let opener = |_| {
        let (workload, plan, opened, left) =
            (Arc::clone(workload), plan.clone(), Rc::clone(&opened), Rc::clone(&left));
        spawn_local(async move {
            while let Some(rest) = left.get().checked_sub(1) {
                left.set(rest);
                let ctx = context(&plan, as_u64(rest));
                let result = guarded(Instant::now() + plan.timeout, workload.open(&ctx))
                    .await
                    .and_then(|result| result);
                let mut opened = opened.borrow_mut();
                match result {
                    Ok(session) => opened.0.push(session),
                    Err(error) => return opened.1 = Some(error),
                }
            }
        })
    };
    let openers: Vec<_> = (0..OPENERS.min(plan.warm_sessions)).map(opener).collect();
    for opener in openers {
        let _ = opener.await;
    }
    let (sessions, error) = opened.take();
    *idle = sessions;
    match error {
        Some(error) if idle.is_empty() => Err(error),
        _ => Ok(()),
    }
}
