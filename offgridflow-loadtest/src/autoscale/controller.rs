//! The controller: one autoscaler's memory, and what it decides at an instant.

use std::time::Duration;

use crate::autoscale::{Hpa, Pod, Stabiliser, calculate, pace::Pace};

/// A HorizontalPodAutoscaler at work. Time is data: instants are counted from any beginning and never decrease.
///
/// ```
/// use {offgridflow_loadtest::autoscale::{Controller, Hpa}, std::time::Duration};
/// let mut controller = Controller::new(Hpa::new("api", 2, 10)); // Kubernetes' defaults: +100 % or +4 pods each 15 s
/// assert_eq!(controller.reconcile(Duration::ZERO, 2, 10), 6);
/// assert_eq!(controller.reconcile(Duration::from_secs(15), 6, 10), 10);
/// ```
#[derive(Debug, Clone)]
pub struct Controller {
    hpa: Hpa,
    stabiliser: Stabiliser,
    pace: Pace,
    started: bool,
}

impl Controller {
    /// One that has just been started, so that the replicas it finds are held for a window.
    #[must_use]
    pub fn new(hpa: Hpa) -> Self {
        Self { hpa, stabiliser: Stabiliser::default(), pace: Pace::default(), started: false }
    }

    /// What it follows.
    #[must_use]
    pub fn hpa(&self) -> &Hpa {
        &self.hpa
    }

    /// What the metrics want of `current` replicas; `None` where no metric says anything, or there are none and the least is not.
    ///
    /// `pods` are asked for each of the targets, since memory and processor time are separate samples.
    pub fn desired(
        &self,
        current: u32,
        pods: impl Fn(crate::autoscale::Resource) -> Vec<Pod>,
    ) -> Option<u32> {
        if current == 0 && self.hpa.min != 0 {
            return None; // switched off by whoever scaled to zero
        }
        if current > self.hpa.max || current < self.hpa.min {
            return Some(current.clamp(self.hpa.min, self.hpa.max));
        }
        let wants = self
            .hpa
            .targets
            .iter()
            .filter_map(|&target| calculate(&pods(target.resource), current, target, self.hpa.tolerance));
        wants.map(|proposal| proposal.replicas).max()
    }

    /// How many replicas there are to be at `now`, when the metrics want `desired`. Takes for granted that this is done.
    pub fn reconcile(&mut self, now: Duration, current: u32, desired: u32) -> u32 {
        let next = if current > self.hpa.max || current < self.hpa.min {
            current.clamp(self.hpa.min, self.hpa.max) // at once, whatever policies say
        } else {
            self.paced(now, current, desired)
        };
        self.pace.note(now, current, next);
        next
    }

    fn paced(&mut self, now: Duration, current: u32, desired: u32) -> u32 {
        if !std::mem::replace(&mut self.started, true) {
            self.stabiliser.note(now, current);
        }
        let stable = self.stabiliser.stabilise(now, current, desired, &self.hpa);
        self.stabiliser.note(now, desired);
        let next = self.pace.limit(now, current, stable, &self.hpa);
        self.stabiliser.forget(now, &self.hpa);
        self.pace.forget(now, &self.hpa);
        next
    }

    /// A change in the past that its policies count, as after a restart with a known history.
    pub fn remember_change(&mut self, at: Duration, from: u32, to: u32) {
        self.pace.note(at, from, to);
    }
}
