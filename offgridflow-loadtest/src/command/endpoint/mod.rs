//! The control endpoint of a run: HTTP on a loopback address, for people, scripts and a Prometheus.

mod answer;
mod metrics;

use std::{
    io,
    net::SocketAddr,
    sync::Arc,
    thread::{self, JoinHandle},
    time::Duration,
};

use http_body_util::Full;
use hyper::{server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    net::{TcpListener, TcpStream},
    runtime::Builder,
    sync::{Semaphore, oneshot},
    task::{LocalSet, spawn_local},
    time::timeout,
};

use crate::{Control, ControlError};
use answer::answer;
pub(super) use metrics::{LiveMetrics, RunSoFar};

/// Connections at a time; who comes beyond waits.
const CONNECTIONS: usize = 16;
/// How long a connection may be idle, or send its headers.
const IDLE: Duration = Duration::from_secs(10);
/// How long all of a connection may take.
const LONGEST: Duration = Duration::from_secs(60);

/// Ends with its handle.
pub(super) struct Endpoint {
    pub(super) address: SocketAddr,
    end: Option<oneshot::Sender<()>>,
    serving: Option<JoinHandle<()>>,
}

/// What it steers, and what it shows.
pub(super) struct Served {
    pub(super) control: Control,
    pub(super) so_far: Arc<RunSoFar>,
}

impl Endpoint {
    /// Listens on a thread of its own, so that who asks holds up no shard.
    ///
    /// # Errors
    /// An address that is not this machine's own, or is taken.
    pub(super) fn listen(at: SocketAddr, served: Served) -> io::Result<Self> {
        if !at.ip().is_loopback() {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "is not a loopback address: whoever could reach it could steer the run",
            ));
        }
        let listener = std::net::TcpListener::bind(at)?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let (end, ended) = oneshot::channel();
        let serve = move || {
            LocalSet::new().block_on(&runtime, async {
                tokio::select! {
                    () = accept(listener, Arc::new(served)) => {}
                    _ = ended => {}
                }
            });
        };
        let serving = thread::Builder::new().name("load-control".into()).spawn(serve)?;
        Ok(Self { address, end: Some(end), serving: Some(serving) })
    }
}

impl Drop for Endpoint {
    fn drop(&mut self) {
        drop(self.end.take());
        if let Some(serving) = self.serving.take() {
            let _ = serving.join();
        }
    }
}

async fn accept(listener: std::net::TcpListener, served: Arc<Served>) {
    let Ok(listener) = TcpListener::from_std(listener) else { return };
    let room = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let Ok(place) = Arc::clone(&room).acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, _)) => {
                let served = Arc::clone(&served);
                spawn_local(async move {
                    let _ = timeout(LONGEST, serve(stream, served)).await;
                    drop(place);
                });
            }
            Err(_) => tokio::time::sleep(Duration::from_millis(100)).await, // out of descriptors, for example
        }
    }
}

async fn serve(stream: TcpStream, served: Arc<Served>) {
    let answered = service_fn(move |request| {
        let served = Arc::clone(&served);
        async move {
            Ok::<http::Response<Full<bytes::Bytes>>, std::convert::Infallible>(answer(request, &served).await)
        }
    });
    let mut server = http1::Builder::new();
    server.timer(TokioTimer::new()).header_read_timeout(IDLE).max_buf_size(16 * 1024);
    let _ = server.serve_connection(TokioIo::new(stream), answered).await;
}

/// The status that a refusal has.
fn status_of(error: &ControlError) -> http::StatusCode {
    match error {
        ControlError::Rate(_) | ControlError::TooMuch => http::StatusCode::BAD_REQUEST,
        _ => http::StatusCode::CONFLICT,
    }
}
