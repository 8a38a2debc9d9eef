//! Private PostgreSQL and Redis servers, a fault proxy, hosts on a network of their own and a browser, for tests.
//!
//! Every server listens on loopback at a port the system picked, keeps its files in a directory of its own, is checked
//! to be *ours* before anything is written to it, and is stopped by its recorded process id. A reaper, a shell outside the
//! test process stops it as well when the test process dies without unwinding: Ctrl-C, `abort`, `kill -9`.
//!
//! ```no_run
//! # fn main() -> Result<(), testkit::Error> {
//! let database = testkit::postgres().create_database("orders")?;   // shared server, a database of this test's own
//! let redis = testkit::Redis::start()?;                            // a server of this test's own, to be hurt
//! let proxy = testkit::FaultProxy::start(redis.addr())?;
//! proxy.freeze();                                                   // …as seen by who connects to `proxy.addr()`
//! redis.freeze();                                                   // SIGSTOP, as seen by everybody
//! # drop(database); Ok(()) }
//! ```
//!
//! `testkit run -- COMMAND` starts the shared servers once for a whole test run; without it each test process starts
//! what it asks for.
#![forbid(unsafe_code)]

mod binary;
mod bouncer;
mod browser;
pub mod certificates;
mod cluster;
mod error;
mod lan;
mod port;
mod postgres;
mod proxy;
mod reaper;
mod redis;
mod replica;
mod server;
mod shared;
mod tab;

pub use bouncer::PgBouncer;
pub use browser::{Browser, Seen, with_nothing_allowed};
pub use cluster::RedisCluster;
pub use error::Error;
pub use lan::{Host, Lan, Weather};
pub use postgres::{Database, Postgres, PostgresOptions};
pub use proxy::{Counters, Direction, FaultProxy};
pub use redis::Redis;
pub use replica::Replica;
pub use shared::{POSTGRES_ENV, REDIS_ENV, SharedPostgres, SharedRedis, postgres, redis};
pub use tab::Tab;
