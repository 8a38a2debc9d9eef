//! A load test that passed validation.

use std::{fmt, sync::Arc, time::Duration};

use crate::{
    error::PreflightError,
    executor::{Executor, OnCap},
    route::RouteTable,
    shard::ShardPlan,
    threshold::Threshold,
};

/// What a run is going to do, all numbers settled.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Plan {
    /// What is under load, as the workload describes itself.
    pub target: String,
    /// Open or closed loop.
    pub executor: Executor,
    /// How many operations may be in flight, over all shards.
    pub max_in_flight: usize,
    /// What happens to an arrival beyond that.
    pub on_cap: OnCap,
    /// When an operation is given up.
    pub timeout: Duration,
    /// How long a session rests after an answer.
    pub think_time: Duration,
    /// How many threads send.
    pub shards: usize,
    /// The seed of every random number.
    pub seed: u64,
    /// What is judged.
    pub thresholds: Vec<Threshold>,
    pub(crate) warm_sessions: usize,
    pub(crate) spin: bool,
    pub(crate) open_files_per_op: u64,
}

/// Descriptors a process needs besides those of its operations.
const SPARE_FILES: u64 = 64;

impl Plan {
    /// The executor in a few words.
    #[must_use]
    pub fn load(&self) -> String {
        let duration = self.executor.duration();
        match &self.executor {
            Executor::Open(arrivals) => format!(
                "open loop, {} operations in {duration:?}, up to {:.6}/s",
                arrivals.operations(),
                arrivals.peak_rate()
            )
            .replace(".000000/s", "/s"),
            Executor::Closed(closed) => {
                format!(
                    "closed loop, {} workers for {duration:?}, think time {:?}",
                    closed.workers, closed.think_time
                )
            }
        }
    }

    /// Checks that this machine can carry the plan, raising the soft limit on open files where it may.
    ///
    /// # Errors
    /// Names the limit, what there is, and what the plan needs.
    pub fn preflight(&self) -> Result<(), PreflightError> {
        let busy = u64::try_from(self.max_in_flight).unwrap_or(u64::MAX);
        let need = busy.saturating_mul(self.open_files_per_op).saturating_add(SPARE_FILES);
        let have = if self.open_files_per_op == 0 { u64::MAX } else { open_files(need) };
        if have >= need {
            return Ok(());
        }
        Err(PreflightError {
            limit: "open files".into(),
            have,
            need,
            remedy: "raise it (`ulimit -n`), or lower the operations in flight (`concurrent_workers`)".into(),
        })
    }

    /// Shard `index`'s part. Shares of the cap differ by at most one and sum to the whole.
    pub(crate) fn shard(&self, index: usize, precise: bool, routes: &Arc<RouteTable>) -> ShardPlan {
        let share = |whole: usize| (whole + self.shards - 1 - index) / self.shards;
        let cap = share(self.max_in_flight);
        ShardPlan {
            index,
            shards: self.shards,
            executor: self.executor.clone(),
            cap,
            on_cap: self.on_cap,
            timeout: self.timeout,
            think_time: self.think_time,
            warm_sessions: share(self.warm_sessions).clamp(1, cap.max(1)),
            seed: self.seed,
            precise,
            spin: self.spin,
            routes: Arc::clone(routes),
        }
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "target      {}", self.target)?;
        writeln!(f, "load        {}", self.load())?;
        writeln!(f, "in flight   at most {} ({:?})", self.max_in_flight, self.on_cap)?;
        writeln!(f, "time-out    {:?}", self.timeout)?;
        write!(f, "shards      {}, seed {}", self.shards, self.seed)?;
        for threshold in &self.thresholds {
            write!(f, "\nthreshold   {threshold}")?;
        }
        Ok(())
    }
}

#[cfg(target_os = "linux")]
fn open_files(need: u64) -> u64 {
    crate::sys::raise_open_files(need)
}

#[cfg(not(target_os = "linux"))]
fn open_files(_need: u64) -> u64 {
    u64::MAX
}
