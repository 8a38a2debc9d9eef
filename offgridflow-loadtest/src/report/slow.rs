//! The slowest operations, as they are reported.

use std::time::Duration;

use super::Measured;
use crate::{part::Part, route::RouteTable};

/// One of the slowest operations of a run, in the order of their response times: what to look for in a tracing system.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct SlowOperation {
    /// Its place in the whole run ([`Op::index`](crate::Op::index)).
    pub operation: u64,
    /// Its route; empty if it named none.
    pub route: String,
    /// When it was due, from the start of the run.
    #[cfg_attr(feature = "serde", serde(rename = "intended_ns", with = "super::nanos"))]
    pub intended: Duration,
    /// How long its user would have waited; at least that long, if it was never answered.
    #[cfg_attr(feature = "serde", serde(rename = "response_ns", with = "super::nanos"))]
    pub response: Duration,
    /// Whether it was answered.
    pub answered: bool,
    /// Its trace, where the workload sends one along ([`Workload::trace_id`](crate::Workload::trace_id)).
    pub trace: Option<String>,
}

impl Measured {
    /// By the names of this process.
    pub(super) fn slowest(&self, part: Part, names: &RouteTable) -> Vec<SlowOperation> {
        let named = |slow: &crate::slowest::Slow| SlowOperation {
            operation: part.of_whole(slow.index),
            route: match slow.route().index() {
                0 => String::new(),
                index => names.name(index).to_string(),
            },
            intended: slow.intended,
            response: slow.response,
            answered: slow.answered,
            trace: None,
        };
        self.tally.slowest.iter().map(named).collect()
    }
}
