//! From a place to a connection and back: what is at hand, what has to be tested, what has to be opened.

use crate::error::Cause;
use crate::finish::Finish;
use crate::gate::config::GateConfig;
use crate::gate::idle::{Idle, IdleStack, Leaving};
use crate::gate::lease::{GateLease, PATIENCE};
use crate::gate::lifetime::Lifetimes;
use crate::gate::places::{Place, Places};
use crate::gate::pool::GateDatabase;
use crate::pool::{Guard, Lease};
use crate::pool_error::PoolError;
use sqlx::pool::PoolConnection;
use sqlx::{Connection, Pool};
use std::future::Future;
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep, timeout, timeout_at};

/// After this long without a connection it is looked up what is in the way.
const SLOW: Duration = Duration::from_millis(100);

/// The common part of a gate's clones.
///
/// Connections are opened by `pool` and never go back there. At most `max_open` exist: one is opened only by
/// somebody who has a place and found none at hand, and one at hand was somebody's who had a place.
pub(crate) struct Lender<DB: GateDatabase> {
    pub(crate) places: Arc<Places>,
    pub(crate) lifetimes: Lifetimes,
    pub(crate) runtime: Handle,
    pub(crate) keepalive: Option<Duration>,
    pub(crate) keeper: OnceLock<AbortHandle>,
    pub(crate) idle: IdleStack<Box<GateLease<DB>>>,
    pool: Pool<DB>,
    owns_pool: bool,
    lasting: bool, // the database lives in the connection: it is never given up
    test_after_idle: Duration,
    began: Instant,
    obstacle: Mutex<Option<Cause>>, // what was in the way when a connection was last slow to open
    suspects_ns: AtomicU64,         // since `began`: what was proven before then is tested before it is lent
}

impl<DB: GateDatabase> Lender<DB> {
    pub(crate) fn new(pool: Pool<DB>, owns_pool: bool, max_open: usize, config: &GateConfig) -> Self {
        let lasting = DB::lives_in_connection(&pool.connect_options());
        Self {
            places: Places::new(config.rules(max_open)),
            lifetimes: Lifetimes::new(config.max_lifetime),
            runtime: Handle::current(),
            keepalive: config.keepalive,
            keeper: OnceLock::new(),
            idle: IdleStack::new(config.max_idle, config.surplus_linger),
            pool,
            owns_pool,
            lasting,
            test_after_idle: config.test_after_idle,
            began: Instant::now(),
            obstacle: Mutex::default(),
            suspects_ns: AtomicU64::new(0),
        }
    }

    /// Gets a connection for somebody who has a place, by `deadline`.
    ///
    /// # Cancel safety
    /// A connection that is being tested or opened goes on in a task and is then at hand.
    pub(crate) async fn lend(
        self: &Arc<Self>,
        place: Place,
        deadline: Instant,
    ) -> Result<Guard<DB::Connection>, PoolError> {
        let (now, at_hand) = (place.since(), self.idle.pop());
        match at_hand {
            Some(lease) if self.is_fresh(&lease, now) => Ok(lease.lend(place, Arc::clone(self))),
            candidate => {
                let waits = Arc::new(()); // until this future ends, however it does
                let preparing =
                    Finish::new(Arc::clone(self).prepare(place, candidate, Arc::downgrade(&waits)));
                let late = |_| Err(self.too_late(now.elapsed()));
                timeout_at(deadline, preparing).await.unwrap_or_else(late)
            }
        }
    }

    /// Whether a connection can be lent as it is.
    fn is_fresh(&self, lease: &GateLease<DB>, now: Instant) -> bool {
        let proven = lease.proven();
        !lease.is_expired(now)
            && now.saturating_duration_since(proven) < self.test_after_idle
            && self.since_began(proven) >= self.suspects_ns.load(Relaxed)
    }

    /// Tests what is at hand until something answers, then opens a connection. All tests together have one patience.
    async fn prepare(
        self: Arc<Self>,
        place: Place,
        mut candidate: Option<Box<GateLease<DB>>>,
        waits: Weak<()>,
    ) -> Result<Guard<DB::Connection>, PoolError> {
        let until = Instant::now() + PATIENCE;
        while let Some(lease) = candidate {
            if lease.is_expired(Instant::now()) {
                self.close(lease, Leaving::Retired, None);
            } else if let Some(lease) = self.test(lease, until).await {
                return Ok(self.lend_now(lease, place));
            }
            candidate = self.idle.pop();
        }
        self.connect(place, &waits).await
    }

