//! Plans of statements: captured, compared with those before, and what would make them better. And what all of it says together.

mod advise;
mod insight;
mod learned;
mod page;
mod plan;
mod watch;
mod watching;

pub use advise::{
    AdviceLimits, Advisor, IdleIndex, IdleReason, IndexAdvice, IndexVerdict, TryIndex, WriteCost,
};
pub use insight::{Detail, Insight, NamedPool, StatementAdvice};
pub(super) use learned::Learned;
pub use plan::{Measured, Plan, PlanDiff, PlanNode, PlanShape};
pub use watch::{
    Explain, ExplainFor, PlanBudget, PlanRegression, PlanStats, PlanWatcher, SlowLog, SlowStatement, Slower,
};
pub(super) use watching::Watching;
