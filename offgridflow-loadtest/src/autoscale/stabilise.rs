//! Stabilisation: of the recommendations of a while, the most cautious counts.

use std::{collections::VecDeque, time::Duration};

use crate::autoscale::Hpa;

/// Recommendations of the past, before stabilisation.
#[derive(Debug, Clone, Default)]
pub struct Stabiliser {
    seen: VecDeque<(Duration, u32)>, // in the order of time
}

impl Stabiliser {
    /// Notes what was wanted at an instant.
    pub fn note(&mut self, at: Duration, replicas: u32) {
        self.seen.push_back((at, replicas));
    }

    /// What is left of `desired` at `now`: no more than the least of the window for growing, no fewer than the most of that for shrinking,
    /// and `current` where both hold. One exactly as old as a window no longer counts.
    #[must_use]
    pub fn stabilise(&self, now: Duration, current: u32, desired: u32, hpa: &Hpa) -> u32 {
        let within = |window: Duration| {
            self.seen.iter().filter(move |(at, _)| now - *at < window).map(|(_, replicas)| *replicas)
        };
        let up = within(hpa.up.window).fold(desired, u32::min);
        let down = within(hpa.down.window).fold(desired, u32::max);
        current.max(up).min(down)
    }

    /// Forgets what no window reaches any more.
    pub fn forget(&mut self, now: Duration, hpa: &Hpa) {
        let window = hpa.up.window.max(hpa.down.window);
        while self.seen.front().is_some_and(|(at, _)| now - *at >= window) {
            self.seen.pop_front();
        }
    }
}