    fn lend_now(self: Arc<Self>, lease: Box<GateLease<DB>>, place: Place) -> Guard<DB::Connection> {
        place.lent(Instant::now());
        lease.lend(place, self)
    }

    /// The connection, if it answers by `until`.
    pub(crate) async fn test(
        &self,
        mut lease: Box<GateLease<DB>>,
        until: Instant,
    ) -> Option<Box<GateLease<DB>>> {
        let began = Instant::now();
        let answer = timeout_at(until, lease.conn_mut().ping()).await;
        let now = Instant::now();
        self.places.books.ping.record(now.saturating_duration_since(began));
        if let Ok(Ok(())) = answer {
            lease.prove(now);
            return Some(lease);
        }
        self.bury(lease, now);
        None
    }

    /// A connection is dead, and so perhaps are all that have not answered since.
    fn bury(&self, lease: Box<GateLease<DB>>, now: Instant) {
        self.places.books.dead.fetch_add(1, Relaxed);
        self.suspects_ns.fetch_max(self.since_began(now), Relaxed);
        drop(lease);
    }

    fn since_began(&self, at: Instant) -> u64 {
        u64::try_from(at.saturating_duration_since(self.began).as_nanos()).unwrap_or(u64::MAX)
    }

    async fn connect(
        self: Arc<Self>,
        place: Place,
        waits: &Weak<()>,
    ) -> Result<Guard<DB::Connection>, PoolError> {
        let began = Instant::now();
        let result = tokio::select! {
            biased;
            result = self.open(waits) => result,
            Some(lease) = self.spared() => return Ok(Arc::clone(&self).lend_now(lease, place)),
        };
        let took = began.elapsed();
        self.places.note_connect(took, result.is_err());
        match result {
            Ok(conn) => {
                let pool = self.pool.clone();
                let _ = tokio::task::spawn_blocking(move || DB::opened(&pool)).await; // looks through all descriptors
                let lease = GateLease::new(conn, &self, Instant::now());
                Ok(self.lend_now(lease, place))
            }
            Err(sqlx::Error::PoolClosed) => Err(PoolError::Closed),
            Err(sqlx::Error::PoolTimedOut) => Err(self.too_late(took)),
            Err(error) => Err(PoolError::Connect(DB::unreached(&self.pool, &error))),
        }
    }

    /// Where opening takes its time, as at a server that takes no more connections, one that somebody else gives back, or that is at hand again.
    async fn spared(&self) -> Option<Box<GateLease<DB>>> {
        sleep(SLOW).await;
        loop {
            let mut seeker = self.idle.seek();
            let lease = match self.idle.pop() {
                Some(lease) => lease,
                None => seeker.given().await?,
            };
            drop(seeker); // one that it was given meanwhile goes to the next
            let now = Instant::now();
            if lease.is_expired(now) {
                self.close(lease, Leaving::Retired, None);
            } else if self.is_fresh(&lease, now) {
                return Some(lease);
            } else if let Some(lease) = self.test(lease, now + PATIENCE).await {
                return Some(lease);
            }
        }
    }

    /// Opens a connection. sqlx tries again and again while the server refuses, and does not say so: where it takes its time,
    /// somebody looks what is in the way. It gives up before a patient caller does, and is then asked once more, for as long as he waits.
    async fn open(&self, waits: &Weak<()>) -> Result<PoolConnection<DB>, sqlx::Error> {
        let mut opening = pin!(async {
            loop {
                match self.pool.acquire().await {
                    Err(sqlx::Error::PoolTimedOut) if waits.strong_count() > 0 && !self.idle.is_closed() => {
                        sleep(SLOW).await; // an existing pool may give up at once
                    }
                    end => return end,
                }
            }
        });
        let looking = async {
            sleep(SLOW).await;
            self.note(DB::obstacle(&self.pool).await);
        };
        let result = tokio::select! {
            biased;
            result = &mut opening => result,
            () = looking => opening.await,
        };
        if result.is_ok() {
            self.note(None);
        }
        result
    }

