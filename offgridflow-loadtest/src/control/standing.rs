//! How a run stands.

use std::time::Duration;

use super::Annotation;

/// How a run stands.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Standing {
    /// What it does.
    pub state: RunState,
    /// How long it has gone on, pauses included.
    #[cfg_attr(feature = "serde", serde(rename = "at_ns", with = "crate::report::nanos"))]
    pub at: Duration,
    /// When it will end, from its start; `None` in a pause.
    #[cfg_attr(feature = "serde", serde(rename = "ends_ns", with = "crate::report::opt_nanos"))]
    pub ends: Option<Duration>,
    /// The rate of the schedule at this moment, in operations a second; `None` in a closed loop.
    pub rate_per_sec: Option<f64>,
    /// By how much the plan goes faster than it was planned.
    pub speed: f64,
    /// What was done and said so far.
    pub annotations: Vec<Annotation>,
}

/// What a run does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum RunState {
    /// It gets ready.
    NotBegun,
    /// It offers what its plan wants.
    Running,
    /// It offers nothing until it is resumed.
    Paused,
    /// It was asked to end.
    Stopping,
    /// It has ended.
    Over,
}
