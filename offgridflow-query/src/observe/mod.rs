//! What ran, how often, and how long it took.

mod entry;
#[cfg(any(feature = "sqlite", feature = "postgres"))]
mod executor;
mod findings;
mod fingerprint;
mod hints;
#[cfg(feature = "layer")]
mod layer;
mod lexer;
mod lists;
mod observation;
mod observer;
#[cfg(not(all(feature = "plans", any(feature = "sqlite", feature = "postgres"))))]
#[path = "blind.rs"]
mod plans;
#[cfg(all(feature = "plans", any(feature = "sqlite", feature = "postgres")))]
mod plans;
mod scope;
#[cfg(feature = "tower")]
mod service;
mod stats;
mod table;
mod tables;

#[cfg(any(feature = "sqlite", feature = "postgres"))]
pub use executor::{IsConnection, Observed, Watched};
pub use findings::Finding;
pub use fingerprint::{Fingerprint, normalize};
pub use hints::{Hint, Hints};
#[cfg(feature = "layer")]
pub use layer::ObserverLayer;
pub use observation::Observation;
pub use observer::Observer;
#[cfg(all(feature = "plans", any(feature = "sqlite", feature = "postgres")))]
pub use plans::{
    AdviceLimits, Advisor, Detail, Explain, ExplainFor, IdleIndex, IdleReason, IndexAdvice, IndexVerdict,
    Insight, Measured, NamedPool, Plan, PlanBudget, PlanDiff, PlanNode, PlanRegression, PlanShape, PlanStats,
    PlanWatcher, SlowLog, SlowStatement, Slower, StatementAdvice, TryIndex, WriteCost,
};
pub use scope::{OverBudget, QueryBudget, QueryScope, RepeatedQuery, ScopeReport};
#[cfg(feature = "tower")]
pub use service::{QueryScopeLayer, QueryScopeService};
pub use stats::{By, ErrorCount, ObserverReport, ObserverSnapshot, StatementStats};
pub use tables::write_set;
