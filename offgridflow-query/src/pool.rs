//! Lending connections: the trait, the guard, and what a pool tells about itself.

use crate::error::{Holder, PoolError};
use crate::histogram::HistogramSnapshot;
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
    /// When to give up. Default: `None`, the pool's own time-out from the call on.
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
        self.until(Instant::now() + wait)
    }
}

/// A bounded set of connections, lent one at a time.
///
/// Waiters of one lane are served in the order they came. Dropping the future of `acquire` gives the place up and
/// leaks nothing: a connection that is being opened is finished in the background and becomes idle.
pub trait ConnectionPool: Send + Sync + 'static {
    /// What is lent.
    type Conn: Send;

    /// Lends a connection, waiting for one if need be. Fails with [`PoolError::Timeout`] at the deadline, and with
    /// [`PoolError::Closed`] once [`close`](Self::close) was called.
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

    /// Takes the connection back; one that is not whole must be closed, never lent again. Runs in `Drop`: must not block.
    fn give_back(self: Box<Self>, whole: bool);
}

/// A lent connection; dropping it gives the connection back.
pub struct Guard<C> {
    lease: Option<Box<dyn Lease<C>>>, // `None` only while dropping
    whole: bool,
}

impl<C> Guard<C> {
    /// Wraps what a pool lends.
    #[must_use]
    pub fn new(lease: Box<dyn Lease<C>>) -> Self {
        Self { lease: Some(lease), whole: true }
    }

    /// From now on a drop closes the connection instead of lending it out again. For protocols that must not be
    /// left half-way: mark it broken, run them, mark it whole.
    pub fn mark_broken(&mut self) {
        self.whole = false;
    }

    /// Takes [`mark_broken`](Self::mark_broken) back.
    pub fn mark_whole(&mut self) {
        self.whole = true;
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
        self.lease.as_mut().expect("present until drop").conn_mut()
    }
}

impl<C> Drop for Guard<C> {
    fn drop(&mut self) {
        if let Some(lease) = self.lease.take() {
            lease.give_back(self.whole);
        }
    }
}

impl<C> fmt::Debug for Guard<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guard").field("whole", &self.whole).finish_non_exhaustive()
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
    /// Connections lent.
    pub in_use: usize,
    /// Callers waiting for a place.
    pub waiting: usize,
    /// Connections lent since the start.
    pub acquired: u64,
    /// Callers that gave up at their deadline.
    pub timeouts: u64,
    /// Callers whose future was dropped before it was ready.
    pub cancelled: u64,
    /// Attempts to connect that failed.
    pub connect_errors: u64,
    /// Connections closed because they came back broken.
    pub broken: u64,
    /// Time spent waiting for a place, in nanoseconds.
    pub wait: HistogramSnapshot,
    /// Time spent getting a connection once a place was free (opening, or testing an idle one), in nanoseconds.
    pub connect: HistogramSnapshot,
    /// Time connections were held, in nanoseconds.
    pub held: HistogramSnapshot,
    /// The five oldest holders, oldest first.
    pub holders: Vec<Holder>,
}
