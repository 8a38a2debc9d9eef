//! The regression gate: two git revisions, unmodified criterion benchmarks, and a verdict with a proven rate of false alarms.

mod build;
mod cancel;
mod error;
mod git;
mod identical;
mod judge;
mod report;
mod round;
mod run;
mod session;
mod weather;

pub use cancel::Cancel;
pub use error::GateError;
pub use judge::{Figures, Rule, Verdict};
pub use report::{GateReport, Judged, SCHEMA};
pub use round::{Round, Statistic};
pub use run::Gate;
pub use session::Via;
