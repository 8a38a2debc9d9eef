//! Accepting connections, so many at a time, none of which may be slow for ever.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::response::Response;
use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{Sleep, sleep};

/// What connections may take.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// How many at a time; others wait in the system's queue. Default: 4 096.
    connections: usize,
    /// How long a request's head may take to come in, the wait for a next request on a kept connection included. Default: 75 s, longer than load
    /// balancers keep one.
    head: Duration,
    /// How long a peer may take nothing of an answer that waits for it. Default: 30 s.
    stalled: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { connections: 4_096, head: Duration::from_secs(75), stalled: Duration::from_secs(30) }
    }
}

/// Pause after an accept that failed, as it does without free descriptors.
const PAUSE: Duration = Duration::from_millis(50);

/// In the extensions of every request: tells an answer without an end when the server stops.
#[derive(Debug, Clone)]
pub(crate) struct Stopping(watch::Receiver<bool>);

impl Stopping {
    /// Resolves when the server takes no request more.
    pub(crate) async fn begun(&self) {
        let _ = self.0.clone().wait_for(|stop| *stop).await;
    }
}

/// Serves until `stop` says so; then takes no connection more, and ends when the requests under way have.
pub(crate) async fn serve(
    listener: TcpListener,
    router: Router,
    limits: Limits,
    mut stop: watch::Receiver<bool>,
) {
    let places = Arc::new(Semaphore::new(limits.connections));
    let mut serving = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            biased;
            _ = stop.wait_for(|stop| *stop) => break,
            accepted = accept(&listener, &places) => accepted,
            Some(_) = serving.join_next(), if !serving.is_empty() => continue,
        };
        let Some((stream, peer, place)) = accepted else { continue };
        let (router, stopped) = (router.clone(), stop.clone());
        serving.spawn(async move {
            connection(stream, peer, router, limits, stopped).await;
            drop(place);
        });
    }
    drop(listener);
    while serving.join_next().await.is_some() {}
}

type Place = tokio::sync::OwnedSemaphorePermit;

async fn accept(listener: &TcpListener, places: &Arc<Semaphore>) -> Option<(TcpStream, SocketAddr, Place)> {
    let place = Arc::clone(places).acquire_owned().await.ok()?;
    match listener.accept().await {
        Ok((stream, peer)) => Some((stream, peer, place)),
        Err(error) => {
            tracing::warn!(error = &error as &dyn std::error::Error, "a connection could not be accepted");
            sleep(PAUSE).await;
            None
        }
    }
}

async fn connection(
    stream: TcpStream,
    peer: SocketAddr,
    router: Router,
    limits: Limits,
    mut stop: watch::Receiver<bool>,
) {
    let _ = stream.set_nodelay(true);
    let stopping = Stopping(stop.clone());
    let service = service_fn(move |request| answer(router.clone(), peer, stopping.clone(), request));
    let io = TokioIo::new(Patient { stream, patience: limits.stalled, stalled: None });
    let mut settings = http1::Builder::new();
    settings.timer(TokioTimer::new()).header_read_timeout(limits.head);
    let mut connection = pin!(settings.serve_connection(io, service));
    tokio::select! {
        biased;
        _ = connection.as_mut() => return, // whatever broke it, nobody is left to tell
        _ = stop.wait_for(|stop| *stop) => connection.as_mut().graceful_shutdown(),
    }
    let _ = connection.await;
}

async fn answer(
    router: Router,
    peer: SocketAddr,
    stopping: Stopping,
    request: Request<Incoming>,
) -> Result<Response, Infallible> {
    use tower_service::Service as _;
    let mut request = request.map(Body::new);
    request.extensions_mut().insert(ConnectInfo(peer));
    request.extensions_mut().insert(stopping);
    let mut router = router;
    router.call(request).await
}

/// A stream that fails when its peer takes nothing for too long: an answer that is never read would hold its place for ever.
struct Patient {
    stream: TcpStream,
    patience: Duration,
    stalled: Option<Pin<Box<Sleep>>>,
}

impl Patient {
    /// Begins to lose patience, or goes on to, while a write waits.
    fn judge<T>(&mut self, context: &mut Context<'_>, written: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.stalled = None;
            return written;
        }
        let patience = self.patience;
        let stalled = self.stalled.get_or_insert_with(|| Box::pin(sleep(patience)));
        match stalled.as_mut().poll(context) {
            Poll::Ready(()) => Poll::Ready(Err(io::ErrorKind::TimedOut.into())),
            Poll::Pending => Poll::Pending,
        }
    }
}

