//! One connection, driven by the operation that uses it: no task of its own.

use std::{
    future::poll_fn,
    io,
    net::SocketAddr,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::HeaderMap;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};

use super::{
    Tls,
    stream::Stream,
    wire::{Asked, Body, Buffer, Head, Heads, Malformed, Outgoing},
};
use crate::{
    op::{Op, Phase},
    outcome::{FailKind, TargetError},
};

pub(super) type Request = http::Request<Bytes>;

/// What is looked at in an answer beside its status.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Wanted {
    pub(super) headers: bool,
    /// So many bytes of the body, from its beginning.
    pub(super) body: usize,
}

impl Wanted {
    /// What either of two wants.
    pub(super) fn and(self, other: Self) -> Self {
        Self { headers: self.headers || other.headers, body: self.body.max(other.body) }
    }
}

/// What an exchange gave.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) bytes: u64,
    /// Whether the connection can be used again.
    pub(super) keep: bool,
    /// Where they were wanted.
    pub(super) headers: HeaderMap,
    /// As much of the body as was wanted.
    pub(super) body: Vec<u8>,
}

impl Answer {
    /// Whether all of the body was kept.
    pub(super) fn is_whole(&self) -> bool {
        u64::try_from(self.body.len()) == Ok(self.bytes)
    }
}

/// Why there is no answer.
pub(super) enum Lost {
    /// The connection was gone before it took the request.
    Untouched(TargetError),
    /// The request was on its way.
    Sent(TargetError),
}

impl From<Malformed> for Lost {
    fn from(malformed: Malformed) -> Self {
        Self::Sent(TargetError::unanswered(FailKind::Protocol, malformed.to_string()))
    }
}

/// A stream that speaks HTTP/1.1, one exchange after the other.
#[derive(Debug)]
pub(super) struct Connection<S = Stream> {
    stream: S,
    outgoing: Outgoing,
    came: Buffer,
    heads: Heads,
    is_kept: bool, // since an earlier answer
}

impl<S: AsyncRead + AsyncWrite + Unpin> Connection<S> {
    pub(super) fn over(stream: S) -> Self {
        Self {
            stream,
            outgoing: Outgoing::default(),
            came: Buffer::new(),
            heads: Heads::default(),
            is_kept: false,
        }
    }

    /// Whether a request can be sent: notices if the server closed the connection meanwhile, or said what nobody asked for.
    pub(super) async fn is_ready(&mut self) -> bool {
        poll_fn(|cx| Poll::Ready(self.came.poll_fill(&mut self.stream, cx).is_pending())).await
    }

    /// The answer. Dropped before it is there, the connection is of no more use.
    pub(super) async fn send(&mut self, request: &Request, op: &Op, wanted: Wanted) -> Result<Answer, Lost> {
        self.outgoing.load(request);
        let asked = Asked::by(request, wanted.headers);
        let Head { status, headers, body, keep } = poll_fn(|cx| self.poll_head(asked, cx)).await?;
        op.mark(Phase::FirstByte);
        let (bytes, body) = self.drain(body, op, wanted.body).await?;
        let keep = keep && self.came.unused().is_empty() && self.outgoing.is_sent();
        self.is_kept = true;
        Ok(Answer { status, bytes, keep, headers, body })
    }

    /// The head of the final answer, which may come before all of the request is sent.
    fn poll_head(&mut self, asked: Asked, cx: &mut Context<'_>) -> Poll<Result<Head, Lost>> {
        loop {
            if let Some(head) = self.heads.next(&mut self.came, asked)? {
                return Poll::Ready(Ok(head));
            }
            let why = match ready!(self.poll_more(cx)) {
                Ok(true) => continue,
                Ok(false) => self.kept(self.closed("before it answered")),
                Err(error) => self.kept(self.reset(&error)),
            };
            let lost = if self.outgoing.is_untouched() { Lost::Untouched } else { Lost::Sent };
            return Poll::Ready(Err(lost(why)));
        }
    }

