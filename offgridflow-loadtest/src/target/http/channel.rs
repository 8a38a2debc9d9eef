//! What a session sends on: a connection of its own, or a stream of one that is shared.

use super::{
    Line,
    connection::{Answer, Connection, Lost, Request, Wanted},
};
use crate::op::{Op, Phase};

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

    /// The answer.
    pub(super) async fn send(&mut self, request: &Request, op: &Op, wanted: Wanted) -> Result<Answer, Lost> {
        match self {
            Self::Own(connection) => {
                op.mark(Phase::Admitted);
                connection.send(request, op, wanted).await
            }
            Self::Shared(line) => line.send(request, op, wanted).await,
        }
    }
}
