//! Lending connections: the trait, the guard, and what a pool tells about itself.

use crate::gate::LeakStatus;
use crate::histogram::HistogramSnapshot;
use crate::pool_error::{Holder, PoolError};
use std::fmt;
use std::future::Future;
use std::ops::{Deref, DerefMut};
use std::time::Duration;
use tokio::time::Instant;

/// Which work a connection is for. Background work leaves a reserve of connections to interactive work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum Lane {
    /// Somebody is waiting for the answer. Default.
    #[default]
    Interactive,
    /// Nobody is waiting, or many share one connection: batched writes, jobs, reports.
    Background,
}

/// What a caller asks of [`ConnectionPool::acquire`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Acquire {
    /// Which work it is for. Default: [`Lane::Interactive`].
    pub lane: Lane,
    /// When to give up. A deadline that has passed still gets what is free. Default: `None`, the pool's own time-out
    /// from the call on.
    pub deadline: Option<Instant>,
}

impl Acquire {
    /// A connection for this lane.
    #[must_use]
    pub fn lane(lane: Lane) -> Self {
        Self { lane, deadline: None }
    }

    /// The same, given up at `deadline`.
    #[must_use]
    pub fn until(self, deadline: Instant) -> Self {
        Self { deadline: Some(deadline), ..self }
    }

    /// The same, given up after `wait`.
    #[must_use]
    pub fn within(self, wait: Duration) -> Self {
        let now = Instant::now();
        self.until(now.checked_add(wait).unwrap_or(now + crate::gate::FOREVER))
    }
}

/// A bounded set of connections, lent one at a time.
///
/// Waiters of one lane are served in the order they came. Dropping the future of `acquire` gives the place up and
/// leaks nothing: a connection that is being opened is finished in the background and becomes idle.
pub trait ConnectionPool: Send + Sync + 'static {
    /// What is lent.
    type Conn: Send;

    /// Lends a connection, waiting for one if need be. Fails with [`PoolError::Timeout`] at the deadline, at once with
    /// [`PoolError::Shed`] where the deadline cannot be met, and with [`PoolError::Closed`] once
    /// [`close`](Self::close) was called.
    fn acquire(&self, ask: Acquire) -> impl Future<Output = Result<Guard<Self::Conn>, PoolError>> + Send;

    /// What the pool looks like now. Costs a few atomic reads and a copy of the histograms.
    fn status(&self) -> PoolStatus;

    /// Refuses new callers and waits until every connection is back and closed.
    ///
    /// Dropping the future leaves the pool closed; connections close as they come back.
    fn close(&self) -> impl Future<Output = ()> + Send;
}

impl<P: ConnectionPool> ConnectionPool for std::sync::Arc<P> {
    type Conn = P::Conn;

    #[track_caller]
    fn acquire(&self, ask: Acquire) -> impl Future<Output = Result<Guard<Self::Conn>, PoolError>> + Send {
        (**self).acquire(ask)
    }

    fn status(&self) -> PoolStatus {
        (**self).status()
    }

    fn close(&self) -> impl Future<Output = ()> + Send {
        (**self).close()
    }
}

/// What a pool implements for what it lends; callers see a [`Guard`].
pub trait Lease<C>: Send {
    /// The connection.
    fn conn(&self) -> &C;

    /// The connection, to use it.
    fn conn_mut(&mut self) -> &mut C;

    /// Takes the connection back; a broken one must be closed, never lent again. Runs in `Drop`: must not block.
    fn give_back(self: Box<Self>, condition: Condition);
}

/// What a guard knows about the connection that it gives back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Condition {
    /// Nobody touched it.
    Untouched,
    /// Whoever used it vouches that nothing is under way and no transaction is open ([`Guard::mark_whole`]).
    Clean,
    /// It was used. A statement may be under way and a transaction open, because a future was dropped: look first.
    Used,
    /// A protocol was left half-way ([`Guard::mark_broken`]).
    Broken,
}

