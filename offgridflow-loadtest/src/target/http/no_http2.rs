//! Without the feature `http2` every session has a connection of its own.

use super::{
    connection::{Answer, Lost, Request, Wanted},
    stream::Stream,
};
use crate::{error::ConfigError, op::Op, outcome::TargetError, workload::ShardCtx};

/// There are none.
#[derive(Debug)]
pub(super) enum Connections {}

/// There is none.
#[derive(Debug)]
pub(super) enum Line {}

impl Connections {
    pub(super) fn at_most(_most: usize) -> Result<Self, ConfigError> {
        Err(ConfigError::new("http2", "HTTP/2 is not built in: install with `--features http2`"))
    }

    #[expect(clippy::unused_async, reason = "the twin of what opens connections")]
    pub(super) async fn line<F: Future<Output = Result<Stream, TargetError>>>(
        &self,
        _ctx: &ShardCtx,
        _connect: impl FnOnce() -> F,
    ) -> Result<Line, TargetError> {
        match *self {}
    }

    pub(super) fn finding(&self) -> Option<String> {
        match *self {}
    }
}

impl Line {
    #[expect(clippy::unused_async, reason = "the twin of what waits for a stream")]
    pub(super) async fn is_ready(&mut self) -> bool {
        match *self {}
    }

    #[expect(clippy::unused_async, reason = "the twin of what sends")]
    pub(super) async fn send(
        &mut self,
        _request: &Request,
        _op: &Op,
        _wanted: Wanted,
    ) -> Result<Answer, Lost> {
        match *self {}
    }
}
