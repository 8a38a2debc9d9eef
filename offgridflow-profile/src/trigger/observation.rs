use std::fmt;
use std::time::Duration;

/// What is known of the process at one instant: what triggers look at.
///
/// What is `None` was not known, and no trigger holds on it.
#[derive(Debug, Clone, Default, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Observation {
    /// When, since the start; later than the one before.
    pub at: Duration,
    /// By how much it came too late, where observations are missing before it: a process that was not given CPU time, or a machine that stood
    /// still. What a level does not show then is no evidence against it.
    pub late: Duration,
    /// Memory in use, bytes.
    pub memory_bytes: Option<u64>,
    /// What it must not exceed, bytes.
    pub limit_bytes: Option<u64>,
    /// What the program's allocator has handed out, bytes, and what it holds: a leak of the program's grows the first, retention the second alone.
    pub allocated_bytes: Option<u64>,
    /// What the allocator has taken from the system, bytes.
    pub held_bytes: Option<u64>,
    /// Cores in use since the observation before: CPU time by time.
    pub cpu_cores: Option<f64>,
    /// Cores that threads of the process could have used and were not given, since the observation before: time in which they waited to
    /// run, by time.
    pub cpu_waited: Option<f64>,
    /// Share of the last ten seconds in which some task stood still for want of memory, 0 to 1.
    pub pressure: Option<f64>,
    /// What 99 % of the requests took at most, of those that the application reported.
    pub latency_p99: Option<Duration>,
    /// Places with the most tasks alive, the most first.
    pub tasks: Vec<TaskCount>,
    /// Places that wait the longest, the longest first.
    pub waits: Vec<WaitTime>,
}

impl Observation {
    /// Places kept of an observation's tasks, and of its waits.
    pub const PLACES: usize = 8;

    /// Nothing known but the instant.
    #[must_use]
    pub fn new(at: Duration) -> Self {
        Self { at, ..Self::default() }
    }
}

/// A place in the program, under the name it was given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Place {
    /// Its name.
    pub name: &'static str,
    /// The source file; empty where it is not known.
    pub file: &'static str,
    /// The line.
    pub line: u32,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.file {
            "" => f.write_str(self.name),
            file => write!(f, "{} ({file}:{})", self.name, self.line),
        }
    }
}

/// Tasks alive at a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct TaskCount {
    /// Where they were started.
    pub place: Place,
    /// How many are there.
    pub live: u64,
}

/// How long a place waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct WaitTime {
    /// Where.
    pub place: Place,
    /// Waits under way.
    pub waiting: u64,
    /// Mean length of the waits that ended since the observation before; where none ended although some are under way, how long
    /// that has been so.
    pub mean: Duration,
}
