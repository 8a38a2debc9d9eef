//! What processes write down, a line an event, and the history that it makes.

use std::time::Duration;

use offgridflow_cache::sim::{Fault, Seen};
use rustix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};

/// Nanoseconds of the machine's monotonic clock, which is one for all its processes.
pub(crate) fn now() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    u64::try_from(now.tv_sec).unwrap() * 1_000_000_000 + u64::try_from(now.tv_nsec).unwrap()
}

pub(crate) fn at(nanos: u64) -> Duration {
    Duration::from_nanos(nanos)
}

/// What a read got.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Saw {
    Value(u64, u64),
    Absent,
    Nothing,
    Failed(Trouble),
    Left,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Trouble {
    Error,
    Panic,
    Timeout,
    Other,
}

impl std::fmt::Display for Trouble {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{self:?}")
    }
}

impl std::error::Error for Trouble {}

impl From<Trouble> for Fault {
    fn from(trouble: Trouble) -> Self {
        match trouble {
            Trouble::Error => Self::Error,
            Trouble::Panic => Self::Panic,
            Trouble::Timeout => Self::Timeout,
            Trouble::Other => Self::Other,
        }
    }
}

impl From<Saw> for Seen {
    fn from(saw: Saw) -> Self {
        match saw {
            Saw::Value(key, version) => Self::Value { key, version },
            Saw::Absent => Self::Absent,
            Saw::Nothing => Self::Nothing,
            Saw::Failed(trouble) => Self::Failed(trouble.into()),
            Saw::Left => Self::Left,
        }
    }
}

/// One event; times are of [`now`].
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum Event {
    /// The node can be asked.
    Ready,
    Read {
        key: u64,
        began: u64,
        end: Option<(u64, Saw)>,
        last: bool,
    },
    /// An invalidation of these versions is asked for: written before it is.
    Removes {
        id: u64,
        reached: Vec<(u64, u64)>,
        at: u64,
    },
    Removed {
        id: u64,
        delivered: bool,
        at: u64,
    },
    Load {
        key: u64,
        fenced: Option<u64>,
        began: u64,
        ended: u64,
        failed: Option<Trouble>,
    },
    /// The process stood still for so many nanoseconds, until then.
    Stall {
        nanos: u64,
        until: u64,
    },
    /// Every step is over, or is never going to be: how many are not. What was not delivered by then, and how often the shared tier
    /// failed or was late.
    Settled {
        hung: u64,
        deferred: u64,
        shared_errors: u64,
    },
    Done,
}
