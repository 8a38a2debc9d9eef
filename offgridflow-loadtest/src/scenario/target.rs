//! What is loaded, and which of a scenario's tables are about it.

use std::{collections::BTreeMap, path::PathBuf, sync::Arc, time::Duration};

use serde::Deserialize;

use super::{Scenario, auth::Auth, route::Around, values::Secrets};
use crate::{error::ConfigError, replay::Replay, target::any::AnyTarget};

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Target {
    url: Option<String>,
    url_env: Option<String>,
    // Of an HTTP service.
    pub(super) http2: Option<usize>,
    pub(super) ca_file: Option<PathBuf>,
    #[serde(default)]
    pub(super) insecure: bool,
    #[serde(default)]
    pub(super) cookies: bool,
    #[serde(default)]
    pub(super) traceparent: bool,
    pub(super) auth: Option<Auth>,
    #[serde(default)]
    pub(super) headers: BTreeMap<String, Secrets>,
    // Of a database.
    pub(super) pool: Option<usize>,
    #[serde(default)]
    pub(super) prepare: Vec<String>,
    // Of a Redis server.
    pub(super) keys: Option<u64>,
    pub(super) zipf: Option<f64>,
    pub(super) prefix: Option<String>,
    pub(super) pipeline: Option<usize>,
    pub(super) fill: Option<u64>,
}

/// What kind of server a URL names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Http,
    Sql,
    Redis,
}

impl Kind {
    pub(crate) fn of(url: &str) -> Self {
        let begins = |schemes: &[&str]| schemes.iter().any(|scheme| url.starts_with(scheme));
        if begins(&["postgres://", "postgresql://", "sqlite:"]) {
            Self::Sql
        } else if begins(&["redis://", "valkey://"]) {
            Self::Redis
        } else {
            Self::Http
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Http => "an HTTP service",
            Self::Sql => "a database",
            Self::Redis => "a Redis server",
        }
    }
}

impl Target {
    /// From the file, or from the environment, which may hold a password.
    fn url(&self) -> Result<String, ConfigError> {
        match (&self.url, &self.url_env) {
            (Some(url), None) => Ok(url.clone()),
            (None, Some(name)) => std::env::var(name)
                .map_err(|_| ConfigError::new("target.url_env", format!("the environment has no `{name}`"))),
            (None, None) => {
                let hint = "`url` is missing (or `url_env`, the name of a variable that holds it)";
                Err(ConfigError::new("target", hint))
            }
            (Some(_), Some(_)) => {
                Err(ConfigError::new("target.url_env", "give either url or url_env, not both"))
            }
        }
    }

    /// Its settings that were said, each with whose it is.
    fn said(&self) -> [(&'static str, bool, Kind); 14] {
        use Kind::{Http, Redis, Sql};
        [
            ("target.http2", self.http2.is_some(), Http),
            ("target.ca_file", self.ca_file.is_some(), Http),
            ("target.insecure", self.insecure, Http),
            ("target.cookies", self.cookies, Http),
            ("target.traceparent", self.traceparent, Http),
            ("target.auth", self.auth.is_some(), Http),
            ("target.headers", !self.headers.is_empty(), Http),
            ("target.pool", self.pool.is_some(), Sql),
            ("target.prepare", !self.prepare.is_empty(), Sql),
            ("target.keys", self.keys.is_some(), Redis),
            ("target.zipf", self.zipf.is_some(), Redis),
            ("target.prefix", self.prefix.is_some(), Redis),
            ("target.pipeline", self.pipeline.is_some(), Redis),
            ("target.fill", self.fill.is_some(), Redis),
        ]
    }
}

impl Scenario {
    /// The target, with what is asked of it.
    pub(super) fn target(
        &self,
        replay: Option<&Arc<Replay>>,
        around: &Around<'_>,
        timeout: Duration,
    ) -> Result<AnyTarget, ConfigError> {
        let url = self.file.target.url()?;
        let kind = Kind::of(&url);
        self.refuse_what_is_of_others(kind)?;
        if kind != Kind::Http && replay.is_some() {
            let hint = format!("a log holds requests, and this is {}", kind.name());
            return Err(ConfigError::new("load.replay", hint));
        }
        match kind {
            Kind::Http => self.http_target(&url, replay, around, timeout).map(AnyTarget::from),
            Kind::Sql => self.sql_target(&url, around),
            Kind::Redis => self.redis_target(&url, around),
        }
    }

    #[cfg(not(feature = "sql"))]
    fn sql_target(&self, _: &str, _: &Around<'_>) -> Result<AnyTarget, ConfigError> {
        Err(without(Kind::Sql))
    }

    #[cfg(not(feature = "redis"))]
    fn redis_target(&self, _: &str, _: &Around<'_>) -> Result<AnyTarget, ConfigError> {
        Err(without(Kind::Redis))
    }

    fn refuse_what_is_of_others(&self, kind: Kind) -> Result<(), ConfigError> {
        let file = &self.file;
        let tables = [
            ("route", !file.route.is_empty(), Kind::Http),
            ("flow", !file.flow.is_empty(), Kind::Http),
            ("statement", !file.statement.is_empty(), Kind::Sql),
            ("transaction", !file.transaction.is_empty(), Kind::Sql),
            ("command", !file.command.is_empty(), Kind::Redis),
        ];
        let said = file.target.said().into_iter().chain(tables);
        match said.into_iter().find(|&(_, said, whose)| said && whose != kind) {
            Some((field, _, whose)) => {
                Err(ConfigError::new(field, format!("is for {}, and this is {}", whose.name(), kind.name())))
            }
            None => Ok(()),
        }
    }
}

/// Why a kind of server cannot be loaded by this build.
#[cfg(not(all(feature = "sql", feature = "redis")))]
pub(crate) fn without(kind: Kind) -> ConfigError {
    let feature = if kind == Kind::Sql { "sql" } else { "redis" };
    ConfigError::new(
        "target.url",
        format!("this build does not speak to {}: it needs the feature `{feature}`", kind.name()),
    )
}