    fn note(&self, obstacle: Option<Cause>) {
        *self.obstacle.lock().unwrap_or_else(PoisonError::into_inner) = obstacle;
    }

    fn too_late(&self, waited: Duration) -> PoolError {
        let obstacle = self.obstacle.lock().unwrap_or_else(PoisonError::into_inner).clone();
        PoolError::ConnectTimeout { waited, obstacle }
    }

    /// Takes a connection back that anybody can use; its place is free once it is at hand.
    pub(crate) fn keep(&self, mut lease: Box<GateLease<DB>>, place: Place, now: Instant) {
        lease.rest(now);
        let refused =
            if lease.is_expired(now) { Err((lease, Leaving::Retired)) } else { self.idle.push(lease) };
        if let Err((lease, why)) = refused {
            self.close(lease, why, Some(place));
        }
    }

    /// Takes a connection back that was used: nobody knows what it is doing.
    pub(crate) async fn tidy(self: Arc<Self>, mut lease: Box<GateLease<DB>>, place: Place) {
        let mut tidied = self.patiently(DB::tidy(lease.conn_mut())).await;
        if self.lasting && matches!(tidied, Some(Err(_))) {
            tidied = self.patiently(DB::mend(lease.conn_mut())).await;
        }
        self.take_back(lease, place, tidied);
    }

    /// Takes a connection back whose protocol was left half-way, and that is not closed because the database would go with it.
    async fn mend(self: Arc<Self>, mut lease: Box<GateLease<DB>>, place: Place) {
        self.places.books.broken.fetch_add(1, Relaxed);
        let mended = self.patiently(DB::mend(lease.conn_mut())).await;
        self.take_back(lease, place, mended);
    }

    /// What comes of `work`, if it comes in time; where the database would go with its connection, as long as the gate is open.
    async fn patiently<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        let mut work = pin!(work);
        loop {
            match timeout(PATIENCE, &mut work).await {
                Err(_) if self.lasting && !self.idle.is_closed() => {}
                end => return end.ok(),
            }
        }
    }

    fn take_back(
        &self,
        mut lease: Box<GateLease<DB>>,
        place: Place,
        tidied: Option<Result<bool, sqlx::Error>>,
    ) {
        let now = Instant::now();
        match tidied {
            Some(Ok(rolled_back)) => {
                self.places.books.rolled_back.fetch_add(rolled_back.into(), Relaxed);
                lease.prove(now);
                self.keep(lease, place, now);
            }
            Some(Err(_)) => self.bury(lease, now),
            // A long statement that nobody waits for: the end of the link is all that can be said to the server.
            None => self.give_up(lease),
        }
    }

    /// Takes a connection back whose protocol was left half-way.
    pub(crate) fn take_broken(self: Arc<Self>, lease: Box<GateLease<DB>>, place: Place) {
        if self.lasting {
            let runtime = self.runtime.clone();
            runtime.spawn(self.mend(lease, place));
        } else {
            self.give_up(lease);
        }
    }

    /// Closes a connection without ceremony: the server must see the link end, and roll back, whatever it is doing.
    fn give_up(&self, lease: Box<GateLease<DB>>) {
        self.places.books.broken.fetch_add(1, Relaxed);
        drop(lease);
    }

    /// Closes a connection in the background, and keeps its place until that is done.
    pub(crate) fn close(&self, lease: Box<GateLease<DB>>, why: Leaving, place: Option<Place>) {
        why.count(&self.places);
        self.runtime.spawn(async move {
            lease.close().await;
            drop(place);
        });
    }

    /// Refuses newcomers, closes what is at hand, waits for what is lent, and closes the pool if it is the gate's own.
    pub(crate) async fn close_all(self: Arc<Self>) {
        self.places.refuse();
        let closing: Vec<_> =
            self.idle.close().into_iter().map(|lease| self.runtime.spawn(lease.close())).collect();
        for closed in closing {
            let _ = closed.await;
        }
        self.places.all_free().await;
        if self.owns_pool {
            self.pool.close().await;
        }
    }
}

impl<DB: GateDatabase> Drop for Lender<DB> {
    fn drop(&mut self) {
        if let Some(keeper) = self.keeper.get() {
            keeper.abort();
        }
    }
}
