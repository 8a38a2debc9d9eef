//! What a cache is told when it is built.

use std::time::Duration;

use crate::ConfigError;

/// No entry lives longer, whatever a loader says.
pub(crate) const LONGEST_TTL: Duration = Duration::from_secs(365 * 24 * 3_600);
/// No load and no call takes longer, and no node is further behind.
const LONGEST_WAIT: Duration = Duration::from_secs(24 * 3_600);

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
            lease_wait: Duration::from_millis(500),
            max_staleness: Duration::from_secs(2),
            #[cfg(feature = "sim")]
            probe: crate::sim::Probe::default(),
        }
    }
}

impl Settings {
    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        let refuse = |setting, hint| Err(ConfigError { setting, hint });
        let waits = [
            ("load_timeout", self.load_timeout),
            ("shared_timeout", self.shared_timeout),
            ("lease_wait", self.lease_wait),
            ("max_staleness", self.max_staleness),
        ];
        if let Some((setting, _)) = waits.into_iter().find(|(_, wait)| *wait > LONGEST_WAIT) {
            return refuse(setting, "at most a day");
        }
        match self {
            _ if self.ttl.max(self.negative_ttl) > LONGEST_TTL => refuse("ttl", "at most a year"),
            _ if self.ttl.is_zero() => refuse("ttl", "must be longer than zero"),
            _ if self.negative_ttl.is_zero() => refuse("negative_ttl", "must be longer than zero"),
            _ if !(0.0..1.0).contains(&self.jitter) => refuse("jitter", "a share from 0 to below 1"),
            _ if self.load_timeout.is_zero() => refuse("load_timeout", "must be longer than zero"),
            _ if self.max_loads == 0 => refuse("max_loads", "at least 1"),
            _ if self.shared_timeout.is_zero() => refuse("shared_timeout", "must be longer than zero"),
            _ if self.max_staleness < Duration::from_millis(20) => refuse("max_staleness", "at least 20 ms"),
            _ => Ok(()),
        }
    }

    /// A lease outlives the load and the fill, so that a slow load is not fenced by its own lease.
    pub(crate) fn lease(&self) -> Duration {
        self.load_timeout + self.shared_timeout * 2
    }
}
