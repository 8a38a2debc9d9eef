//! Where the CPU time goes.

#[cfg(feature = "cpu-pprof")]
mod pprof_cost;
#[cfg(feature = "cpu-pprof")]
mod pprof_engine;
#[cfg(feature = "cpu-pprof")]
mod pprof_profile;
#[cfg(any(feature = "cpu-pprof", feature = "profiler", feature = "metrics"))]
pub(crate) mod usage;

#[cfg(feature = "cpu-pprof")]
pub use pprof_engine::PprofCpu;

use std::time::Duration;

use crate::{Profile, ProfileError};

/// Samples CPU time of this whole process. There is one a process at a time: `SIGPROF` has one handler.
///
/// Nothing is sampled until [`start`](Self::start), which arms a timer; [`drain`](Self::drain) disarms it.
pub trait CpuProfiler: Send + Sync {
    /// Begins to sample.
    ///
    /// # Errors
    /// [`ProfileError::Busy`] when a profile is being taken already, [`ProfileError::Conflict`] where other code samples or this process was forked
    /// during a capture, [`ProfileError::Setting`] for a rate that cannot be had.
    fn start(&self, spec: &CpuSpec) -> Result<(), ProfileError>;

    /// Stops, and gives what was seen since the start. Blocks while names are looked up: not for an async worker thread.
    ///
    /// # Errors
    /// [`ProfileError::NotStarted`], or the engine's own failure; sampling has stopped in either case.
    fn drain(&self) -> Result<Profile, ProfileError>;

    /// Gives what was seen since the start, or since the rotation before, and goes on sampling at `spec`: for window after window. Sampling
    /// has stopped where it fails. Unless an engine knows better it stops and starts.
    ///
    /// # Errors
    /// As [`drain`](Self::drain) and [`start`](Self::start).
    fn rotate(&self, spec: &CpuSpec) -> Result<Profile, ProfileError> {
        let profile = self.drain()?;
        self.start(spec)?;
        Ok(profile)
    }

    /// Stops and throws away what was seen: for a capture that nobody waits for any more. Cheaper than [`drain`](Self::drain) where
    /// the engine looks up names only then.
    fn discard(&self) {
        drop(self.drain());
    }

    /// What this engine can do here.
    fn caps(&self) -> CpuCaps;

    /// What all profiles so far came to. Default: nothing is counted.
    fn tally(&self) -> CpuTally {
        CpuTally::default()
    }

    /// Samples for `duration`, on the calling thread, which sleeps meanwhile.
    ///
    /// # Errors
    /// As [`start`](Self::start) and [`drain`](Self::drain).
    fn capture(&self, spec: &CpuSpec, duration: Duration) -> Result<Profile, ProfileError> {
        self.start(&CpuSpec { expected: duration, ..spec.clone() })?;
        std::thread::sleep(duration);
        self.drain()
    }
}

/// How to sample.
#[derive(Debug, Clone)]
pub struct CpuSpec {
    /// Samples a second of CPU time, over all threads. Default: 99, which does not beat with timers at round rates.
    pub hz: u32,
    /// How long the profile is meant to take, told to whoever finds it busy. Default: 10 s.
    pub expected: Duration,
}

impl Default for CpuSpec {
    fn default() -> Self {
        Self { hz: 99, expected: Duration::from_secs(10) }
    }
}

/// What the profiles of an engine came to, those that were thrown away left out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct CpuTally {
    /// Samples that were taken.
    pub samples: u64,
    /// Samples that were missing: rate × CPU time − samples.
    pub dropped: u64,
    /// CPU time of the process while it was sampled.
    pub cpu: Duration,
    /// What of it the sampling took.
    pub cost: Duration,
}

impl CpuTally {
    /// Share of the CPU time that the sampling took; 0 where nothing was sampled.
    #[must_use]
    pub fn overhead(&self) -> f64 {
        if self.cpu.is_zero() { 0.0 } else { self.cost.as_secs_f64() / self.cpu.as_secs_f64() }
    }

    #[cfg(feature = "cpu-pprof")]
    pub(crate) fn add(&mut self, other: Self) {
        self.samples += other.samples;
        self.dropped += other.dropped;
        self.cpu += other.cpu;
        self.cost += other.cost;
    }
}

/// What an engine can do here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct CpuCaps {
    /// What samples and unwinds.
    pub engine: &'static str,
    /// Whether it works on this system.
    pub supported: bool,
    /// The highest rate it keeps.
    pub max_hz: u32,
}

impl CpuCaps {
    /// Of an engine that works here.
    #[must_use]
    pub const fn new(engine: &'static str, max_hz: u32) -> Self {
        Self { engine, supported: true, max_hz }
    }
}
