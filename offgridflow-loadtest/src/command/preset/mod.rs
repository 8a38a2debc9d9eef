//! `preset`: one command for what stands behind a service.

#[cfg(feature = "sql")]
mod db_connections;
#[cfg(feature = "redis")]
mod redis_cache;

use std::process::ExitCode;

use clap::{Args, Subcommand};

use super::Failure;

#[derive(Debug, Args)]
pub(super) struct Preset {
    #[command(subcommand)]
    which: Which,
}

#[derive(Debug, Subcommand)]
enum Which {
    /// How many connections a database is worth: a staircase of pool sizes, where it first refuses one, the knee, and a pool size with its reasoning.
    #[cfg(feature = "sql")]
    DbConnections(db_connections::DbConnections),
    /// A mix of reads and writes on a Redis cache, with its hit ratio; or a stampede on keys that expire.
    #[cfg(feature = "redis")]
    RedisCache(redis_cache::RedisCache),
}

pub(super) fn run(asked: &Preset) -> Result<ExitCode, Failure> {
    match &asked.which {
        #[cfg(feature = "sql")]
        Which::DbConnections(asked) => asked.run(),
        #[cfg(feature = "redis")]
        Which::RedisCache(asked) => asked.run(),
    }
}
