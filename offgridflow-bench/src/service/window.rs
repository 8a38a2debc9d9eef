use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

/// The newest runs of one probe: bounded in number and in age.
#[derive(Debug)]
pub(super) struct Window {
    runs: VecDeque<(Instant, Option<Duration>)>, // `None`: failed; in time order, at most `capacity`
    capacity: usize,                             // >= 1
    age: Duration,
}

impl Window {
    pub(super) fn new(capacity: usize, age: Duration) -> Self {
        Self { runs: VecDeque::new(), capacity, age }
    }

    pub(super) fn push(&mut self, at: Instant, took: Option<Duration>) {
        if self.runs.len() == self.capacity {
            self.runs.pop_front();
        }
        self.runs.push_back((at, took));
        self.forget_old(at);
    }

    pub(super) fn forget_old(&mut self, now: Instant) {
        while self.runs.front().is_some_and(|(at, _)| now.duration_since(*at) > self.age) {
            self.runs.pop_front();
        }
    }

    /// Durations in ascending order, a failed run as the longest there is.
    pub(super) fn sorted(&self) -> Vec<Duration> {
        let mut sorted: Vec<_> = self.runs.iter().map(|(_, took)| took.unwrap_or(Duration::MAX)).collect();
        sorted.sort_unstable();
        sorted
    }
}
