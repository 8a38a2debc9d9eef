//! When to capture: conditions over observations, under a budget. Pure: time and readings are data, so that incidents can be replayed.

mod armed;
mod budget;
mod condition;
mod detector;
mod engine;
mod explanation;
mod fired;
mod hold;
mod level;
mod observation;

pub use budget::Budget;
pub use condition::Trigger;
pub use engine::TriggerEngine;
pub use explanation::{Explanation, TriggerState};
pub use fired::Fired;
pub use observation::{Observation, Place, TaskCount, WaitTime};
