use std::time::Duration;

use super::Observation;

/// For how long a level has held, without the time of which nothing is known.
#[derive(Debug, Default)]
pub(super) struct Hold {
    since: Option<Duration>,
    held_at: Duration, // the last observation on which it held, while `since` is known
    unseen: Duration,  // time since `since` of which nothing is known
    gap: bool,         // whether there was a gap since `held_at`
}

impl Hold {
    /// It holds on this observation; for how long it has.
    pub(super) fn goes_on(&mut self, seen: &Observation) -> Duration {
        let before = std::mem::replace(&mut self.held_at, seen.at);
        let gap = std::mem::replace(&mut self.gap, false);
        let Some(since) = self.since else {
            (self.since, self.unseen) = (Some(seen.at), Duration::ZERO);
            return Duration::ZERO;
        };
        let unseen = if gap { seen.at.saturating_sub(before) } else { seen.late };
        self.unseen = self.unseen.saturating_add(unseen);
        seen.at.saturating_sub(since).saturating_sub(self.unseen)
    }

    /// It is not known to hold at `at`, for want of evidence: whether that is a gap, which is at most `longest`.
    pub(super) fn bridges(&mut self, at: Duration, longest: Duration) -> bool {
        let gap = self.since.is_some() && at.saturating_sub(self.held_at) <= longest;
        self.gap |= gap;
        gap
    }

    pub(super) fn end(&mut self) {
        self.since = None;
    }

    /// For how long it has held by `now`, if it does.
    pub(super) fn by(&self, now: Duration) -> Option<Duration> {
        self.since.map(|since| now.saturating_sub(since).saturating_sub(self.unseen))
    }
}