    /// Counts a body, keeps its beginning and drops the rest.
    async fn drain(&mut self, mut body: Body, op: &Op, kept: usize) -> Result<(u64, Vec<u8>), Lost> {
        let (mut bytes, mut beginning) = (0, Vec::new());
        loop {
            let used = body.decode(self.came.unused(), |data| {
                let length = u64::try_from(data.len()).unwrap_or(0);
                op.received(length);
                bytes += length;
                let room = kept - beginning.len();
                beginning.extend_from_slice(&data[..room.min(data.len())]);
            })?;
            self.came.consume(used);
            if body.is_over() {
                return Ok((bytes, beginning));
            }
            match poll_fn(|cx| self.poll_more(cx)).await {
                Ok(true) => {}
                Ok(false) if body.may_be_closed() && !self.was_reset() => return Ok((bytes, beginning)),
                Ok(false) => return Err(Lost::Sent(self.closed("amid the body of its answer"))),
                Err(error) => return Err(Lost::Sent(self.reset(&error))),
            }
        }
    }

    /// Sends what is left of the request, and reads; whether anything came. An answer may come of what was sent before sending broke.
    fn poll_more(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<bool>> {
        self.outgoing.send(&mut self.stream, cx);
        if self.outgoing.broke().is_some() && self.outgoing.is_untouched() {
            return Poll::Ready(Ok(false));
        }
        self.came.poll_fill(&mut self.stream, cx).map_ok(|came| came > 0)
    }

    /// Whether sending was told of a reset, which reading then takes for an end.
    fn was_reset(&self) -> bool {
        self.outgoing.broke().is_some_and(|error| error.kind() == io::ErrorKind::ConnectionReset)
    }

    fn closed(&self, when: &str) -> TargetError {
        self.unsent().unwrap_or_else(|| lost(format!("the server closed the connection {when}")))
    }

    fn reset(&self, error: &io::Error) -> TargetError {
        self.unsent().unwrap_or_else(|| lost(error.to_string()))
    }

    /// Says so where the server closed what was kept alive, as a request was on its way to it.
    fn kept(&self, why: TargetError) -> TargetError {
        if self.is_kept && self.came.unused().is_empty() {
            return lost(format!("{}: it had been kept alive after an earlier answer", why.message));
        }
        why
    }

    /// What kept the request from being sent comes before what is read after it.
    fn unsent(&self) -> Option<TargetError> {
        let error = self.outgoing.broke()?;
        Some(lost(format!("the connection broke while the request was sent: {error}")))
    }
}

fn lost(why: String) -> TargetError {
    TargetError::unanswered(FailKind::Reset, why)
}

/// Connects, and encrypts where that is asked for.
pub(super) async fn connect(address: SocketAddr, tls: Option<&Tls>) -> Result<Stream, TargetError> {
    let failed = |error: io::Error| {
        let kind = local_limit(&error).map_or(FailKind::Connect, FailKind::Local);
        TargetError::unanswered(kind, format!("{address}: {error}"))
    };
    let stream = TcpStream::connect(address).await.map_err(failed)?;
    stream.set_nodelay(true).map_err(failed)?;
    match tls {
        Some(tls) => tls.shake(stream).await.map_err(failed),
        None => Ok(Stream::Plain(stream)),
    }
}

/// What this machine, not the target, ran out of.
#[cfg(target_os = "linux")]
fn local_limit(error: &io::Error) -> Option<&'static str> {
    use rustix::io::Errno;
    match Errno::from_io_error(error)? {
        Errno::MFILE | Errno::NFILE => Some("open files"),
        Errno::ADDRNOTAVAIL => Some("local ports"),
        _ => None,
    }
}

#[cfg(not(target_os = "linux"))]
fn local_limit(_error: &io::Error) -> Option<&'static str> {
    None
}
