//! What a shard hands over once a second.

use std::time::Duration;

use crate::{
    histogram::{Distribution, Latencies, as_f64},
    recorder::Tally,
    silence::Silence,
};

/// What happened since the last look: the live view of one shard, or of all.
#[derive(Debug, Clone, Default)]
pub(crate) struct WindowRecord {
    pub(crate) shard: usize,
    pub(crate) index: u64,
    pub(crate) response: Distribution,
    pub(crate) lag: Latencies,
    pub(crate) ok: u64,
    pub(crate) failed: u64,
    pub(crate) in_flight: u64,
    pub(crate) tenths: [Tenth; 10], // of the window, by when an answer came
    pub(crate) silence: Silence,    // of the shard so far
    /// The same in full, for the report. [`merge`](Self::merge) leaves it alone.
    pub(crate) tally: Tally,
}

/// The answers of a tenth of a window.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Tenth {
    count: u64,
    sum_ns: u64,
}

impl WindowRecord {
    /// The index of what remains when a shard ends.
    pub(crate) const LAST: u64 = u64::MAX;

    /// Adds to what is shown of it the measured operations, which its shard counted once, in the tally.
    pub(crate) fn complete(&mut self) {
        let seen =
            self.tally.routes().map(|(_, record)| &record.response.seen).filter(|seen| seen.count() > 0);
        seen.for_each(|seen| self.response.merge(seen));
        self.lag.merge(self.tally.lag.seen.answered());
    }

    /// Adds what happened, not when.
    pub(crate) fn merge_counts(&mut self, other: &Self) {
        let index = self.index;
        self.merge(other);
        self.index = index;
    }

    pub(crate) fn merge(&mut self, other: &Self) {
        self.index = self.index.max(other.index);
        self.response.merge(&other.response);
        self.lag.merge(&other.lag);
        self.ok += other.ok;
        self.failed += other.failed;
        self.in_flight += other.in_flight;
        for (ours, theirs) in self.tenths.iter_mut().zip(&other.tenths) {
            ours.count += theirs.count;
            ours.sum_ns = ours.sum_ns.saturating_add(theirs.sum_ns);
        }
    }

    /// The mean response time of each tenth of the window in which anything was answered, in seconds.
    pub(crate) fn means(&self) -> impl Iterator<Item = f64> + '_ {
        let answered = self.tenths.iter().filter(|tenth| tenth.count > 0);
        answered.map(|tenth| as_f64(tenth.sum_ns) / as_f64(tenth.count) / 1e9)
    }

    pub(crate) fn answer(&mut self, done: Duration, response: Duration) {
        let tenth = &mut self.tenths[usize::try_from(done.subsec_millis() / 100).unwrap_or(0)];
        tenth.count += 1;
        tenth.sum_ns = tenth.sum_ns.saturating_add(u64::try_from(response.as_nanos()).unwrap_or(u64::MAX));
    }

    /// Empties it but keeps its memory for the next window.
    pub(crate) fn clear(&mut self) {
        self.response.clear();
        self.lag.clear();
        (self.index, self.ok, self.failed, self.in_flight) = (0, 0, 0, 0);
        self.tenths = Default::default();
        self.tally.clear();
    }
}
