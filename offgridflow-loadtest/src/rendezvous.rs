//! Waiting for all shards of a run: before its start, and for what they leave.

use std::time::Duration;

use tokio::time::{Instant, timeout};

use crate::{
    conductor::{Readies, Results, TICK},
    generator::ShardUse,
    outcome::TargetError,
    stop::StopHandle,
};

/// Waits for `future` at most `longest`, and not on after a stop.
pub(crate) async fn unless_stopped<T>(
    stop: &StopHandle,
    future: impl Future<Output = T>,
    longest: Duration,
) -> Option<T> {
    tokio::pin!(future);
    let begun = Instant::now();
    loop {
        match timeout(TICK, &mut future).await {
            Ok(value) => return Some(value),
            Err(_) if stop.is_stopped() || begun.elapsed() > longest => return None,
            Err(_) => {}
        }
    }
}

/// What each shard that came back has used.
pub(crate) async fn collect(results: Results) -> Vec<ShardUse> {
    let mut used = Vec::new();
    for result in results {
        if let Ok(Ok(shard)) = timeout(TICK, result).await {
            used.push(shard);
        }
    }
    used
}

/// Waits for all; good if at least one shard opened a session.
pub(crate) async fn first_ready(readies: Readies) -> Result<(), TargetError> {
    let mut result = Ok(());
    let mut any = false;
    for ready in readies {
        match ready.await {
            Ok(Ok(())) => any = true,
            Ok(Err(error)) => result = Err(error),
            Err(_) => {}
        }
    }
    if any { Ok(()) } else { result }
}
