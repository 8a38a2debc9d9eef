//! A request on its way.

use std::{
    io::{self, Write},
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::{Request, header};
use tokio::io::AsyncWrite;

/// A body up to this long goes into one piece with the head.
const ONE_PIECE: usize = 16 * 1024;

/// A request as bytes, in memory that is used again.
#[derive(Debug, Default)]
pub(in crate::target::http) struct Outgoing {
    bytes: Vec<u8>,
    rest: Bytes, // a long body
    sent: usize,
    is_flushed: bool,
    broke: Option<io::Error>,
}

impl Outgoing {
    pub(in crate::target::http) fn load(&mut self, request: &Request<Bytes>) {
        self.bytes.clear();
        (self.sent, self.is_flushed, self.broke) = (0, false, None);
        write_head(request, &mut self.bytes);
        self.rest = Bytes::new();
        if request.body().len() <= ONE_PIECE {
            self.bytes.extend_from_slice(request.body());
        } else {
            self.rest = request.body().clone();
        }
    }

    /// Whether nothing of it was sent.
    pub(in crate::target::http) fn is_untouched(&self) -> bool {
        self.sent == 0
    }

    pub(in crate::target::http) fn is_sent(&self) -> bool {
        self.is_flushed
    }

    /// Why it cannot be sent.
    pub(in crate::target::http) fn broke(&self) -> Option<&io::Error> {
        self.broke.as_ref()
    }

    /// Sends as much as the stream takes, and no more once it broke.
    pub(in crate::target::http) fn send<S: AsyncWrite + Unpin>(
        &mut self,
        stream: &mut S,
        cx: &mut Context<'_>,
    ) {
        if !self.is_flushed
            && self.broke.is_none()
            && let Poll::Ready(Err(error)) = self.poll_send(stream, cx)
        {
            self.broke = Some(error);
        }
    }

    fn poll_send<S: AsyncWrite + Unpin>(
        &mut self,
        stream: &mut S,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            let left = match self.sent.checked_sub(self.bytes.len()) {
                None => &self.bytes[self.sent..],
                Some(of_rest) => &self.rest[of_rest..],
            };
            if left.is_empty() {
                break;
            }
            match ready!(Pin::new(&mut *stream).poll_write(cx, left))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                wrote => self.sent += wrote,
            }
        }
        ready!(Pin::new(stream).poll_flush(cx))?;
        self.is_flushed = true;
        Poll::Ready(Ok(()))
    }
}

/// Request line and headers, and the length of a body that there is.
fn write_head(request: &Request<Bytes>, into: &mut Vec<u8>) {
    let mut put = |part: &[u8]| into.extend_from_slice(part);
    put(request.method().as_str().as_bytes());
    put(b" ");
    let uri = request.uri();
    match uri.path_and_query() {
        Some(target) if uri.authority().is_none() => put(target.as_str().as_bytes()),
        _ => put(uri.to_string().as_bytes()),
    }
    put(b" HTTP/1.1\r\n");
    for (name, value) in request.headers() {
        put(name.as_str().as_bytes());
        put(b": ");
        put(value.as_bytes());
        put(b"\r\n");
    }
    let length = request.body().len();
    if length > 0 && !request.headers().contains_key(header::CONTENT_LENGTH) {
        let _ = write!(into, "content-length: {length}\r\n"); // a vector takes all
    }
    into.extend_from_slice(b"\r\n");
}
