//! Why there is no connection, and who holds the others.

use crate::error::{Cause, Class, Scope};
use std::time::Duration;

/// No connection: why, and who holds the others.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum PoolError {
    /// No connection came free in time. Raise `max_open`, shorten what the holders do, or wait longer.
    #[error("no connection came free within {waited:?} ({in_use} of {max_open} in use, {waiting} waiting{})", holders_text(.holders))]
    Timeout {
        /// How long this caller waited.
        waited: Duration,
        /// Connections lent out.
        in_use: usize,
        /// The pool's limit.
        max_open: usize,
        /// Callers still waiting.
        waiting: usize,
        /// The oldest holders, at most five, oldest first.
        holders: Vec<Holder>,
    },
    /// Waiting would have been in vain: the callers ahead need longer than this one has, by far. Refused at once, so
    /// that it can be answered at once; try again later, somewhere else, or with fewer callers at a time.
    #[error("no connection can be expected within {left:?}: {waiting} callers wait for {max_open} connections, which takes about {expected:?}{}", holders_text(.holders))]
    Shed {
        /// When a connection could be expected.
        expected: Duration,
        /// How long this caller would have waited.
        left: Duration,
        /// The pool's limit.
        max_open: usize,
        /// Callers waiting.
        waiting: usize,
        /// The oldest holders, at most five, oldest first.
        holders: Vec<Holder>,
    },
    /// A place was free but the database did not let us in within the deadline. Look at the network and the server.
    #[error("the database did not accept a connection within {waited:?}{}", obstacle_text(.obstacle))]
    ConnectTimeout {
        /// How long connecting took before it was given up.
        waited: Duration,
        /// What is in the way, if it is known: nobody listens there, the name leads nowhere.
        obstacle: Option<Cause>,
    },
    /// The database refused the connection, or the connection broke.
    #[error("cannot connect: {0}")]
    Connect(Cause),
    /// The pool is closed.
    #[error("the pool is closed")]
    Closed,
}

impl PoolError {
    /// Whether the same call may succeed later.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Closed => false,
            Self::Connect(cause) => cause.class().scope() == Scope::Transient,
            _ => true,
        }
    }

    /// The same fact in the vocabulary of write errors.
    #[must_use]
    pub fn to_cause(&self) -> Cause {
        let class = match self {
            Self::Timeout { .. } | Self::Shed { .. } => Class::PoolTimeout,
            Self::Connect(cause) => return cause.clone(),
            Self::ConnectTimeout { .. } => Class::Connection,
            Self::Closed => Class::Closed,
        };
        Cause::new(class, self.to_string())
    }
}

/// Who holds a connection, and since when.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Holder {
    /// File and line of the call to `acquire`.
    pub at: String,
    /// How long the connection has been out.
    pub held: Duration,
    /// Which work it was lent for.
    pub lane: crate::Lane,
}

fn obstacle_text(obstacle: &Option<Cause>) -> String {
    obstacle.as_ref().map_or_else(String::new, |cause| format!("; {}", cause.message()))
}

fn holders_text(holders: &[Holder]) -> String {
    let mut text = String::new();
    for (i, holder) in holders.iter().enumerate() {
        text.push_str(if i == 0 { "; held by " } else { ", " });
        text.push_str(&format!("{} for {:?}", holder.at, holder.held));
    }
    text
}
