//! Whichever target a scenario or a URL names.

use std::{fmt, time::Duration};

use super::http::{HttpSession, HttpTarget};
#[cfg(feature = "redis")]
use super::redis::RedisTarget;
#[cfg(feature = "sql")]
use super::sql::{SqlSession, SqlTarget};
use crate::{
    op::Op,
    outcome::{FailKind, Outcome, TargetError},
    workload::{ShardCtx, Workload},
};

/// What a [`Scenario`](crate::Scenario) loads: an HTTP service, a database (feature `sql`) or a Redis server (feature `redis`).
#[derive(Debug)]
#[must_use = "a target does nothing until it is loaded"]
pub struct AnyTarget {
    kind: Kind,
    needs_row: bool, // of the run's feed
}

#[derive(Debug)]
enum Kind {
    Http(Box<HttpTarget>),
    #[cfg(feature = "sql")]
    Sql(Box<SqlTarget>),
    #[cfg(feature = "redis")]
    Redis(Box<RedisTarget>),
}

/// What it asks on.
pub struct AnySession(Session);

enum Session {
    Http(Box<HttpSession>),
    #[cfg(feature = "sql")]
    Sql(SqlSession),
    #[cfg(feature = "redis")]
    Redis(<RedisTarget as Workload>::Session),
}

impl From<HttpTarget> for AnyTarget {
    fn from(target: HttpTarget) -> Self {
        Self { kind: Kind::Http(Box::new(target)), needs_row: false } // HTTP looks for itself
    }
}

#[cfg(feature = "sql")]
impl From<SqlTarget> for AnyTarget {
    fn from(target: SqlTarget) -> Self {
        Self { kind: Kind::Sql(Box::new(target)), needs_row: false }
    }
}

#[cfg(feature = "redis")]
impl From<RedisTarget> for AnyTarget {
    fn from(target: RedisTarget) -> Self {
        Self { kind: Kind::Redis(Box::new(target)), needs_row: false }
    }
}

impl AnyTarget {
    /// Each operation needs a row of data, without which it fails for want of one.
    #[cfg(any(feature = "sql", feature = "redis"))]
    pub(crate) fn needing_row(mut self, needed: bool) -> Self {
        self.needs_row = needed;
        self
    }

    /// What it asks, for people, where that was said.
    pub(crate) fn outline(&self) -> Vec<String> {
        match &self.kind {
            Kind::Http(target) => target.outline(),
            #[cfg(feature = "sql")]
            Kind::Sql(target) => target.outline(),
            #[cfg(feature = "redis")]
            Kind::Redis(target) => target.outline(),
        }
    }
}

/// The same of whichever it is.
macro_rules! each {
    ($self:expr, $target:ident => $made:expr) => {
        match &$self.kind {
            Kind::Http($target) => $made,
            #[cfg(feature = "sql")]
            Kind::Sql($target) => $made,
            #[cfg(feature = "redis")]
            Kind::Redis($target) => $made,
        }
    };
}

impl Workload for AnyTarget {
    type Session = AnySession;

    async fn open(&self, ctx: &ShardCtx) -> Result<AnySession, TargetError> {
        Ok(AnySession(match &self.kind {
            Kind::Http(target) => Session::Http(Box::new(target.open(ctx).await?)),
            #[cfg(feature = "sql")]
            Kind::Sql(target) => Session::Sql(target.open(ctx).await?),
            #[cfg(feature = "redis")]
            Kind::Redis(target) => Session::Redis(target.open(ctx).await?),
        }))
    }

    async fn call(&self, session: &mut AnySession, op: &mut Op) -> Outcome {
        if self.needs_row && op.row().is_none() {
            return TargetError::unanswered(FailKind::Local("rows"), "each row of the feed was handed out")
                .into();
        }
        match (&self.kind, &mut session.0) {
            (Kind::Http(target), Session::Http(session)) => target.call(session, op).await,
            #[cfg(feature = "sql")]
            (Kind::Sql(target), Session::Sql(session)) => target.call(session, op).await,
            #[cfg(feature = "redis")]
            (Kind::Redis(target), Session::Redis(session)) => target.call(session, op).await,
            #[cfg(any(feature = "sql", feature = "redis"))]
            _ => TargetError::unanswered(FailKind::App, "a session of another target").into(),
        }
    }

    fn routes(&self) -> Vec<String> {
        each!(self, target => target.routes())
    }

    fn pick(&self, op: &Op) -> usize {
        each!(self, target => target.pick(op))
    }

    fn steps(&self) -> Vec<String> {
        each!(self, target => target.steps())
    }

    fn trace_id(&self, index: u64) -> Option<String> {
        each!(self, target => target.trace_id(index))
    }

    async fn close(&self, session: AnySession) {
        match (&self.kind, session.0) {
            (Kind::Http(target), Session::Http(session)) => target.close(*session).await,
            #[cfg(feature = "sql")]
            (Kind::Sql(target), Session::Sql(session)) => target.close(session).await,
            #[cfg(feature = "redis")]
            (Kind::Redis(target), Session::Redis(session)) => target.close(session).await,
            #[cfg(any(feature = "sql", feature = "redis"))]
            _ => {}
        }
    }

    async fn check(&self) -> Result<String, String> {
        each!(self, target => target.check().await)
    }

    fn cost(&self) -> Option<Duration> {
        each!(self, target => target.cost())
    }

    fn open_files(&self) -> u64 {
        each!(self, target => target.open_files())
    }

    fn findings(&self) -> Vec<String> {
        each!(self, target => target.findings())
    }

    fn describe(&self) -> String {
        each!(self, target => target.describe())
    }
}

impl fmt::Debug for AnySession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AnySession").finish_non_exhaustive()
    }
}
