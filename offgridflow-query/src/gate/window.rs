//! The last minutes of a pool's totals, in two marks.

use crate::gate::advice::Evidence;
use std::time::Duration;
use tokio::time::Instant;

/// A mark is set this often, so that evidence covers between one and two of these, once the pool is that old.
const SPAN: Duration = Duration::from_secs(60);

/// What a pool has counted since it began.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Totals {
    pub(crate) checkouts: u64,
    pub(crate) occupied: Duration, // of places still taken too
    pub(crate) waited: u64,
    pub(crate) wait: Duration,
    pub(crate) refused: u64,
}

#[derive(Debug, Clone, Copy)]
struct Mark {
    at: Instant,
    totals: Totals,
}

/// Where the totals stood one and two spans ago.
#[derive(Debug)]
pub(crate) struct Window {
    older: Mark,
    newer: Mark,
    peak_before: usize, // between the marks
}

impl Window {
    pub(crate) fn new(now: Instant) -> Self {
        let mark = Mark { at: now, totals: Totals::default() };
        Self { older: mark, newer: mark, peak_before: 0 }
    }

    /// Whether a new mark is due; `advance` sets it.
    pub(crate) fn is_due(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.newer.at) >= SPAN
    }

    /// Forgets what is older than the newer mark and sets a new one; `peak` is the most since then.
    pub(crate) fn advance(&mut self, now: Instant, totals: Totals, peak: usize) {
        self.older = self.newer;
        self.newer = Mark { at: now, totals };
        self.peak_before = peak;
    }

    /// What happened since the older mark; `peak` is the most since the newer one.
    pub(crate) fn evidence(&self, now: Instant, totals: Totals, peak: usize, max_open: usize) -> Evidence {
        let Mark { at, totals: before } = self.older;
        Evidence {
            window: now.saturating_duration_since(at),
            max_open,
            checkouts: totals.checkouts.saturating_sub(before.checkouts),
            occupied: totals.occupied.saturating_sub(before.occupied),
            waited: totals.waited.saturating_sub(before.waited),
            wait: totals.wait.saturating_sub(before.wait),
            refused: totals.refused.saturating_sub(before.refused),
            peak: peak.max(self.peak_before),
            server_cores: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn evidence_covers_one_to_two_spans() {
        let start = Instant::now();
        let after = |s| start + Duration::from_secs(s);
        let totals = |n| Totals { checkouts: n, occupied: Duration::from_secs(n), ..Totals::default() };
        let mut window = Window::new(start);
        assert_eq!(window.evidence(after(30), totals(3), 2, 4).window, Duration::from_secs(30));
        assert!(!window.is_due(after(59)) && window.is_due(after(60)));

        window.advance(after(60), totals(10), 3);
        let evidence = window.evidence(after(90), totals(15), 1, 4);
        assert_eq!((evidence.checkouts, evidence.peak, evidence.window.as_secs()), (15, 3, 90));

        window.advance(after(120), totals(30), 1);
        let evidence = window.evidence(after(130), totals(36), 2, 4);
        assert_eq!((evidence.checkouts, evidence.peak, evidence.window.as_secs()), (26, 2, 70));
        assert_eq!(evidence.occupied, Duration::from_secs(26));
    }
}
