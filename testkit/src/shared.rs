use std::env;
use std::net::SocketAddr;
use std::sync::OnceLock;

use crate::{Database, Error, Postgres, Redis};

/// Names the PostgreSQL that `testkit run` started for a whole test run.
pub const POSTGRES_ENV: &str = "OFFGRIDFLOW_TESTKIT_POSTGRES";
/// Names the Redis that `testkit run` started for a whole test run.
pub const REDIS_ENV: &str = "OFFGRIDFLOW_TESTKIT_REDIS";

/// The PostgreSQL that all tests of a run share; take a [database](Self::create_database) of your own in it.
#[derive(Debug, Clone)]
pub struct SharedPostgres {
    url: String,
}

impl SharedPostgres {
    /// A fresh database, dropped with the handle.
    ///
    /// # Errors
    /// When the server refuses.
    pub fn create_database(&self, hint: &str) -> Result<Database, Error> {
        Database::create(&self.url, hint)
    }
}

/// The Redis that all tests of a run share; keep to key names of your own, never `FLUSHALL`.
#[derive(Debug, Clone)]
pub struct SharedRedis {
    addr: SocketAddr,
}

impl SharedRedis {
    /// Where it listens.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// `redis://127.0.0.1:PORT`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("redis://{}", self.addr)
    }

    /// Runs one command through `redis-cli` and gives what it printed.
    ///
    /// # Errors
    /// When the server does not answer.
    pub fn cli(&self, arguments: &[&str]) -> Result<String, Error> {
        crate::redis::cli(self.addr, arguments)
    }
}

/// The shared PostgreSQL: the run's, else one this process starts and that ends with it.
///
/// # Panics
/// When PostgreSQL cannot be had; the message names the package to install.
#[must_use]
pub fn postgres() -> SharedPostgres {
    static OWN: OnceLock<Postgres> = OnceLock::new();
    let url = env::var(POSTGRES_ENV).unwrap_or_else(|_| OWN.get_or_init(|| unwrap(Postgres::start())).url());
    SharedPostgres { url }
}

/// The shared Redis: the run's, else one this process starts and that ends with it.
///
/// # Panics
/// When Redis cannot be had; the message names the package to install.
#[must_use]
pub fn redis() -> SharedRedis {
    static OWN: OnceLock<Redis> = OnceLock::new();
    let named = env::var(REDIS_ENV).ok().and_then(|addr| addr.parse().ok());
    SharedRedis { addr: named.unwrap_or_else(|| OWN.get_or_init(|| unwrap(Redis::start())).addr()) }
}

fn unwrap<T>(started: Result<T, Error>) -> T {
    started.unwrap_or_else(|error| panic!("{error}"))
}
