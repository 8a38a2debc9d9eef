//! Slow statements, their plans, and plans that became slower.

mod budget;
mod explain;
mod history;
mod ranks;
mod slow;
mod watcher;

pub use budget::PlanBudget;
#[cfg(feature = "postgres")]
pub(super) use explain::explain_here;
#[cfg(feature = "sqlite")]
pub(super) use explain::single as alone;
pub use explain::{Explain, ExplainFor};
pub(super) use history::{Call, Change, History};
pub use ranks::Slower;
pub(super) use slow::SlowRing;
pub use slow::{SlowLog, SlowStatement};
pub use watcher::{PlanRegression, PlanStats, PlanWatcher};
pub(super) use watcher::{Wanted, Watch};
