//! Connections that many operations share: HTTP/2.

use std::{
    collections::HashMap,
    fmt, io,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{
    body::Incoming,
    client::conn::http2::{Builder, SendRequest},
};
use hyper_util::rt::{TokioExecutor, TokioIo};

use super::{
    connection::{Answer, Lost, Request, Wanted},
    stream::Stream,
};
use crate::{
    error::ConfigError,
    op::{Op, Phase},
    outcome::{FailKind, TargetError},
    workload::ShardCtx,
};

/// All connections of a run, a fixed part of them for each shard, each opened when its first session needs it.
pub(super) struct Connections {
    most: usize,
    slots: Mutex<HashMap<(usize, usize), Arc<Slot>>>, // by shard and place; held only to look one up
    counts: Arc<Counts>,
}

/// Held while a connection is opened, so that those who need it wait and do not open another.
type Slot = tokio::sync::Mutex<Option<Line>>;

#[derive(Default)]
struct Counts {
    opened: AtomicU64,
    busiest: AtomicU64, // streams of one connection at a time
}

/// A connection as a session has it.
#[derive(Clone)]
pub(super) struct Line {
    sender: SendRequest<Full<Bytes>>,
    streams: Arc<AtomicU64>,
    has_answered: Arc<AtomicBool>,
    is_left: Arc<AtomicBool>, // by the server, which looks at no more streams
    counts: Arc<Counts>,
}

impl Connections {
    pub(super) fn at_most(most: usize) -> Result<Self, ConfigError> {
        if most == 0 {
            return Err(ConfigError::new("http2", "at least one connection is needed"));
        }
        Ok(Self { most, slots: Mutex::default(), counts: Arc::default() })
    }

    /// The connection of a session, opened if there is none that lives.
    pub(super) async fn line<F: Future<Output = Result<Stream, TargetError>>>(
        &self,
        ctx: &ShardCtx,
        connect: impl FnOnce() -> F,
    ) -> Result<Line, TargetError> {
        let slot = self.slot(ctx);
        let mut held = slot.lock().await;
        if let Some(line) = held.as_ref().filter(|line| line.takes_more()) {
            return Ok(line.clone());
        }
        let line = self.open(connect().await?).await?;
        *held = Some(line.clone());
        Ok(line)
    }

    /// How many were opened, and how many streams the busiest had at a time.
    pub(super) fn finding(&self) -> Option<String> {
        let (opened, busiest) = (self.counts.opened.load(Relaxed), self.counts.busiest.load(Relaxed));
        let plural = if opened == 1 { "" } else { "s" };
        (opened > 0).then(|| {
            format!("HTTP/2: {opened} connection{plural} opened, at most {busiest} streams at a time on one")
        })
    }

    fn slot(&self, ctx: &ShardCtx) -> Arc<Slot> {
        let share = (self.most + ctx.shards() - 1 - ctx.shard()) / ctx.shards();
        let share = u64::try_from(share.max(1)).unwrap_or(u64::MAX);
        let place = usize::try_from(ctx.session() % share).unwrap_or(0);
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(slots.entry((ctx.shard(), place)).or_default())
    }

    async fn open(&self, stream: Stream) -> Result<Line, TargetError> {
        let shaken = Builder::new(TokioExecutor::new()).handshake(TokioIo::new(stream)).await;
        let (sender, driver) =
            shaken.map_err(|error| TargetError::unanswered(FailKind::Connect, error.to_string()))?;
        tokio::spawn(async move { drop(driver.await) }); // what goes wrong reaches those who wait for answers
        self.counts.opened.fetch_add(1, Relaxed);
        let counts = Arc::clone(&self.counts);
        let (streams, has_answered, is_left) = Default::default();
        Ok(Line { sender, streams, has_answered, is_left, counts })
    }
}

impl Line {
    /// Whether a stream can be opened. One that the server does not allow yet waits unseen, as a part of its service time.
    pub(super) async fn is_ready(&mut self) -> bool {
        self.sender.ready().await.is_ok() && self.takes_more()
    }

    fn takes_more(&self) -> bool {
        !self.sender.is_closed() && !self.is_left.load(Relaxed)
    }

    /// The answer, with all of its headers.
    pub(super) async fn send(&mut self, request: &Request, op: &Op, wanted: Wanted) -> Result<Answer, Lost> {
        let _stream = Counted::begin(self);
        op.mark(Phase::Admitted);
        let response = match self.sender.try_send_request(request.clone().map(Full::new)).await {
            Ok(response) => response,
            Err(mut refused) => {
                let is_left = is_left(refused.error());
                self.is_left.fetch_or(is_left, Relaxed);
                let error = self.advised(describe(refused.error()));
                let untouched = is_left || refused.take_message().is_some();
                return Err(if untouched { Lost::Untouched(error) } else { Lost::Sent(error) });
            }
        };
        op.mark(Phase::FirstByte);
        self.has_answered.store(true, Relaxed);
        let (head, body) = response.into_parts();
        let (bytes, body) =
            drain(body, op, wanted.body).await.map_err(|error| Lost::Sent(self.advised(describe(&error))))?;
        Ok(Answer { status: head.status.as_u16(), bytes, keep: true, headers: head.headers, body })
    }
}

impl Line {
    /// A connection that ends before it answered anything probably ended because the server speaks something else.
    fn advised(&self, error: TargetError) -> TargetError {
        if self.has_answered.load(Relaxed) {
            return error;
        }
        let message = format!("{}: does the server speak HTTP/2 on this port?", error.message);
        TargetError::unanswered(error.kind, message)
    }
}

/// Counts a body, keeps its first `kept` bytes and drops the rest.
async fn drain(mut body: Incoming, op: &Op, kept: usize) -> Result<(u64, Vec<u8>), hyper::Error> {
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

fn describe(error: &hyper::Error) -> TargetError {
    let cause = std::error::Error::source(error).map(|cause| format!(": {cause}")).unwrap_or_default();
    let kind = if error.is_parse() || is_malformed(error) { FailKind::Protocol } else { FailKind::Reset };
    TargetError::unanswered(kind, format!("{error}{cause}"))
}

/// Whether the server said, in peace, that it leaves and never looked at the stream (RFC 9113, section 6.8).
fn is_left(error: &hyper::Error) -> bool {
    let cause = std::error::Error::source(error).and_then(|cause| cause.downcast_ref::<h2::Error>());
    cause.is_some_and(|cause| {
        cause.is_go_away() && cause.is_remote() && cause.reason() == Some(h2::Reason::NO_ERROR)
    })
}

/// A body that cannot be decoded, such as one with a bad chunk size. Only its end too soon is the connection's.
fn is_malformed(error: &hyper::Error) -> bool {
    let cause = std::error::Error::source(error).and_then(|cause| cause.downcast_ref::<io::Error>());
    cause
        .is_some_and(|cause| matches!(cause.kind(), io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput))
}

/// A stream, for as long as it is open.
struct Counted(Arc<AtomicU64>);

impl Counted {
    fn begin(line: &Line) -> Self {
        let open = line.streams.fetch_add(1, Relaxed) + 1;
        line.counts.busiest.fetch_max(open, Relaxed);
        Self(Arc::clone(&line.streams))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

impl fmt::Debug for Connections {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connections").field("most", &self.most).finish_non_exhaustive()
    }
}

impl fmt::Debug for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Line").finish_non_exhaustive()
    }
}
