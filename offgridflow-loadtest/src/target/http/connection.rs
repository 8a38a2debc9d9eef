//! One connection, driven by the operation that uses it: no task of its own.

use std::{
    future::{Future, poll_fn},
    io,
    net::SocketAddr,
    pin::{Pin, pin},
    task::{Context, Poll},
};

use bytes::Bytes;
use http::HeaderMap;
use http_body_util::{BodyExt, Full};
use hyper::{body::Incoming, client::conn::http1};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use super::{Tls, stream::Stream};
use crate::{
    op::{Op, Phase},
    outcome::{FailKind, TargetError},
};

pub(super) type Request = http::Request<Full<Bytes>>;

/// What an exchange gave.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) bytes: u64,
    /// Whether the connection can be used again.
    pub(super) keep: bool,
    pub(super) headers: HeaderMap,
    /// As much of the body as was to be kept.
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
    /// The connection was gone before it took the request, which was put back.
    Untouched(TargetError),
    /// The request was on its way.
    Sent(TargetError),
}

/// No request stands there: a fault of this file's callers.
pub(super) fn nothing_to_send() -> Lost {
    Lost::Sent(TargetError::unanswered(FailKind::App, "there is no request to send"))
}

type Driver = http1::Connection<TokioIo<Stream>, Full<Bytes>>;

#[derive(Debug)]
pub(super) struct Connection {
    sender: http1::SendRequest<Full<Bytes>>,
    driver: Option<Driver>, // gone once it ended
}

impl Connection {
    pub(super) async fn over(stream: Stream) -> Result<Self, TargetError> {
        let shaken = http1::handshake(TokioIo::new(stream)).await;
        let (sender, driver) =
            shaken.map_err(|error| TargetError::unanswered(FailKind::Connect, error.to_string()))?;
        Ok(Self { sender, driver: Some(driver) })
    }

    /// Whether a request can be sent: notices if the server closed the connection meanwhile.
    pub(super) async fn is_ready(&mut self) -> bool {
        let sender = &mut self.sender;
        let ready = drive(&mut self.driver, async move { sender.ready().await.is_ok() }).await;
        ready && self.driver.is_some()
    }

    /// The answer, of whose body the first `kept` bytes are kept.
    pub(super) async fn send(
        &mut self,
        request: &mut Option<Request>,
        op: &Op,
        kept: usize,
    ) -> Result<Answer, Lost> {
        let Some(asked) = request.take() else { return Err(nothing_to_send()) };
        let sending = self.sender.try_send_request(asked);
        let response = match drive(&mut self.driver, sending).await {
            Ok(response) => response,
            Err(mut refused) => {
                *request = refused.take_message();
                let error = describe(refused.error());
                return Err(if request.is_some() { Lost::Untouched(error) } else { Lost::Sent(error) });
            }
        };
        op.mark(Phase::FirstByte);
        let (head, body) = response.into_parts();
        let drained = drive(&mut self.driver, drain(body, op, kept));
        let (bytes, body) = drained.await.map_err(|error| Lost::Sent(describe(&error)))?;
        let (status, keep) = (head.status.as_u16(), self.driver.is_some());
        Ok(Answer { status, bytes, keep, headers: head.headers, body })
    }
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

/// Counts a body, keeps its first `kept` bytes and drops the rest.
pub(super) async fn drain(mut body: Incoming, op: &Op, kept: usize) -> Result<(u64, Vec<u8>), hyper::Error> {
    let (mut bytes, mut beginning) = (0, Vec::new());
    while let Some(frame) = body.frame().await {
        if let Some(data) = frame?.data_ref() {
            let length = u64::try_from(data.len()).unwrap_or(0);
            op.received(length);
            bytes += length;
            let room = kept - beginning.len();
            beginning.extend_from_slice(&data[..room.min(data.len())]);
        }
    }
    Ok((bytes, beginning))
}

/// Polls the connection along with what waits for it. Errors of the connection reach the waiter through hyper.
async fn drive<F: Future>(driver: &mut Option<Driver>, future: F) -> F::Output {
    let mut future = pin!(future);
    poll_fn(|cx| {
        // First the socket, so that what it brought is seen; afterwards again, so that what was asked for goes out.
        poll_driver(driver, cx);
        if let Poll::Ready(output) = future.as_mut().poll(cx) {
            return Poll::Ready(output);
        }
        poll_driver(driver, cx);
        future.as_mut().poll(cx)
    })
    .await
}

fn poll_driver(driver: &mut Option<Driver>, cx: &mut Context<'_>) {
    if let Some(connection) = driver
        && Pin::new(connection).poll(cx).is_ready()
    {
        *driver = None;
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

pub(super) fn describe(error: &hyper::Error) -> TargetError {
    let cause = std::error::Error::source(error).map(|cause| format!(": {cause}")).unwrap_or_default();
    let kind = if error.is_parse() || is_malformed(error) { FailKind::Protocol } else { FailKind::Reset };
    TargetError::unanswered(kind, format!("{error}{cause}"))
}

/// A body that cannot be decoded, such as one with a bad chunk size. Only its end too soon is the connection's.
fn is_malformed(error: &hyper::Error) -> bool {
    let cause = std::error::Error::source(error).and_then(|cause| cause.downcast_ref::<io::Error>());
    cause
        .is_some_and(|cause| matches!(cause.kind(), io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput))
}
