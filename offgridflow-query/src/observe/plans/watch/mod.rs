//! Slow statements, their plans, and plans that became slower.

mod budget;
mod explain;
mod history;
mod ranks;
mod slow;
mod watcher;

pub use budget::PlanBudget;
pub use explain::{Explain, ExplainFor};
#[cfg(feature = "postgres")]
pub(super) use explain::{explain_here, places};
#[cfg(feature = "sqlite")]
pub(super) use explain::{has_places, single as alone};
pub(super) use history::{Call, Change, History};
pub use ranks::Slower;
pub(super) use slow::SlowRing;
pub use slow::{SlowLog, SlowStatement};
pub use watcher::{PlanRegression, PlanStats, PlanWatcher};
pub(super) use watcher::{Wanted, Watch};
