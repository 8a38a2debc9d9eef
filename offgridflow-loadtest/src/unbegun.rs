//! Operations that were due and never begun.

use std::time::Duration;

use crate::{
    outcome::{FailKind, TargetError},
    route::RouteId,
};

/// Operations that were not begun, and are recorded all the same: one, or neighbours that are counted together.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Unbegun {
    pub(crate) route: RouteId,
    /// Of the first.
    pub(crate) index: u64,
    pub(crate) intended: Duration,
    /// How late it was by then: of neighbours, at least.
    pub(crate) lateness: Duration,
    pub(crate) count: u64,
    pub(crate) why: Why,
}

/// Why an operation was not begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Why {
    /// As many as allowed were in flight.
    Cap,
    /// Its deadline had passed.
    Shed,
    /// The run ended while it waited for the cap.
    Waiting,
    /// The run ended before the generator came to it.
    Unsent,
}

impl Why {
    pub(crate) fn error(self) -> TargetError {
        let (kind, message) = match self {
            Self::Cap => (FailKind::Cap, "as many operations as allowed were in flight"),
            Self::Shed => (FailKind::Shed, "its deadline had passed before it could begin"),
            Self::Waiting => (FailKind::Stopped, "still waiting for its turn when the run ended"),
            Self::Unsent => {
                (FailKind::Stopped, "never sent: the generator was still behind when the run ended")
            }
        };
        TargetError::unanswered(kind, message)
    }
}
