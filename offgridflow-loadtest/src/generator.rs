//! How the load generator itself fared: what the verdict on a run rests on.

use std::time::Duration;

use crate::histogram::{Latencies, as_f64};

/// What one shard's thread used.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct ShardUse {
    at_start: Option<ThreadUse>,
    pub(crate) thread: Option<ThreadUse>,
    /// The run's length: from the common start to the end of the plan, or until nothing was in flight, if that was later.
    pub(crate) elapsed: Duration,
    /// Operations in progress × time, in nanoseconds, by the shard's own books.
    pub(crate) occupied: u128,
}

impl ShardUse {
    /// On the shard's thread, as the run starts.
    pub(crate) fn begin() -> Self {
        Self { at_start: ThreadUse::now(), ..Self::default() }
    }

    /// On the same thread, as it ends.
    pub(crate) fn end(&mut self, elapsed: Duration, occupied: u128) {
        self.thread = ThreadUse::now().zip(self.at_start).map(|(now, start)| now.since(start));
        (self.elapsed, self.occupied) = (elapsed, occupied);
    }

    /// The share of the run in which the thread was on a core, and in which it was ready but had none. Together at most the whole.
    fn shares(&self) -> Option<(f64, f64)> {
        let thread = self.thread.filter(|_| self.elapsed >= SHORTEST)?;
        let share = |part: Duration| part.as_secs_f64() / self.elapsed.as_secs_f64();
        let cpu = share(thread.cpu).min(1.0);
        Some((cpu, share(thread.waited).min(1.0 - cpu)))
    }
}

/// The system's books are up to a tick behind, and hold what came before the start: below this they tell nothing.
const SHORTEST: Duration = Duration::from_millis(100);

/// What the generator used and suffered during a run, in shares of the run's length.
///
/// `None` where this system does not tell, or the run took virtual time.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct Generator {
    /// How much of a core the busiest shard's thread used.
    pub cpu_share: Option<f64>,
    /// How long the worst-off shard's thread was ready to run but had no core.
    pub waited_share: Option<f64>,
    /// How often threads of shards were taken off their cores.
    pub preempted: Option<u64>,
    /// How long the CPU quota of the control group kept it from running.
    pub throttled_share: Option<f64>,
    /// The share of all cores' time that the host took away.
    pub stolen_share: Option<f64>,
    /// How long the whole process stood still at the longest, seen by a thread that has nothing else to do: stopped by a signal, suspended
    /// with its machine, or without any core.
    #[cfg_attr(
        feature = "serde",
        serde(rename = "longest_pause_ns", default, with = "crate::report::opt_nanos")
    )]
    pub longest_pause: Option<Duration>,
    /// By how much the generator raised the 95th percentile of the response time on the way out, by measurement: that of
    /// `done − intended` less that of `done − dispatched`.
    #[cfg_attr(feature = "serde", serde(rename = "inflation_p95_ns", with = "crate::report::opt_nanos"))]
    pub inflation_p95: Option<Duration>,
    /// How much more it may have added on the way back, where an answer waits for the same thread unseen: at most its lag
    /// at that percentile, and no more than is left beside the median service time. An assumption that decides nothing.
    #[cfg_attr(
        feature = "serde",
        serde(rename = "unseen_p95_ns", default, with = "crate::report::opt_nanos")
    )]
    pub unseen_p95: Option<Duration>,
    /// The median lag of this machine's timer with nothing else to do, measured before the run.
    #[cfg_attr(feature = "serde", serde(rename = "timer_lag_p50_ns", with = "crate::report::opt_nanos"))]
    pub timer_lag_p50: Option<Duration>,
    /// The worst lag of that measurement.
    #[cfg_attr(feature = "serde", serde(rename = "timer_lag_max_ns", with = "crate::report::opt_nanos"))]
    pub timer_lag_max: Option<Duration>,
    /// Operations a second that one shard of this machine begins and ends when the target does nothing,
    /// measured before the run.
    pub null_rate_per_sec: Option<f64>,
    /// How far the operations counted as in progress differ from arrival rate × time in the system (Little's
    /// law), as a share: near zero, or the numbers contradict one another.
    pub littles_residual: Option<f64>,
}

impl Generator {
    /// How many times the load the busiest shard could have sent, by the time it was at work or waited for a core.
    #[must_use]
    pub fn headroom(&self) -> Option<f64> {
        let busy = self.cpu_share? + self.waited_share.unwrap_or(0.0);
        (busy > 0.0).then(|| (1.0 / busy).max(1.0))
    }

