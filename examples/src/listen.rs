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

/// Connections at a time; others wait in the system's queue.
const CONNECTIONS: usize = 4_096;
/// How long a request's head may take to come in, the wait for a next request on a kept connection included.
const HEAD: Duration = Duration::from_secs(75);
/// How long a peer may take nothing of an answer that waits for it.
const STALLED: Duration = Duration::from_secs(30);
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
pub(crate) async fn serve(listener: TcpListener, router: Router, mut stop: watch::Receiver<bool>) {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
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
            connection(stream, peer, router, stopped).await;
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

async fn connection(stream: TcpStream, peer: SocketAddr, router: Router, mut stop: watch::Receiver<bool>) {
    let _ = stream.set_nodelay(true);
    let stopping = Stopping(stop.clone());
    let service = service_fn(move |request| answer(router.clone(), peer, stopping.clone(), request));
    let io = TokioIo::new(Patient { stream, stalled: None });
    let mut settings = http1::Builder::new();
    settings.timer(TokioTimer::new()).header_read_timeout(HEAD);
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
    stalled: Option<Pin<Box<Sleep>>>,
}

impl Patient {
    /// Begins to lose patience, or goes on to, while a write waits.
    fn judge<T>(&mut self, context: &mut Context<'_>, written: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.stalled = None;
            return written;
        }
        let stalled = self.stalled.get_or_insert_with(|| Box::pin(sleep(STALLED)));
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
