use std::time::Duration;

use crate::trend::Spoken;

/// What a trigger sees, and why it does not fire.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Explanation {
    /// The condition, in words.
    pub trigger: String,
    /// What it saw last, in words.
    pub seen: String,
    /// What it is doing.
    pub state: TriggerState,
    /// Captures it asked for.
    pub fired: u64,
    /// Times it would have fired, were there budget left.
    pub withheld: u64,
}

/// What a trigger is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "kebab-case"))]
#[non_exhaustive]
pub enum TriggerState {
    /// What it watches is not known, so it cannot hold.
    Blind,
    /// The condition does not hold.
    Quiet,
    /// It holds, not yet for long enough.
    Holds {
        /// For how long.
        since: Duration,
    },
    /// It has fired, and rests.
    Rests {
        /// For how much longer.
        left: Duration,
    },
    /// It holds for long enough, and there is no budget left.
    OutOfBudget,
}

impl std::fmt::Display for Explanation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}; ", self.trigger, self.seen)?;
        match self.state {
            TriggerState::Blind => f.write_str("cannot hold without that")?,
            TriggerState::Quiet => f.write_str("does not hold")?,
            TriggerState::Holds { since } => write!(f, "holds for {}", Spoken(since))?,
            TriggerState::Rests { left } => write!(f, "rests for {} after a capture", Spoken(left))?,
            TriggerState::OutOfBudget => f.write_str("holds, and the budget is spent")?,
        }
        write!(f, "; {} captures, {} withheld", self.fired, self.withheld)
    }
}