    /// Of two that ran beside each other, on machines of their own: what was worst on either.
    #[cfg(feature = "serde")]
    pub(crate) fn beside(self, other: Self) -> Self {
        fn worst<T: Copy>(one: Option<T>, other: Option<T>, worse: fn(T, T) -> T) -> Option<T> {
            match (one, other) {
                (Some(one), Some(other)) => Some(worse(one, other)),
                (one, other) => one.or(other),
            }
        }
        Self {
            cpu_share: worst(self.cpu_share, other.cpu_share, f64::max),
            waited_share: worst(self.waited_share, other.waited_share, f64::max),
            preempted: worst(self.preempted, other.preempted, u64::saturating_add),
            throttled_share: worst(self.throttled_share, other.throttled_share, f64::max),
            stolen_share: worst(self.stolen_share, other.stolen_share, f64::max),
            longest_pause: worst(self.longest_pause, other.longest_pause, Duration::max),
            inflation_p95: None, // of all together
            unseen_p95: None,
            timer_lag_p50: worst(self.timer_lag_p50, other.timer_lag_p50, Duration::max),
            timer_lag_max: worst(self.timer_lag_max, other.timer_lag_max, Duration::max),
            null_rate_per_sec: worst(self.null_rate_per_sec, other.null_rate_per_sec, f64::min),
            littles_residual: worst(self.littles_residual, other.littles_residual, f64::max),
        }
    }

    /// What the shards' threads used.
    pub(crate) fn with_shards(mut self, shards: &[ShardUse]) -> Self {
        let shares: Vec<_> = shards.iter().filter_map(ShardUse::shares).collect();
        let worst = |of: fn(&(f64, f64)) -> f64| shares.iter().map(of).reduce(f64::max);
        self.cpu_share = worst(|share| share.0);
        self.waited_share = worst(|share| share.1);
        let threads: Vec<_> = shards.iter().filter_map(|shard| shard.thread).collect();
        self.preempted = (!threads.is_empty()).then(|| threads.iter().map(|thread| thread.preempted).sum());
        self
    }

    pub(crate) fn with_machine(mut self, used: MachineUse, elapsed: Duration) -> Self {
        let elapsed = elapsed.as_secs_f64().max(1e-9);
        self.throttled_share = Some(used.throttled.as_secs_f64() / elapsed);
        self.stolen_share = (used.jiffies > 0).then(|| as_f64(used.stolen) / as_f64(used.jiffies));
        self
    }

    /// Little's law (1961): the time operations spent in the system is the integral of how many were in it.
    pub(crate) fn with_residual(mut self, shards: &[ShardUse], busy_ns: u128) -> Self {
        let occupied: u128 = shards.iter().map(|shard| shard.occupied).sum();
        self.littles_residual = residual(occupied, busy_ns);
        self
    }
}

#[expect(clippy::cast_precision_loss, reason = "a ratio")]
fn residual(occupied: u128, busy: u128) -> Option<f64> {
    let whole = occupied.max(busy);
    (whole > 0).then(|| occupied.abs_diff(busy) as f64 / whole as f64)
}

/// What this machine's timer and the engine can do with nothing else to do.
#[derive(Debug, Clone, Default)]
pub(crate) struct Calibration {
    pub(crate) timer_lag: Latencies,
    pub(crate) null_rate_per_sec: Option<f64>,
}

impl Calibration {
    pub(crate) fn generator(&self) -> Generator {
        Generator {
            timer_lag_p50: self.timer_lag.at_rank(self.timer_lag.count().div_ceil(2)),
            timer_lag_max: self.timer_lag.max(),
            null_rate_per_sec: self.null_rate_per_sec,
            ..Generator::default()
        }
    }
}

#[cfg(target_os = "linux")]
pub(crate) use crate::sys::usage::{MachineUse, ThreadUse};

#[cfg(not(target_os = "linux"))]
pub(crate) use elsewhere::{MachineUse, ThreadUse};

/// Where the system is not asked.
#[cfg(not(target_os = "linux"))]
mod elsewhere {
    use std::time::Duration;

    #[derive(Debug, Clone, Copy, Default)]
    pub(crate) struct ThreadUse {
        pub(crate) cpu: Duration,
        pub(crate) waited: Duration,
        pub(crate) preempted: u64,
    }

    impl ThreadUse {
        pub(crate) fn now() -> Option<Self> {
            None
        }

        pub(crate) fn since(self, _: Self) -> Self {
            self
        }
    }

    #[derive(Debug, Clone, Copy, Default)]
    pub(crate) struct MachineUse {
        pub(crate) throttled: Duration,
        pub(crate) jiffies: u64,
        pub(crate) stolen: u64,
    }

    impl MachineUse {
        pub(crate) fn now() -> Self {
            Self::default()
        }

        pub(crate) fn since(self, _: Self) -> Self {
            self
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_of_the_run_and_no_more_than_a_whole() {
        let ms = Duration::from_millis;
        let shares = |elapsed, cpu, waited| {
            let thread = Some(ThreadUse { cpu, waited, preempted: 0 });
            ShardUse { thread, elapsed, ..ShardUse::default() }.shares()
        };
        assert_eq!(shares(ms(1_000), ms(250), ms(500)), Some((0.25, 0.5)));
        assert_eq!(shares(ms(1_000), ms(1_004), ms(3)), Some((1.0, 0.0)), "books a tick behind");
        assert_eq!(shares(ms(2), ms(3), ms(0)), None, "too short to tell");
    }
}
