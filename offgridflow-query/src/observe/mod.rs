//! What ran, how often, and how long it took.

mod fingerprint;
mod observer;

pub use fingerprint::{Fingerprint, normalize};
pub use observer::{Observation, Observer, ObserverReport, StatementStats};
