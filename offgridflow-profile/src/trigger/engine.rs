use std::time::{Duration, SystemTime};

use super::armed::Armed;
use super::{Budget, Explanation, Fired, Observation, Trigger};

/// Watches observations, and says when a capture is due. Pure: it has no clock and takes no capture.
///
/// ```
/// use std::time::{Duration, SystemTime};
/// use offgridflow_profile::{Budget, Observation, Trigger, TriggerEngine};
///
/// let trigger = Trigger::cpu_above(1.5).lasting(Duration::from_secs(3));
/// let mut engine = TriggerEngine::new(vec![trigger], Budget::default());
/// let busy = |second| {
///     let mut seen = Observation::new(Duration::from_secs(second));
///     seen.cpu_cores = Some(1.9);
///     seen
/// };
/// let fired: Vec<_> = (0..60).flat_map(|second| engine.step(&busy(second), SystemTime::now())).collect();
/// assert_eq!(fired.len(), 1);
/// assert_eq!(fired[0].why, "cpu above 1.5 cores for 3 s: 1.90 cores");
/// println!("{}", engine.explain(SystemTime::now())[0]); // … rests for 10 min after a capture
/// ```
#[derive(Debug)]
pub struct TriggerEngine {
    armed: Vec<Armed>,
    budget: Budget,
    now: Duration,
}

impl TriggerEngine {
    /// Watches for each of these; all share one budget.
    #[must_use]
    pub fn new(triggers: Vec<Trigger>, budget: Budget) -> Self {
        Self { armed: triggers.into_iter().map(Armed::new).collect(), budget, now: Duration::ZERO }
    }

    /// Takes an observation; what fires. `wall` is what the budget counts by, and what survives a restart.
    pub fn step(&mut self, seen: &Observation, wall: SystemTime) -> Vec<Fired> {
        self.now = seen.at;
        let budget = &mut self.budget;
        self.armed.iter_mut().filter_map(|armed| armed.step(seen, wall, budget)).collect()
    }

    /// Why each trigger does not fire.
    #[must_use]
    pub fn explain(&self, wall: SystemTime) -> Vec<Explanation> {
        let spent = self.budget.left(wall) == 0;
        self.armed.iter().map(|armed| armed.explain(self.now, spent)).collect()
    }

    /// What was spent.
    #[must_use]
    pub const fn budget(&self) -> &Budget {
        &self.budget
    }
}

#[cfg(test)]
mod tests;
