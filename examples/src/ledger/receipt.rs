//! What became of a request's rows.

use offgridflow_query::{Fate, Outcome, Tickets};
use serde::Serialize;

use crate::carbon::Activity;
use crate::intake::Rejection;
use crate::not_stored;

/// What became of a request's rows.
#[derive(Debug, Default, Serialize)]
pub struct Receipt {
    /// Rows that are stored.
    pub(super) accepted: usize,
    /// Rows whose id was there before; what is stored stays.
    pub(super) duplicates: usize,
    /// Rows that are refused, each with its line and a reason.
    pub(super) rejected: Vec<Rejection>,
    /// Rows with nothing wrong about them that were not stored, or nobody can say: send them again, with the same ids.
    pub(super) not_stored: Vec<Rejection>,
    #[serde(skip)]
    pub(super) malformed: bool,
}

/// How a request as a whole is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Every row is stored.
    Stored,
    /// Some of the body cannot be read.
    Malformed,
    /// All of it can be read, and some rows are refused.
    Refused,
    /// The database did not take rows that it may take later.
    Unavailable,
}

impl Receipt {
    /// How the request as a whole is answered.
    #[must_use]
    pub fn standing(&self) -> Standing {
        match self {
            _ if !self.not_stored.is_empty() => Standing::Unavailable,
            _ if self.malformed => Standing::Malformed,
            _ if !self.rejected.is_empty() => Standing::Refused,
            _ => Standing::Stored,
        }
    }
}

impl Receipt {
    pub(super) async fn settle(&mut self, tickets: Tickets<Activity>, lines: &[u64]) {
        for (outcome, line) in tickets.outcomes().await.into_iter().zip(lines) {
            match outcome {
                Outcome::Settled(receipt) if receipt.fate == Fate::Committed => self.accepted += 1,
                Outcome::Settled(_) => self.duplicates += 1,
                Outcome::Rejected(rejected) => {
                    self.rejected.push(rejection(*line, rejected.cause.to_string()));
                }
                Outcome::Returned(returned) => {
                    if self.not_stored.is_empty() {
                        tracing::warn!(
                            error = &returned.why as &dyn std::error::Error,
                            "rows were not stored"
                        );
                    }
                    self.not_stored.push(rejection(*line, not_stored::words(&returned.why).to_owned()));
                }
            }
        }
    }
}

pub(super) fn rejection(line: u64, reason: String) -> Rejection {
    Rejection { line, column: None, field: None, reason }
}
