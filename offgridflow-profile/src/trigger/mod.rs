//! When to capture: conditions over observations, under a budget. Pure: time and readings are data, so that incidents can be replayed.

mod budget;
mod condition;
mod engine;
mod observation;

pub use budget::Budget;
pub use condition::Trigger;
pub use engine::{Explanation, Fired, TriggerEngine, TriggerState};
pub use observation::{Observation, Place, TaskCount, WaitTime};