impl AsyncRead for Patient {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Patient {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.judge(context, written)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(context);
        self.judge(context, flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use axum::routing::get;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::task::JoinHandle;

    use super::*;

    const ASKED: &[u8] = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n";

    struct Served {
        addr: SocketAddr,
        stop: watch::Sender<bool>,
        serving: JoinHandle<()>,
    }

    /// A server that answers `/` at once, `/slow` after 300 ms, and `/large` with 64 MiB.
    async fn served(limits: Limits) -> Served {
        let slow = async || {
            sleep(Duration::from_millis(300)).await;
            "slow"
        };
        let router = Router::new()
            .route("/", get(async || "well"))
            .route("/slow", get(slow))
            .route("/large", get(async || vec![b'x'; 64 << 20]));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let (stop, stopped) = watch::channel(false);
        let serving = tokio::spawn(serve(listener, router, limits, stopped));
        Served { addr, stop, serving }
    }

    /// What comes within five seconds, up to the end of the connection.
    async fn all(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let read = tokio::time::timeout(Duration::from_secs(5), stream.read_to_end(&mut bytes));
        read.await.map_err(io::Error::from)??;
        Ok(bytes)
    }

    #[tokio::test]
    async fn a_head_that_crawls_ends_its_connection() {
        let limits = Limits { head: Duration::from_millis(200), ..Limits::default() };
        let served = served(limits).await;
        let mut client = TcpStream::connect(served.addr).await.unwrap();
        let began = Instant::now();
        client.write_all(b"GET / HTTP/1.1\r\nx-slow: ").await.unwrap();
        assert!(all(&mut client).await.is_ok(), "the server hangs up");
        assert!((Duration::from_millis(150)..Duration::from_secs(3)).contains(&began.elapsed()));
    }

    #[tokio::test]
    async fn who_comes_when_it_is_full_waits_for_a_place() {
        let served = served(Limits { connections: 2, ..Limits::default() }).await;
        let mut first = Vec::new();
        for _ in 0..2 {
            let mut client = TcpStream::connect(served.addr).await.unwrap();
            client.write_all(ASKED).await.unwrap();
            assert!(client.read(&mut [0; 512]).await.unwrap() > 0);
            first.push(client);
        }
        let mut third = TcpStream::connect(served.addr).await.unwrap();
        third.write_all(ASKED).await.unwrap();
        let early = tokio::time::timeout(Duration::from_millis(200), third.read(&mut [0; 512])).await;
        assert!(early.is_err(), "there is no place");
        first.pop();
        let answer = tokio::time::timeout(Duration::from_secs(5), third.read(&mut [0; 512])).await;
        assert!(answer.unwrap().unwrap() > 0, "there is one now");
    }

    #[tokio::test]
    async fn an_answer_that_nobody_takes_is_given_up() {
        let limits = Limits { connections: 1, stalled: Duration::from_millis(200), ..Limits::default() };
        let served = served(limits).await;
        let mut idle = TcpStream::connect(served.addr).await.unwrap();
        idle.write_all(b"GET /large HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
        let mut next = TcpStream::connect(served.addr).await.unwrap();
        next.write_all(ASKED).await.unwrap();
        let answer = tokio::time::timeout(Duration::from_secs(5), next.read(&mut [0; 512])).await;
        assert!(answer.unwrap().unwrap() > 0, "its place is free again");
    }

    #[tokio::test]
    async fn the_end_waits_for_requests_and_not_for_kept_connections() {
        let served = served(Limits::default()).await;
        let mut kept = TcpStream::connect(served.addr).await.unwrap();
        kept.write_all(ASKED).await.unwrap();
        assert!(kept.read(&mut [0; 512]).await.unwrap() > 0);
        let mut busy = TcpStream::connect(served.addr).await.unwrap();
        busy.write_all(b"GET /slow HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
        sleep(Duration::from_millis(50)).await;
        served.stop.send(true).unwrap();
        tokio::time::timeout(Duration::from_secs(5), served.serving).await.unwrap().unwrap();
        let answer = String::from_utf8(all(&mut busy).await.unwrap()).unwrap();
        assert!(answer.ends_with("slow"), "what was under way is answered: {answer}");
        assert!(TcpStream::connect(served.addr).await.is_err(), "nobody is taken any more");
    }
}
