//! The settings of a gate.

use crate::error::ConfigError;
use crate::gate::lifetime::spread;
use crate::gate::places::{Rules, default_reserve};
use crate::gate::pool::GateDatabase;
use sqlx::{Connection, Database};
use std::time::Duration;

type OptionsOf<DB> = <<DB as Database>::Connection as Connection>::Options;

/// A hundred years: as good as without limit, and no instant overflows.
const NEVER: Duration = Duration::from_secs(100 * 365 * 86_400);
/// What PostgreSQL's `max_connections` may be at most; for so many at most there are books.
const MOST_OPEN: u32 = 262_143;
/// The keeper looks after idle connections, leaks and advice at least this often…
const LOOK_AT_LEAST: Duration = Duration::from_secs(1);
/// …and not more often than this, whatever the settings.
const LOOK_AT_MOST: Duration = Duration::from_millis(10);

/// Settings of a [`Gate`](crate::Gate).
///
/// ```
/// use offgridflow_query::GateConfig;
/// use std::time::Duration;
/// let config = GateConfig::default();
/// assert_eq!((config.max_open, config.max_idle, config.reserve), (25, 5, None));
/// assert_eq!(config.max_lifetime, Some(Duration::from_secs(300)));
/// assert_eq!(config.acquire_timeout, Some(Duration::from_secs(5)));
/// assert_eq!((config.surplus_linger, config.test_after_idle), (Duration::from_secs(1), Duration::from_secs(1)));
/// assert_eq!(config.keepalive, Some(Duration::from_secs(60)));
/// assert_eq!(config.leak_after, Some(Duration::from_secs(60)));
/// assert!(config.shed && config.server_cores.is_none() && config.name == "main");
/// ```
#[derive(Debug, Clone)]
pub struct GateConfig {
    /// Names the pool in metrics and warnings. Default: `main`.
    pub name: String,
    /// Connections open at once, 1 to 262 143. Default: 25.
    pub max_open: usize,
    /// Idle connections kept. More than these close once they were idle for `surplus_linger`. Default: 5.
    pub max_idle: usize,
    /// How long idle connections beyond `max_idle` wait for the next burst. Zero closes them as they come back, which
    /// where bursts are wider than `max_idle` means connecting all the while. Default: 1 s.
    pub surplus_linger: Duration,
    /// Age at which a connection is replaced; each lives up to a tenth less, at random, so that those that were opened
    /// together do not close together. `None` keeps them. Default: 5 min.
    pub max_lifetime: Option<Duration>,
    /// How long a caller without a deadline waits. `None` waits without limit. Default: 5 s.
    pub acquire_timeout: Option<Duration>,
    /// Connections that [`Lane::Background`](crate::Lane) leaves to interactive work. `None` takes a fifth of
    /// `max_open`. Default: `None`.
    pub reserve: Option<usize>,
    /// Whether a caller that would wait in vain is refused at once ([`PoolError::Shed`](crate::PoolError::Shed)): one
    /// behind a whole generation of holders, whose turn would come too late even at twice the present pace. Default: yes.
    pub shed: bool,
    /// A connection that was idle for longer is tested before it is lent. Default: 1 s.
    pub test_after_idle: Duration,
    /// Idle connections are tested this often, so that firewalls do not forget them and dead ones are found before
    /// somebody needs them. `None` leaves them alone. Default: 60 s.
    pub keepalive: Option<Duration>,
    /// A connection held for longer is reported as a suspected leak, with the place in the code that asked for it.
    /// `None` watches nothing. Default: 60 s.
    pub leak_after: Option<Duration>,
    /// Cores of the database server: [`Gate::advice`](crate::Gate::advice) does not recommend more than twice as many
    /// connections and one. Default: `None`, unknown.
    pub server_cores: Option<usize>,
}

impl Default for GateConfig {
    fn default() -> Self {
        Self {
            name: "main".into(),
            max_open: 25,
            max_idle: 5,
            surplus_linger: Duration::from_secs(1),
            max_lifetime: Some(Duration::from_secs(300)),
            acquire_timeout: Some(Duration::from_secs(5)),
            reserve: None,
            shed: true,
            test_after_idle: Duration::from_secs(1),
            keepalive: Some(Duration::from_secs(60)),
            leak_after: Some(Duration::from_secs(60)),
            server_cores: None,
        }
    }
}

