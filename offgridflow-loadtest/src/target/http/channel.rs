//! What a session sends on: a connection of its own, or a stream of one that is shared.

use super::{
    Line,
    connection::{Answer, Connection, Lost, Request, Wanted},
};
use crate::{
    op::{Op, Phase},
    outcome::{FailKind, TargetError},
};

#[derive(Debug)]
pub(super) enum Channel {
    Own(Box<Connection>),
    Shared(Line),
}

impl Channel {
    /// Whether a request can be sent: notices if the server closed the connection meanwhile.
    pub(super) async fn is_ready(&mut self) -> bool {
        match self {
            Self::Own(connection) => connection.is_ready().await,
            Self::Shared(line) => line.is_ready().await,
        }
    }

    /// The answer. HTTP/2 takes the request out of its place, and puts it back if it was never sent.
    pub(super) async fn send(
        &mut self,
        request: &mut Option<Request>,
        op: &Op,
        wanted: Wanted,
    ) -> Result<Answer, Lost> {
        match self {
            Self::Own(connection) => {
                op.mark(Phase::Admitted);
                let Some(request) = request else { return Err(nothing_to_send()) };
                connection.send(request, op, wanted).await
            }
            Self::Shared(line) => line.send(request, op, wanted).await,
        }
    }
}

/// No request stands there: a fault of this module's callers.
pub(super) fn nothing_to_send() -> Lost {
    Lost::Sent(TargetError::unanswered(FailKind::App, "there is no request to send"))
}
