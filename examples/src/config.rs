//! Settings, from the command line and the environment; libraries are handed values.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use crate::keys::{AdminKeys, KeyList, Owner};
use crate::secret::Secret;

/// What every role needs to know.
#[derive(Debug, Clone, Args)]
pub struct Config {
    /// Address to listen at; port 0 lets the system pick one.
    #[arg(long, env = "OFFGRIDFLOW_LISTEN", default_value = "127.0.0.1:8080")]
    pub listen: SocketAddr,
    /// Database: `sqlite:FILE` or `postgres://…`.
    #[arg(
        long,
        env = "OFFGRIDFLOW_DATABASE_URL",
        default_value = "sqlite:offgridflow.db",
        hide_env_values = true
    )]
    pub database_url: Secret,
    /// Redis that servers share as a cache: `redis://…`. Without it each server caches for itself.
    #[arg(long, env = "OFFGRIDFLOW_REDIS_URL", hide_env_values = true)]
    pub redis_url: Option<Secret>,
    /// API keys, `TENANT=KEY` separated by commas, beside those that were issued. Without any only this machine is served.
    #[arg(long, env = "OFFGRIDFLOW_API_KEYS", default_value = "", hide_env_values = true)]
    pub api_keys: KeyList,
    /// Administrators' keys, separated by commas: they see how the server does and issue keys, and read no tenant's data.
    #[arg(long, env = "OFFGRIDFLOW_ADMIN_KEYS", default_value = "", hide_env_values = true)]
    pub admin_keys: AdminKeys,
    /// Requests a second and tenant, in bursts of one second's worth. Default: 1 000, and no limit without keys.
    #[arg(long, env = "OFFGRIDFLOW_RATE_LIMIT", value_parser = clap::value_parser!(u32).range(1..))]
    pub rate_limit: Option<u32>,
    /// How long a request may take to come in and be answered, in seconds; profiles take as long as they are asked to.
    #[arg(long, env = "OFFGRIDFLOW_REQUEST_SECS", default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..))]
    pub request_secs: u64,
    /// Largest request body in bytes.
    #[arg(long, env = "OFFGRIDFLOW_MAX_BODY_BYTES", default_value_t = 16 << 20)]
    pub max_body_bytes: usize,
    /// How long to wait for a database that is down at the start, in seconds.
    #[arg(long, env = "OFFGRIDFLOW_DATABASE_PATIENCE_SECS", default_value_t = 30)]
    pub database_patience_secs: u64,
    /// Folder for the pages and profiles of incidents. With it CPU time is sampled all the time, at 99 Hz, so that a page says what changed.
    #[arg(long, env = "OFFGRIDFLOW_INCIDENTS")]
    pub incidents: Option<PathBuf>,
    /// Length of the windows of which two must agree that memory leaks, in seconds.
    #[arg(long, env = "OFFGRIDFLOW_LEAK_WINDOW_SECS", default_value_t = 1_800)]
    pub leak_window_secs: u64,
    /// Cores in use above which a capture is taken. Default: 80 % of those there are.
    #[arg(long, env = "OFFGRIDFLOW_BUSY_CORES")]
    pub busy_cores: Option<f64>,
    /// Seconds between two runs of a probe.
    #[arg(long, env = "OFFGRIDFLOW_PROBE_SECS", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..))]
    pub probe_secs: u64,
    /// Let `POST /debug/faults/…` make things go wrong, to see them caught.
    #[arg(long, env = "OFFGRIDFLOW_FAULTS")]
    pub faults: bool,
    /// Where traces and metrics are pushed to.
    #[cfg(feature = "otlp")]
    #[command(flatten)]
    pub otlp: crate::otlp::Options,
    /// Report of a load test, as JSON, that the page shows: `offgridflow demo` and `offgridflow-loadtest --json` write one.
    #[arg(long, env = "OFFGRIDFLOW_LOAD_REPORT", default_value = "target/demo/report.json")]
    pub load_report: PathBuf,
    /// Server whose figures the web role shows, when it is another process: `http://HOST:PORT`.
    #[arg(long, env = "OFFGRIDFLOW_API_URL")]
    pub api_url: Option<String>,
}

/// Why the settings cannot be used together.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// The server would be open to everybody.
    #[error(
        "refusing to listen at {0}, beyond loopback, without API keys: `offgridflow keys issue --admin` makes one, or set OFFGRIDFLOW_API_KEYS=TENANT=KEY"
    )]
    Open(SocketAddr),
    /// A key in the settings is none. Which one, and why, without showing it.
    #[error("{0}")]
    Key(String),
    /// Redis has another scheme.
    #[error("a Redis URL begins with `redis://` (or `rediss://`, `redis-cluster://`, `redis-sentinel://`)")]
    RedisScheme,
    /// Traces and metrics are pushed over plain HTTP.
    #[cfg(feature = "otlp")]
    #[error("an endpoint for OTLP is `http://HOST:PORT`, where a collector takes protobuf over HTTP")]
    OtlpScheme,
    /// The page asks over plain HTTP.
    #[error("an API URL is `http://HOST:PORT`")]
    ApiScheme,
}

impl Config {
    /// Checks what one setting alone cannot show.
    ///
    /// # Errors
    /// The first contradiction.
    pub fn check(&self) -> Result<(), ConfigError> {
        self.configured_keys()?;
        self.check_addresses()
    }

    /// Checks the addresses of others: enough for the web role, which holds no data and passes its caller's key on.
    ///
    /// # Errors
    /// The first that cannot be one.
    pub fn check_addresses(&self) -> Result<(), ConfigError> {
        if self.api_url.as_deref().is_some_and(|url| !url.starts_with("http://")) {
            return Err(ConfigError::ApiScheme);
        }
        #[cfg(feature = "otlp")]
        if self.otlp.otlp_endpoint.as_deref().is_some_and(|url| !url.starts_with("http://")) {
            return Err(ConfigError::OtlpScheme);
        }
        let known = ["redis://", "rediss://", "redis-cluster://", "rediss-cluster://", "redis-sentinel://"];
        if self.redis_url.as_deref().is_some_and(|url| !known.iter().any(|scheme| url.starts_with(scheme))) {
            return Err(ConfigError::RedisScheme);
        }
        Ok(())
    }

    /// The keys that stand in the settings.
    ///
    /// # Errors
    /// The first that is none.
    pub fn configured_keys(&self) -> Result<Vec<(Owner, crate::keys::Digest)>, ConfigError> {
        let tenants = self.api_keys.checked().map_err(ConfigError::Key)?;
        let admins = self.admin_keys.0.checked().map_err(ConfigError::Key)?;
        Ok(tenants.iter().chain(admins).cloned().collect())
    }

    /// How long a request may take to come in and be answered.
    #[must_use]
    pub const fn longest_request(&self) -> Duration {
        Duration::from_secs(self.request_secs)
    }

    /// Length of the windows of which two must agree that memory leaks.
    #[must_use]
    pub const fn leak_window(&self) -> Duration {
        Duration::from_secs(self.leak_window_secs)
    }

    /// How long to wait for a database that is down at the start.
    #[must_use]
    pub const fn database_patience(&self) -> Duration {
        Duration::from_secs(self.database_patience_secs)
    }
}

/// Whether an address is of this machine only.
#[must_use]
pub fn is_loopback(ip: IpAddr) -> bool {
    ip.to_canonical().is_loopback()
}
