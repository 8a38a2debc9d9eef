//! A connection of a gate, lent or at hand. The same box goes back and forth, so lending allocates nothing.

use crate::gate::idle::{Idle, Leaving};
use crate::gate::lend::Lender;
use crate::gate::places::{Place, Places};
use crate::gate::pool::GateDatabase;
use crate::pool::{Condition, Guard, Lease};
use sqlx::{Connection, pool::PoolConnection};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::time::{Instant, timeout};

/// What cleaning up behind a holder, testing, or saying goodbye may take before the connection is given up.
pub(crate) const PATIENCE: Duration = Duration::from_secs(2);

pub(crate) struct GateLease<DB: GateDatabase> {
    conn: Option<PoolConnection<DB>>, // `None` once closed
    places: Arc<Places>,
    runtime: Handle,
    idle_since: Instant,
    proven: Instant,
    expires: Option<Instant>,
    lent: Option<(Place, Arc<Lender<DB>>)>, // `None` while it is at hand
}

impl<DB: GateDatabase> GateLease<DB> {
    /// A connection that was opened just now.
    pub(crate) fn new(conn: PoolConnection<DB>, lender: &Lender<DB>, now: Instant) -> Box<Self> {
        let places = Arc::clone(&lender.places);
        places.books.open.fetch_add(1, Relaxed);
        Box::new(Self {
            conn: Some(conn),
            places,
            runtime: lender.runtime.clone(),
            idle_since: now,
            proven: now,
            expires: lender.lifetimes.next().map(|life| now + life),
            lent: None,
        })
    }

    pub(crate) fn lend(mut self: Box<Self>, place: Place, lender: Arc<Lender<DB>>) -> Guard<DB::Connection> {
        self.lent = Some((place, lender));
        Guard::new(self)
    }

    pub(crate) fn is_expired(&self, now: Instant) -> bool {
        self.expires.is_some_and(|end| end <= now)
    }

    /// It answered just now.
    pub(crate) fn prove(&mut self, now: Instant) {
        self.proven = now;
    }

    /// From now on nobody uses it.
    pub(crate) fn rest(&mut self, now: Instant) {
        self.idle_since = now;
    }

    /// Says goodbye to the server; dropping the lease instead only closes the link.
    pub(crate) async fn close(mut self: Box<Self>) {
        if let Some(conn) = self.conn.take() {
            let _ = timeout(PATIENCE, conn.close()).await;
        }
    }
}

impl<DB: GateDatabase> GateLease<DB> {
    /// A driver that queued something knows better than whoever vouched: sqlx's own transaction, dropped, is rolled back with
    /// the next statement, and until then its session would rest inside it, locks and all.
    fn seen(&self, condition: Condition) -> Condition {
        let unsent = self.conn.as_ref().is_some_and(|conn| conn.should_flush());
        if condition == Condition::Clean && unsent { Condition::Used } else { condition }
    }
}

const LENT: &str = "present until closed";

impl<DB: GateDatabase> Lease<DB::Connection> for GateLease<DB> {
    fn conn(&self) -> &DB::Connection {
        self.conn.as_ref().expect(LENT)
    }

    fn conn_mut(&mut self) -> &mut DB::Connection {
        self.conn.as_mut().expect(LENT)
    }

    fn give_back(mut self: Box<Self>, condition: Condition) {
        let Some((place, lender)) = self.lent.take() else { return };
        let now = Instant::now();
        place.came_back(now);
        match self.seen(condition) {
            Condition::Untouched => lender.keep(self, place, now),
            Condition::Clean => {
                self.prove(now);
                lender.keep(self, place, now);
            }
            Condition::Used => {
                let runtime = lender.runtime.clone();
                runtime.spawn(lender.tidy(self, place));
            }
            Condition::Broken => lender.take_broken(self, place),
        }
    }
}

impl<DB: GateDatabase> Idle for GateLease<DB> {
    fn idle_since(&self) -> Instant {
        self.idle_since
    }

    fn proven(&self) -> Instant {
        self.proven
    }

    fn expires(&self) -> Option<Instant> {
        self.expires
    }
}

impl<DB: GateDatabase> Drop for GateLease<DB> {
    fn drop(&mut self) {
        if let Some(conn) = self.conn.take() {
            let _entered = self.runtime.enter(); // sqlx may spawn as the connection leaves its pool
            drop(conn.detach());
        }
        self.places.books.open.fetch_sub(1, Relaxed);
    }
}

impl Leaving {
    pub(crate) fn count(self, places: &Places) {
        match self {
            Self::Retired => &places.books.retired,
            Self::Surplus => &places.books.surplus,
        }
        .fetch_add(1, Relaxed);
    }
}
