//! A loopback server on a thread of its own that does nothing, and may stand still once.

use std::{
    io,
    net::SocketAddr,
    rc::Rc,
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use std::cell::Cell;

use tokio::{
    net::{TcpListener, TcpStream},
    runtime::Builder,
    sync::oneshot,
    task::{LocalSet, spawn_local},
};

const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

/// When it stands still: after so many requests, for so long.
#[derive(Debug, Clone, Copy)]
pub(super) struct Freeze {
    pub(super) after: u64,
    pub(super) length: Duration,
}

/// Ends with its handle.
pub(super) struct Server {
    pub(super) address: SocketAddr,
    froze: mpsc::Receiver<Duration>,
    _end: oneshot::Sender<()>,
}

impl Server {
    pub(super) fn start(freeze: Option<Freeze>) -> io::Result<Self> {
        let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let (end, ended) = oneshot::channel();
        let (tell, froze) = mpsc::channel();
        let body = move || {
            let until_ended = async {
                tokio::select! {
                    () = accept(listener, Rc::new(Standstill { freeze, seen: Cell::new(0), tell })) => {}
                    _ = ended => {}
                }
            };
            LocalSet::new().block_on(&runtime, until_ended);
        };
        thread::Builder::new().name("selftest-server".into()).spawn(body)?;
        Ok(Self { address, froze, _end: end })
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// How long it stood still, by its own clock; `None` if it did not.
    pub(super) fn froze(&self) -> Option<Duration> {
        self.froze.try_recv().ok()
    }
}

struct Standstill {
    freeze: Option<Freeze>,
    seen: Cell<u64>,
    tell: mpsc::Sender<Duration>,
}

impl Standstill {
    /// Blocks the server's only thread, and with it everybody's answers.
    fn request(&self) {
        self.seen.set(self.seen.get() + 1);
        let Some(freeze) = self.freeze.filter(|freeze| freeze.after == self.seen.get()) else { return };
        let begun = Instant::now();
        thread::sleep(freeze.length);
        let _ = self.tell.send(begun.elapsed());
    }
}

async fn accept(listener: std::net::TcpListener, standstill: Rc<Standstill>) {
    let Ok(listener) = TcpListener::from_std(listener) else { return };
    while let Ok((stream, _)) = listener.accept().await {
        spawn_local(answer(stream, Rc::clone(&standstill)));
    }
}

/// One answer to each request, all of which fit one read.
async fn answer(stream: TcpStream, standstill: Rc<Standstill>) {
    let _ = stream.set_nodelay(true);
    let mut buffer = [0; 4_096];
    while stream.readable().await.is_ok() {
        match stream.try_read(&mut buffer) {
            Ok(0) => return,
            Ok(_) => {
                standstill.request();
                let _ = stream.try_write(ANSWER);
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(_) => return,
        }
    }
}