impl GateConfig {
    /// Refuses what cannot work, and gives `max_open` as sqlx counts.
    pub(crate) fn check(&self) -> Result<u32, ConfigError> {
        let refuse = |setting, value: String, why| Err(ConfigError::Setting { setting, value, why });
        if self.max_open == 0 {
            return refuse("max_open", "0".into(), "nobody could ever connect");
        }
        if let Some(reserve) = self.reserve.filter(|&reserve| reserve >= self.max_open) {
            return refuse("reserve", reserve.to_string(), "it must be smaller than max_open");
        }
        let periods = [
            ("max_lifetime", self.max_lifetime),
            ("keepalive", self.keepalive),
            ("leak_after", self.leak_after),
        ];
        if let Some((setting, _)) = periods.into_iter().find(|&(_, period)| period == Some(Duration::ZERO)) {
            return refuse(setting, "zero".into(), "`None` switches it off");
        }
        match u32::try_from(self.max_open) {
            Ok(max_open) if max_open <= MOST_OPEN => Ok(max_open),
            _ => refuse("max_open", self.max_open.to_string(), "no database takes more than 262143"),
        }
    }

    /// The settings for a database that `options` open: refused if they cannot work, and those of a single connection that is
    /// neither replaced nor tested where the database lives in it.
    pub(crate) fn checked_for<DB: GateDatabase>(self, options: &OptionsOf<DB>) -> Result<Self, ConfigError> {
        self.check()?;
        let bounded = |period: Option<Duration>| period.filter(|period| *period < NEVER);
        let config = Self {
            max_lifetime: bounded(self.max_lifetime),
            acquire_timeout: bounded(self.acquire_timeout),
            keepalive: bounded(self.keepalive),
            leak_after: bounded(self.leak_after),
            ..self
        };
        if !DB::lives_in_connection(options) {
            return Ok(config);
        }
        Ok(Self {
            max_open: 1,
            max_idle: 1,
            max_lifetime: None,
            reserve: Some(0),
            test_after_idle: Duration::MAX,
            keepalive: None,
            ..config
        })
    }

    /// The part of the settings that does not concern databases.
    pub(crate) fn rules(&self, max_open: usize) -> Rules {
        Rules {
            name: self.name.as_str().into(),
            max_open,
            reserve: self.reserve.unwrap_or_else(|| default_reserve(max_open)),
            timeout: self.acquire_timeout,
            shed: self.shed,
            leak_after: self.leak_after,
            server_cores: self.server_cores,
        }
    }

    /// How often the keeper looks: every period is kept within a quarter, and the spread of lifetimes is resolved.
    pub(crate) fn look_every(&self) -> Duration {
        let quarter = |period: Option<Duration>| period.map_or(LOOK_AT_LEAST, |period| period / 4);
        let linger = Some(self.surplus_linger).filter(|linger| !linger.is_zero());
        let periods = [
            linger.unwrap_or(LOOK_AT_LEAST),
            quarter(self.keepalive),
            quarter(self.leak_after),
            quarter(self.max_lifetime.map(spread)),
        ];
        periods.into_iter().fold(LOOK_AT_LEAST, Duration::min).max(LOOK_AT_MOST)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_that_cannot_work_are_named() {
        let refused = |config: GateConfig| config.check().unwrap_err().to_string();
        let zero = Some(Duration::ZERO);
        for max_open in [0, 262_144, u32::MAX as usize, usize::MAX] {
            assert!(refused(GateConfig { max_open, ..GateConfig::default() }).contains("max_open"));
        }
        assert!(refused(GateConfig { reserve: Some(25), ..GateConfig::default() }).contains("reserve"));
        assert!(refused(GateConfig { max_lifetime: zero, ..GateConfig::default() }).contains("max_lifetime"));
        assert!(refused(GateConfig { keepalive: zero, ..GateConfig::default() }).contains("keepalive"));
        assert!(refused(GateConfig { leak_after: zero, ..GateConfig::default() }).contains("leak_after"));
    }

    #[test]
    fn the_keeper_looks_often_enough_and_not_all_the_time() {
        let every = |config: GateConfig| config.look_every();
        assert_eq!(every(GateConfig::default()), Duration::from_secs(1));
        let leak_after = Some(Duration::from_millis(100));
        assert_eq!(every(GateConfig { leak_after, ..GateConfig::default() }), Duration::from_millis(25));
        let surplus_linger = Duration::from_nanos(1);
        assert_eq!(every(GateConfig { surplus_linger, ..GateConfig::default() }), LOOK_AT_MOST);
        let surplus_linger = Duration::ZERO;
        assert_eq!(every(GateConfig { surplus_linger, ..GateConfig::default() }), Duration::from_secs(1));
    }
}
