//! What ran, how often, and how long it took.

mod fingerprint;
mod observer;
mod scope;

pub use fingerprint::{Fingerprint, normalize};
pub use observer::{Observation, Observer, ObserverReport, StatementStats};
pub use scope::{OverBudget, QueryBudget, QueryScope, RepeatedQuery, ScopeReport};
