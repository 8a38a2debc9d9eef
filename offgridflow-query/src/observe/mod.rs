//! What ran, how often, and how long it took.

#[cfg(all(feature = "plans", any(feature = "sqlite", feature = "postgres")))]
mod advise;
mod entry;
#[cfg(any(feature = "sqlite", feature = "postgres"))]
mod executor;
mod findings;
mod fingerprint;
mod hints;
#[cfg(all(feature = "plans", any(feature = "sqlite", feature = "postgres")))]
mod insight;
#[cfg(feature = "layer")]
mod layer;
mod observation;
mod observer;
#[cfg(all(feature = "plans", any(feature = "sqlite", feature = "postgres")))]
mod page;
#[cfg(all(feature = "plans", any(feature = "sqlite", feature = "postgres")))]
mod plan;
mod scope;
#[cfg(feature = "tower")]
mod service;
mod stats;
mod table;
mod tables;
#[cfg(all(feature = "plans", any(feature = "sqlite", feature = "postgres")))]
mod watch;

#[cfg(all(feature = "plans", any(feature = "sqlite", feature = "postgres")))]
pub use advise::{
    AdviceLimits, Advisor, IdleIndex, IdleReason, IndexAdvice, IndexVerdict, TryIndex, WriteCost,
};
#[cfg(any(feature = "sqlite", feature = "postgres"))]
pub use executor::{IsConnection, Observed, Watched};
pub use findings::Finding;
pub use fingerprint::{Fingerprint, normalize};
pub use hints::{Hint, Hints};
#[cfg(all(feature = "plans", any(feature = "sqlite", feature = "postgres")))]
pub use insight::StatementAdvice;
#[cfg(all(feature = "plans", any(feature = "sqlite", feature = "postgres")))]
pub use insight::{Detail, Insight, NamedPool};
#[cfg(feature = "layer")]
pub use layer::ObserverLayer;
pub use observation::Observation;
pub use observer::Observer;
#[cfg(all(feature = "plans", any(feature = "sqlite", feature = "postgres")))]
pub use plan::{Measured, Plan, PlanDiff, PlanNode, PlanShape};
pub use scope::{OverBudget, QueryBudget, QueryScope, RepeatedQuery, ScopeReport};
#[cfg(feature = "tower")]
pub use service::{QueryScopeLayer, QueryScopeService};
pub use stats::{By, ErrorCount, ObserverReport, ObserverSnapshot, StatementStats};
pub use tables::write_set;
#[cfg(all(feature = "plans", any(feature = "sqlite", feature = "postgres")))]
pub use watch::{
    Explain, ExplainFor, PlanBudget, PlanRegression, PlanStats, PlanWatcher, SlowLog, SlowStatement, Slower,
};
