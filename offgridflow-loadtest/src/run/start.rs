//! A shard as it is handed to its thread.

use std::sync::Arc;

use super::wiring::ShardEnds;
use crate::{
    guard::watched,
    shard::{ShardPlan, run_shard},
    workload::Workload,
};

/// A shard about to start.
pub(super) struct Start<W> {
    pub(super) workload: Arc<W>,
    pub(super) plan: ShardPlan,
    pub(super) ends: ShardEnds,
}

impl<W: Workload> Start<W> {
    /// Runs it to its end, whose result goes to the conductor; a panic is told by its pulse.
    pub(super) async fn run(self) {
        let ShardEnds { links, result } = self.ends;
        let (pulse, stop) = (Arc::clone(&links.pulse), links.stop.clone());
        let ran = watched(run_shard(self.workload, self.plan, links), pulse, stop).await;
        if let Some(used) = ran.flatten() {
            let _ = result.send(used);
        }
    }
}
