//! What a session sends on: a connection of its own, or a stream of one that is shared.

use super::{
    Line,
    connection::{Answer, Connection, Lost, Request},
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

    /// The answer, of whose body the first `kept` bytes are kept.
    /// The request is taken out of its place, and put back if it was never sent.
    pub(super) async fn send(
        &mut self,
        request: &mut Option<Request>,
        op: &Op,
        kept: usize,
    ) -> Result<Answer, Lost> {
        match self {
            Self::Own(connection) => {
                op.mark(Phase::Admitted);
                connection.send(request, op, kept).await
            }
            Self::Shared(line) => line.send(request, op, kept).await,
        }
    }
}
