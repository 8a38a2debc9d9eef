//! A loopback HTTP server that can be frozen, on a thread of its own.
#![allow(dead_code, reason = "each test file uses a part")]

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
    thread,
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
    sync::oneshot,
};

/// A request as the server saw it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) line: String,
    pub(crate) headers: Vec<String>,
    pub(crate) body: Vec<u8>,
}

#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) connections: AtomicU64,
    pub(crate) requests: AtomicU64,
    pub(crate) last: Mutex<Option<Seen>>,
    first: Mutex<Vec<Seen>>,        // at most `KEPT`
    freeze: Mutex<Option<Instant>>, // until when
}

/// How many requests a server remembers.
const KEPT: usize = 1_000;

impl Counters {
    fn remember(&self, seen: &Seen) {
        let mut first = self.first.lock().expect("lock");
        if first.len() < KEPT {
            first.push(seen.clone());
        }
    }
}

#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Behaviour {
    /// The server closes a connection after so many answers, without saying so before.
    pub(crate) answers_per_connection: Option<u64>,
    /// Paths that begin with this get status 503.
    pub(crate) refuse: Option<&'static str>,
    /// What is answered in place of an answer, and then the connection is closed ...
    pub(crate) raw: Option<&'static str>,
    /// ... unless it stays open without another byte.
    pub(crate) stalls: bool,
    /// What is answered, byte for byte, in place of `hello`.
    pub(crate) script: Option<fn(&Seen) -> Vec<u8>>,
    /// Paths that begin with this are answered so much later.
    pub(crate) slow: Option<(&'static str, Duration)>,
    /// Paths that begin with this are answered with a gigabyte.
    pub(crate) flood: Option<&'static str>,
}

pub(crate) struct Server {
    pub(crate) addr: SocketAddr,
    pub(crate) counters: Arc<Counters>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Server {
    pub(crate) fn start() -> Self {
        Self::behaving(Behaviour::default())
    }

    pub(crate) fn behaving(behaviour: Behaviour) -> Self {
        let counters = Arc::new(Counters::default());
        let (stop, stopped) = oneshot::channel();
        let (bound, is_bound) = std::sync::mpsc::channel();
        let shared = Arc::clone(&counters);
        let thread = thread::spawn(move || {
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().build().expect("runtime");
            runtime.block_on(async {
                let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
                bound.send(listener.local_addr().expect("address")).expect("tell");
                tokio::select! {
                    () = accept(listener, shared, behaviour) => {}
                    _ = stopped => {}
                }
            });
        });
        let addr = is_bound.recv().expect("server starts");
        Self { addr, counters, stop: Some(stop), thread: Some(thread) }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// Nothing is answered for `length` from now on; connections are still accepted by the kernel.
    pub(crate) fn freeze(&self, length: Duration) {
        *self.counters.freeze.lock().expect("lock") = Some(Instant::now() + length);
    }

    pub(crate) fn requests(&self) -> u64 {
        self.counters.requests.load(SeqCst)
    }

    pub(crate) fn connections(&self) -> u64 {
        self.counters.connections.load(SeqCst)
    }

    /// The first requests, a thousand at most.
    pub(crate) fn first(&self) -> Vec<Seen> {
        self.counters.first.lock().expect("lock").clone()
    }

    pub(crate) fn last(&self) -> Seen {
        self.counters.last.lock().expect("lock").clone().expect("a request")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

async fn accept(listener: TcpListener, counters: Arc<Counters>, behaviour: Behaviour) {
    while let Ok((stream, _)) = listener.accept().await {
        counters.connections.fetch_add(1, SeqCst);
        tokio::spawn(serve(stream, Arc::clone(&counters), behaviour));
    }
}

async fn serve(stream: TcpStream, counters: Arc<Counters>, behaviour: Behaviour) {
    let _ = stream.set_nodelay(true);
    let mut stream = BufReader::new(stream);
    let mut answers = 0;
    while let Some(seen) = read_request(&mut stream).await {
        let frozen = *counters.freeze.lock().expect("lock");
        if let Some(until) = frozen {
            tokio::time::sleep_until(until.into()).await;
        }
        counters.requests.fetch_add(1, SeqCst);
        let path = seen.line.split(' ').nth(1).unwrap_or_default().to_owned();
        counters.remember(&seen);
        let script = behaviour.script.map(|script| script(&seen));
        *counters.last.lock().expect("lock") = Some(seen);
        if let Some((_, wait)) = behaviour.slow.filter(|(prefix, _)| path.starts_with(prefix)) {
            tokio::time::sleep(wait).await;
        }
        if behaviour.flood.is_some_and(|prefix| path.starts_with(prefix)) {
            if flood(&mut stream).await {
                continue;
            }
            return;
        }
        if let Some(raw) = behaviour.raw {
            let _ = stream.write_all(raw.as_bytes()).await;
            if behaviour.stalls {
                std::future::pending::<()>().await;
            }
            return;
        }
        let status =
            if behaviour.refuse.is_some_and(|prefix| path.starts_with(prefix)) { "503 No" } else { "200 OK" };
        let answer = format!("HTTP/1.1 {status}\r\ncontent-length: 5\r\n\r\nhello");
        if stream.write_all(&script.unwrap_or(answer.into_bytes())).await.is_err() {
            return;
        }
        answers += 1;
        if behaviour.answers_per_connection == Some(answers) {
            return;
        }
    }
}

/// A gigabyte, after which the connection goes on.
async fn flood(stream: &mut BufReader<TcpStream>) -> bool {
    const PIECE: usize = 1 << 20;
    let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", PIECE << 10);
    let mut sent = stream.write_all(head.as_bytes()).await;
    let piece = vec![b'x'; PIECE];
    for _ in 0..1_024 {
        sent = sent.and(stream.write_all(&piece).await);
    }
    sent.is_ok()
}

async fn read_request(stream: &mut BufReader<TcpStream>) -> Option<Seen> {
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).await.ok()? == 0 {
            return None;
        }
        let line = line.trim_end().to_owned();
        if line.is_empty() {
            break;
        }
        lines.push(line);
    }
    let length = |line: &String| {
        line.to_lowercase().strip_prefix("content-length:").map(|n| n.trim().parse::<usize>())
    };
    let length = lines.iter().find_map(length).and_then(Result::ok).unwrap_or(0);
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.ok()?;
    let line = lines.remove(0);
    Some(Seen { line, headers: lines, body })
}
