//! What a cache is told when it is built.

use std::time::Duration;

use tokio::sync::Semaphore;

use crate::ConfigError;

/// No entry lives longer, whatever a loader says.
pub(crate) const LONGEST_TTL: Duration = Duration::from_secs(365 * 24 * 3_600);
/// No load and no call takes longer, and no node is further behind.
const LONGEST_WAIT: Duration = Duration::from_secs(24 * 3_600);

/// What the near tier does while the shared tier does not answer, so that nobody knows what other nodes removed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outage {
    /// Nothing is served that is older than Δ: what is read is loaded again, behind its readers' backs once it is half as old.
    #[default]
    Reload,
    /// What was valid when the outage began is served for as long as this, or to its own end, and loaded again behind its readers'
    /// backs. Gives up Δ for availability: what another node removes meanwhile is served. What *this* node removed never is.
    ServeSuspect(Duration),
}

#[derive(Debug, Clone)]
pub(crate) struct Settings {
    pub(crate) ttl: Duration,
    pub(crate) negative_ttl: Duration,
    pub(crate) jitter: f64,
    pub(crate) load_timeout: Duration,
    pub(crate) max_loads: usize,
    pub(crate) shared_timeout: Duration,
    pub(crate) lease_wait: Duration,
    pub(crate) max_staleness: Duration,
    pub(crate) stale_while_revalidate: Duration,
    pub(crate) stale_on_error: Duration,
    pub(crate) soft_timeout: Option<Duration>,
    pub(crate) retry_after: Duration,
    pub(crate) refresh_early: f64,
    pub(crate) outage: Outage,
    #[cfg(feature = "sim")]
    pub(crate) probe: crate::sim::Probe,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            ttl: Duration::from_secs(300),
            negative_ttl: Duration::from_secs(30),
            jitter: 0.1,
            load_timeout: Duration::from_secs(5),
            max_loads: 256,
            shared_timeout: Duration::from_millis(500),
            lease_wait: Duration::from_secs(1),
            max_staleness: Duration::from_secs(2),
            stale_while_revalidate: Duration::ZERO,
            stale_on_error: Duration::ZERO,
            soft_timeout: None,
            retry_after: Duration::from_millis(100),
            refresh_early: 1.0,
            outage: Outage::Reload,
            #[cfg(feature = "sim")]
            probe: crate::sim::Probe::default(),
        }
    }
}

impl Settings {
    /// How long a read waits for other nodes: for the one that loads, and for the one that takes over.
    pub(crate) fn longest_wait(&self) -> Duration {
        self.lease_wait * 2
    }

    /// How long a flight of a key takes at most: it asks the shared tier, waits for other nodes, and loads. A batch of many portions, which
    /// the tier answers slowly, may take longer.
    pub(crate) fn longest_flight(&self) -> Duration {
        self.longest_wait() + self.shared_timeout * 4 + self.load_timeout
    }

    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        let refuse = |setting, hint| Err(ConfigError { setting, hint });
        let waits = [
            ("load_timeout", self.load_timeout),
            ("shared_timeout", self.shared_timeout),
            ("lease_wait", self.lease_wait),
            ("max_staleness", self.max_staleness),
            ("soft_timeout", self.soft_timeout.unwrap_or_default()),
            ("retry_after", self.retry_after),
        ];
        if let Some((setting, _)) = waits.into_iter().find(|(_, wait)| *wait > LONGEST_WAIT) {
            return refuse(setting, "at most a day");
        }
        match self {
            _ if self.ttl.max(self.negative_ttl) > LONGEST_TTL => refuse("ttl", "at most a year"),
            _ if self.stale_on_error > LONGEST_TTL => refuse("stale_on_error", "at most a year"),
            _ if self.stale_while_revalidate > LONGEST_TTL => {
                refuse("stale_while_revalidate", "at most a year")
            }
            _ if !(0.0..=1_000.0).contains(&self.refresh_early) => refuse("refresh_early", "from 0 to 1 000"),
            _ if self.soft_timeout.is_some() && self.stale_on_error.is_zero() => refuse(
                "soft_timeout",
                "there is nothing to serve without `stale_on_error`; `stale_while_revalidate` serves at once",
            ),
            _ if self.ttl.is_zero() => refuse("ttl", "must be longer than zero"),
            _ if self.negative_ttl.is_zero() => refuse("negative_ttl", "must be longer than zero"),
            _ if !(0.0..1.0).contains(&self.jitter) => refuse("jitter", "a share from 0 to below 1"),
            _ if self.load_timeout.is_zero() => refuse("load_timeout", "must be longer than zero"),
            _ if self.max_loads == 0 || self.max_loads > Semaphore::MAX_PERMITS => {
                refuse("max_loads", "at least 1, and no more than a semaphore counts")
            }
            _ if self.shared_timeout.is_zero() => refuse("shared_timeout", "must be longer than zero"),
            _ if self.max_staleness < Duration::from_millis(20) => refuse("max_staleness", "at least 20 ms"),
            _ => Ok(()),
        }
    }

    /// How long a value is kept after it is no longer fresh.
    pub(crate) fn grace(&self) -> Duration {
        self.stale_while_revalidate.max(self.stale_on_error)
    }

    /// A lease outlives the load and the fill, so that a slow load is not fenced by its own lease.
    pub(crate) fn lease(&self) -> Duration {
        self.load_timeout + self.shared_timeout * 2
    }
}
