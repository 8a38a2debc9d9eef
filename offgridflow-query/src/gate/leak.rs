//! The leak watch: connections held for suspiciously long, each named when noticed and again if it comes back after all.

use crate::pool_error::Holder;
use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

/// Events remembered; the oldest leaves first.
const REMEMBERED: usize = 32;

/// What the leak watch noticed about one connection.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Leak {
    /// Who holds it or held it, and for how long when this was noticed.
    pub holder: Holder,
    /// `false`: it has been out for longer than `leak_after`. `true`: it came back after all, so it was slow, not leaked.
    pub returned: bool,
}

/// What the leak watch has seen. `suspected - returned` connections are out and overdue now.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct LeakStatus {
    /// Connections that were out for longer than `leak_after`, since the start.
    pub suspected: u64,
    /// Those of them that came back after all.
    pub returned: u64,
    /// The latest events, oldest first, at most 32.
    pub recent: Vec<Leak>,
}

/// Counts and remembers; who is overdue is known to the holders' books.
#[derive(Debug, Default)]
pub(crate) struct LeakWatch {
    seen: Mutex<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    suspected: u64,
    returned: u64,
    recent: VecDeque<Leak>, // at most REMEMBERED
}

impl LeakWatch {
    /// Somebody has had a connection for too long.
    pub(crate) fn suspect(&self, pool: &str, holder: Holder) {
        crate::telemetry::leak_suspected(pool, &holder.at, holder.held);
        self.note(Leak { holder, returned: false });
    }

    /// A suspect came back.
    pub(crate) fn came_back(&self, pool: &str, holder: Holder) {
        crate::telemetry::leak_returned(pool, &holder.at, holder.held);
        self.note(Leak { holder, returned: true });
    }

    fn note(&self, leak: Leak) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if leak.returned {
            seen.returned += 1;
        } else {
            seen.suspected += 1;
        }
        if seen.recent.len() == REMEMBERED {
            seen.recent.pop_front();
        }
        seen.recent.push_back(leak);
    }

    pub(crate) fn status(&self) -> LeakStatus {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        LeakStatus {
            suspected: seen.suspected,
            returned: seen.returned,
            recent: seen.recent.iter().cloned().collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pool::Lane;
    use std::time::Duration;

    #[test]
    fn events_are_counted_and_the_latest_remembered() {
        let watch = LeakWatch::default();
        let holder = |n| Holder { at: format!("{n}"), held: Duration::from_secs(1), lane: Lane::Interactive };
        (0..100).for_each(|n| watch.suspect("main", holder(n)));
        watch.came_back("main", holder(7));
        let status = watch.status();
        assert_eq!((status.suspected, status.returned, status.recent.len()), (100, 1, REMEMBERED));
        let last = status.recent.last().unwrap();
        assert!(last.returned && last.holder.at == "7");
        assert_eq!(status.recent[0].holder.at, "69", "the oldest left first");
    }
}