/// A lent connection; dropping it gives the connection back.
pub struct Guard<C> {
    lease: Option<Box<dyn Lease<C>>>, // `None` only while dropping
    condition: Condition,
}

impl<C> Guard<C> {
    /// Wraps what a pool lends.
    #[must_use]
    pub fn new(lease: Box<dyn Lease<C>>) -> Self {
        Self { lease: Some(lease), condition: Condition::Untouched }
    }

    /// From now on a drop closes the connection instead of lending it out again; the only one of an in-memory database is rolled back
    /// and brought in order. For protocols that must not be left half-way: mark it broken, run them, mark it whole.
    pub fn mark_broken(&mut self) {
        self.condition = Condition::Broken;
    }

    /// Takes [`mark_broken`](Self::mark_broken) back, and vouches for the connection: every statement ran to its end
    /// and no transaction is open. It is then lent again without being looked at, until it is used once more; unless something was
    /// queued and not sent (the ROLLBACK of a transaction of sqlx's own that was dropped), which the gate sees and sends.
    pub fn mark_whole(&mut self) {
        self.condition = Condition::Clean;
    }

    /// Takes [`mark_broken`](Self::mark_broken) back, and vouches for nothing.
    pub(crate) fn mark_used(&mut self) {
        self.condition = Condition::Used;
    }
}

impl<C> Deref for Guard<C> {
    type Target = C;

    fn deref(&self) -> &C {
        self.lease.as_ref().expect("present until drop").conn()
    }
}

impl<C> DerefMut for Guard<C> {
    fn deref_mut(&mut self) -> &mut C {
        if self.condition != Condition::Broken {
            self.condition = Condition::Used;
        }
        self.lease.as_mut().expect("present until drop").conn_mut()
    }
}

impl<C> Drop for Guard<C> {
    fn drop(&mut self) {
        if let Some(lease) = self.lease.take() {
            lease.give_back(self.condition);
        }
    }
}

impl<C> fmt::Debug for Guard<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guard").field("condition", &self.condition).finish_non_exhaustive()
    }
}

/// A pool at one instant.
#[derive(Debug, Clone)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct PoolStatus {
    /// Connections that may be open at once.
    pub max_open: usize,
    /// Connections open now, lent or idle.
    pub open: usize,
    /// Connections open and not lent.
    pub idle: usize,
    /// Connections lent, being opened for a caller, or being looked at as they come back.
    pub in_use: usize,
    /// Callers waiting for a place.
    pub waiting: usize,
    /// Connections lent since the start.
    pub acquired: u64,
    /// Callers that gave up at their deadline.
    pub timeouts: u64,
    /// Callers refused at once because they would have waited in vain.
    pub shed: u64,
    /// Callers whose future was dropped while they waited.
    pub cancelled: u64,
    /// Attempts to connect that failed.
    pub connect_errors: u64,
    /// Connections that came back broken, or with a statement that went on for too long. They were closed, unless an in-memory database
    /// would have gone with them.
    pub broken: u64,
    /// Connections closed because they did not answer when they were tested or looked at, or answered out of step.
    pub dead: u64,
    /// Connections closed because of their age.
    pub retired: u64,
    /// Connections closed because more than `max_idle` were idle.
    pub surplus: u64,
    /// Transactions that were found open when a connection came back, and rolled back.
    pub rolled_back: u64,
    /// Time spent waiting for a place, in nanoseconds, of all callers: served at once, served, refused, gone.
    pub wait: HistogramSnapshot,
    /// Time spent opening connections, in nanoseconds.
    pub connect: HistogramSnapshot,
    /// Time spent testing idle connections, in nanoseconds.
    pub ping: HistogramSnapshot,
    /// Time connections were held, in nanoseconds.
    pub held: HistogramSnapshot,
    /// The five oldest holders, oldest first.
    pub holders: Vec<Holder>,
    /// Connections held for suspiciously long.
    pub leaks: LeakStatus,
}
