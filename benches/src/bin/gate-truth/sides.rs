//! What is compared: the gate, sqlx's pool without its ping, and sqlx's pool as it comes.

use crate::Failure;
use offgridflow_query::sqlx::pool::{PoolConnection, PoolOptions};
use offgridflow_query::sqlx::{Connection, Pool};
use offgridflow_query::{Acquire, ConnectionPool, Gate, GateConfig, GateDatabase, Guard};
use std::ops::DerefMut;

/// Connections that each side has at hand.
const WARM: usize = 5;

/// A pool under measurement.
pub(crate) enum Side<DB: GateDatabase> {
    /// Ours, with its defaults.
    Gate(Gate<DB>),
    /// sqlx's.
    Bare(Pool<DB>),
}

/// What either lends.
pub(crate) enum Lent<DB: GateDatabase> {
    Gate(Guard<DB::Connection>),
    Bare(PoolConnection<DB>),
}

impl<DB: GateDatabase> Side<DB> {
    pub(crate) fn gate(options: <DB::Connection as Connection>::Options) -> Result<Self, Failure> {
        Ok(Self::Gate(Gate::open(options, GateConfig::default())?))
    }

    pub(crate) fn bare(options: <DB::Connection as Connection>::Options, ping: bool) -> Self {
        let pool = PoolOptions::<DB>::new().max_connections(25).test_before_acquire(ping);
        Self::Bare(pool.connect_lazy_with(options))
    }

    #[inline]
    pub(crate) async fn acquire(&self) -> Result<Lent<DB>, Failure> {
        Ok(match self {
            Self::Gate(gate) => Lent::Gate(gate.acquire(Acquire::default()).await?),
            Self::Bare(pool) => Lent::Bare(pool.acquire().await?),
        })
    }

    /// Returns once every connection is at hand again.
    pub(crate) async fn settle(&self) {
        while !match self {
            Self::Gate(gate) => gate.status().in_use == 0,
            Self::Bare(pool) => pool.num_idle() == usize::try_from(pool.size()).unwrap_or_default(),
        } {
            tokio::task::yield_now().await;
        }
    }

    /// Opens some connections.
    pub(crate) async fn warm(&self) -> Result<(), Failure> {
        let mut held = Vec::new();
        for _ in 0..WARM {
            held.push(self.acquire().await?);
        }
        drop(held);
        self.settle().await;
        Ok(())
    }

    /// Connections open now.
    pub(crate) fn open(&self) -> usize {
        match self {
            Self::Gate(gate) => gate.status().open,
            Self::Bare(pool) => usize::try_from(pool.size()).unwrap_or_default(),
        }
    }
}

impl<DB: GateDatabase> Lent<DB> {
    /// One exchange with the database.
    pub(crate) async fn exchange(&mut self) -> Result<(), Failure> {
        let conn: &mut DB::Connection = match self {
            Self::Gate(guard) => guard.deref_mut(),
            Self::Bare(conn) => conn.deref_mut(),
        };
        Ok(conn.ping().await?)
    }
}
