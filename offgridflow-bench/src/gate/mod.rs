//! The regression gate: two git revisions, unmodified criterion benchmarks, and a verdict with a proven rate of false alarms.

mod allowance;
mod build;
mod cancel;
mod contest;
mod error;
mod git;
mod identical;
mod journal;
mod judge;
mod layout;
mod markdown;
mod page;
mod records;
mod report;
mod round;
mod rounds;
mod run;
mod schedule;
mod session;
mod settings;
mod suite;
mod weather;
mod witness;

pub use cancel::Cancel;
pub use error::GateError;
pub use judge::{Figures, Rule, Verdict};
pub use report::{GateReport, Judged, SCHEMA};
pub use round::{Round, Statistic};
pub use run::Gate;
pub use session::Via;
pub use settings::Settings;
pub use witness::{Allocations, Instructions};
