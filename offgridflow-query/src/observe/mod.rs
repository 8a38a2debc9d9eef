//! What ran, how often, and how long it took.

#[cfg(all(feature = "plans", any(feature = "sqlite", feature = "postgres")))]
mod advise;
mod entry;
#[cfg(any(feature = "sqlite", feature = "postgres"))]
mod executor;
mod fingerprint;
#[cfg(feature = "layer")]
mod layer;
mod observation;
mod observer;
#[cfg(feature = "plans")]
mod plan;
mod scope;
mod stats;
mod table;
#[cfg(feature = "plans")]
mod watch;

#[cfg(all(feature = "plans", any(feature = "sqlite", feature = "postgres")))]
pub use advise::{
    AdviceLimits, Advisor, IdleIndex, IdleReason, IndexAdvice, IndexVerdict, TryIndex, WriteCost,
};
#[cfg(any(feature = "sqlite", feature = "postgres"))]
pub use executor::{IsConnection, Observed, Watched};
pub use fingerprint::{Fingerprint, normalize};
#[cfg(feature = "layer")]
pub use layer::ObserverLayer;
pub use observation::Observation;
pub use observer::Observer;
#[cfg(feature = "plans")]
pub use plan::{Plan, PlanDiff, PlanNode, PlanShape};
pub use scope::{OverBudget, QueryBudget, QueryScope, RepeatedQuery, ScopeReport};
pub use stats::{By, ErrorCount, ObserverReport, ObserverSnapshot, StatementStats};
#[cfg(feature = "plans")]
pub use watch::{
    Explain, ExplainFor, PlanBudget, PlanRegression, PlanStats, PlanWatcher, SlowLog, SlowStatement, Slower,
};
