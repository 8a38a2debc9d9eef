//! What is asked of a URL.

use std::sync::Arc;

use super::Subject;
#[cfg(not(all(feature = "sql", feature = "redis")))]
use crate::scenario::without;
#[cfg(feature = "sql")]
use crate::target::sql::{SqlStatement, SqlTarget};
use crate::{
    AnyTarget, ConfigError, HttpRoute, HttpTarget, Replay, Settings,
    scenario::{Kind, trusting},
};
#[cfg(feature = "redis")]
use crate::{
    Keys,
    target::redis::{RedisCommand, RedisTarget},
};

/// What a Redis server is asked where nothing is said: a cache's mix.
#[cfg(feature = "redis")]
mod cache {
    pub(super) const KEYS: u64 = 100_000;
    pub(super) const SKEW: f64 = 0.99;
    pub(super) const READS: u64 = 9;
    pub(super) const BYTES: std::ops::RangeInclusive<usize> = 1..=1_000;
}

impl Subject {
    /// Whatever the URL names.
    pub(super) fn any_target(&self, replay: Option<&Arc<Replay>>) -> Result<AnyTarget, ConfigError> {
        let kind = Kind::of(&self.what);
        self.refuse_flags_of_others(kind)?;
        match kind {
            Kind::Http => self.http(replay).map(AnyTarget::from),
            Kind::Sql => self.database(),
            Kind::Redis => self.cache(),
        }
    }

    #[cfg(not(feature = "sql"))]
    fn database(&self) -> Result<AnyTarget, ConfigError> {
        Err(without(Kind::Sql))
    }

    #[cfg(not(feature = "redis"))]
    fn cache(&self) -> Result<AnyTarget, ConfigError> {
        Err(without(Kind::Redis))
    }

    fn refuse_flags_of_others(&self, kind: Kind) -> Result<(), ConfigError> {
        let http = [
            (self.replay.is_some(), "--replay"),
            (self.method.is_some(), "--method"),
            (self.body.is_some(), "--body"),
            (!self.headers.is_empty(), "--header"),
            (self.http2.is_some(), "--http2"),
            (self.bearer_env.is_some(), "--bearer-env"),
            (self.basic_env.is_some(), "--basic-env"),
            (self.cookies, "--cookies"),
            (self.traceparent, "--traceparent"),
            (self.ca_file.is_some(), "--ca-file"),
            (self.insecure, "--insecure"),
        ];
        let sql = [(self.sql.is_some(), "--sql"), (self.pool.is_some(), "--pool")];
        let said = |(said, flag): &(bool, &'static str)| said.then_some(*flag);
        let (web, database) = (http.iter().find_map(said), sql.iter().find_map(said));
        match (kind, web, database) {
            (Kind::Sql | Kind::Redis, Some(flag), _) => Err(ConfigError::new(flag, "is for an HTTP service")),
            (Kind::Http | Kind::Redis, _, Some(flag)) => Err(ConfigError::new(flag, "is for a database")),
            _ => Ok(()),
        }
    }

    #[cfg(feature = "sql")]
    fn database(&self) -> Result<AnyTarget, ConfigError> {
        if self.pool == Some(0) {
            return Err(ConfigError::new("--pool", "at least one connection is needed"));
        }
        let statement = SqlStatement::new("statement", self.sql.as_deref().unwrap_or("SELECT 1"));
        let target = SqlTarget::new(&self.what)?.statement(statement);
        Ok(match self.pool {
            Some(pool) => target.pool(pool).into(),
            None => target.into(),
        })
    }

    /// A cache's mix: nine reads to a write, a few keys mostly.
    #[cfg(feature = "redis")]
    fn cache(&self) -> Result<AnyTarget, ConfigError> {
        let (get, set) = (RedisCommand::get().weight(cache::READS), RedisCommand::set(cache::BYTES));
        let target = RedisTarget::new(&self.what)?.keys(Keys::zipf(cache::KEYS, cache::SKEW));
        Ok(target.command(get).command(set).into())
    }

    fn http(&self, replay: Option<&Arc<Replay>>) -> Result<HttpTarget, ConfigError> {
        let mut target = HttpTarget::new(&self.what)?;
        if let Some(connections) = self.http2 {
            target = target.http2(connections).map_err(|error| ConfigError::new("--http2", error.hint))?;
        }
        if let Some(file) = &self.ca_file {
            target = trusting(target, file).map_err(|error| ConfigError::new("--ca-file", error.hint))?;
        }
        if self.insecure {
            target = target.insecure().map_err(|error| ConfigError::new("--insecure", error.hint))?;
        }
        for header in &self.headers {
            let pair = header.split_once(':');
            let (name, value) =
                pair.ok_or_else(|| ConfigError::new("--header", "write it as `name: value`"))?;
            target = target.header(name.trim(), value.trim())?;
        }
        target = self.authorized(target)?;
        if self.cookies {
            target = target.cookies();
        }
        if self.traceparent {
            target = target.traceparent();
        }
        if let Some(replay) = replay {
            return target
                .request_timeout(self.timeout.unwrap_or(Settings::default().timeout))
                .replaying(Arc::clone(replay))
                .map_err(|error| ConfigError::new("--replay", error.hint));
        }
        if self.method.is_none() && self.body.is_none() {
            return Ok(target);
        }
        let method = self.method.as_deref().unwrap_or("POST");
        let mut route = HttpRoute::new(method, target.path())?.whole_path();
        if let Some(body) = &self.body {
            route = route.body(body.clone());
        }
        Ok(target.route(route))
    }

    /// With credentials from the environment, where a variable was named.
    fn authorized(&self, target: HttpTarget) -> Result<HttpTarget, ConfigError> {
        if let Some(name) = &self.bearer_env {
            let token = variable("--bearer-env", name)?;
            return target.bearer(&token).map_err(|error| ConfigError::new("--bearer-env", error.hint));
        }
        let Some(name) = &self.basic_env else { return Ok(target) };
        let said = variable("--basic-env", name)?;
        let pair = said.split_once(':').ok_or_else(|| {
            ConfigError::new("--basic-env", format!("`{name}` does not hold a user, a colon and a password"))
        });
        let (user, password) = pair?;
        target.basic(user, password).map_err(|error| ConfigError::new("--basic-env", error.hint))
    }
}

/// What a variable of the environment holds; a refusal names it.
fn variable(flag: &str, name: &str) -> Result<String, ConfigError> {
    std::env::var(name).map_err(|_| ConfigError::new(flag, format!("the environment has no `{name}`")))
}
