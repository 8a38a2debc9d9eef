use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::Error;

/// Chunks on their way in one direction of one connection; beyond it the sender feels back-pressure.
const IN_FLIGHT: usize = 256;
const CHUNK: usize = 64 << 10;

/// One way through the proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// From the client to the server.
    ToServer,
    /// From the server to the client.
    ToClient,
}

/// What went through the proxy since it started.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counters {
    /// Connections accepted.
    pub connections: u64,
    /// Reads that brought bytes from a client: one a flush, when flushes are answered before the next is sent.
    pub client_flushes: u64,
    /// Flushes that followed an answer (or began a connection): how often a client waited for the server.
    pub round_trips: u64,
    /// Bytes from clients.
    pub client_bytes: u64,
    /// Bytes from the server.
    pub server_bytes: u64,
}

/// A TCP proxy in front of a server that can delay, freeze, cut and swallow; it ends when dropped.
#[derive(Debug)]
pub struct FaultProxy {
    addr: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    upstream: Mutex<SocketAddr>,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    delay: Duration,
    frozen: bool,
    refusing: bool,
    closed: bool,
    swallow: Option<Direction>,
    cut_after_bytes: Option<u64>, // bytes towards the server that may still pass
    cut_at_flush: Option<u64>,    // flushes that may still pass
    cut_after_flush: Option<u64>, // the same, the last of which reaches the server and is not answered
    counters: Counters,
    live: Vec<TcpStream>,
}

impl FaultProxy {
    /// Listens on a loopback port the system picks and forwards to `upstream`.
    ///
    /// # Errors
    /// When the system gives no port.
    pub fn start(upstream: SocketAddr) -> Result<Self, Error> {
        Self::start_at(Ipv4Addr::LOCALHOST, upstream)
    }

    /// As [`start`](Self::start), at another address of this host.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub fn start_at(address: Ipv4Addr, upstream: SocketAddr) -> Result<Self, Error> {
        let listener = TcpListener::bind((address, 0)).map_err(Error::io("start the proxy"))?;
        let addr = listener.local_addr().map_err(Error::io("start the proxy"))?;
        let shared = Arc::new(Shared {
            upstream: Mutex::new(upstream),
            state: Mutex::new(State::default()),
            changed: Condvar::new(),
        });
        let accepting = Arc::clone(&shared);
        thread::spawn(move || accepting.accept(&listener));
        Ok(Self { addr, shared })
    }

    /// Where clients connect.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Closes every connection; from now on new ones lead to `upstream`, as behind a name that a failover moved.
    pub fn redirect(&self, upstream: SocketAddr) {
        *self.shared.upstream.lock().unwrap_or_else(PoisonError::into_inner) = upstream;
        close_all(&mut self.shared.state());
    }

    /// Holds every chunk back for `one_way`, in both directions, without limiting throughput.
    pub fn delay(&self, one_way: Duration) {
        self.shared.state().delay = one_way;
    }

    /// Nothing passes in either direction; connections stay open and new ones are accepted but not served.
    pub fn freeze(&self) {
        self.shared.state().frozen = true;
    }

    /// Ends a [`freeze`](Self::freeze); what waited goes on.
    pub fn thaw(&self) {
        self.shared.state().frozen = false;
        self.shared.changed.notify_all();
    }

    /// Closes every connection and refuses new ones until [`restore`](Self::restore).
    pub fn cut(&self) {
        let mut state = self.shared.state();
        state.refusing = true;
        close_all(&mut state);
        drop(state);
        self.shared.changed.notify_all();
    }

    /// Lets `bytes` more bytes through towards the server, then closes the connection that would send the next; once.
    pub fn cut_after_bytes(&self, bytes: u64) {
        self.shared.state().cut_after_bytes = Some(bytes);
    }

    /// Closes the connection whose flush is the `nth` from now (1: the very next), before it is forwarded; once.
    ///
    /// # Panics
    /// When `nth` is 0.
    pub fn cut_at_flush(&self, nth: u64) {
        assert!(nth > 0, "flushes are counted from 1");
        self.shared.state().cut_at_flush = Some(nth - 1);
    }

    /// Forwards the flush that is the `nth` from now (1: the very next) and closes its connection towards the client, so
    /// that the server acts on it and nobody hears the answer; once.
    ///
    /// # Panics
    /// When `nth` is 0.
    pub fn cut_after_flush(&self, nth: u64) {
        assert!(nth > 0, "flushes are counted from 1");
        self.shared.state().cut_after_flush = Some(nth - 1);
    }

    /// Swallows what goes in `direction`, as a link that is dead one way does.
    pub fn drop_direction(&self, direction: Direction) {
        self.shared.state().swallow = Some(direction);
    }

    /// Ends every fault; connections that were closed stay closed.
    pub fn restore(&self) {
        let mut state = self.shared.state();
        let State { counters, live, .. } = std::mem::take(&mut *state);
        *state = State { counters, live, ..State::default() };
        drop(state);
        self.shared.changed.notify_all();
    }

    /// What has passed so far.
    #[must_use]
    pub fn counters(&self) -> Counters {
        self.shared.state().counters
    }
}

impl Drop for FaultProxy {
    fn drop(&mut self) {
        let mut state = self.shared.state();
        state.closed = true;
        close_all(&mut state);
        drop(state);
        self.shared.changed.notify_all();
        let _ = TcpStream::connect(self.addr); // wakes the accepting thread, which then ends
    }
}

/// What the faults in force say about one chunk.
enum Passage {
    Forward(Instant),
    Swallow,
    /// Only the first bytes still pass, then the connection ends.
    Cut(usize),
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn accept(self: Arc<Self>, listener: &TcpListener) {
        for client in listener.incoming().flatten() {
            if self.state().closed {
                return;
            }
            if self.state().refusing {
                continue;
            }
            let shared = Arc::clone(&self);
            thread::spawn(move || shared.serve(client));
        }
    }

    fn serve(self: Arc<Self>, client: TcpStream) -> Option<()> {
        if !self.wait_while_frozen() {
            return None;
        }
        let server =
            TcpStream::connect(*self.upstream.lock().unwrap_or_else(PoisonError::into_inner)).ok()?;
        client.set_nodelay(true).ok()?;
        server.set_nodelay(true).ok()?;
        {
            let mut state = self.state();
            state.counters.connections += 1;
            state.live.retain(|stream| stream.peer_addr().is_ok());
            state.live.extend([client.try_clone().ok()?, server.try_clone().ok()?]);
        }
        let turn = Arc::new(Mutex::new(true)); // the client's next bytes begin a round trip
        self.pump(Direction::ToServer, client.try_clone().ok()?, server.try_clone().ok()?, Arc::clone(&turn));
        self.pump(Direction::ToClient, server, client, turn);
        Some(())
    }

    /// Two threads, so that a delay adds latency without limiting throughput: one reads and stamps, one waits and writes.
    fn pump(self: &Arc<Self>, way: Direction, from: TcpStream, to: TcpStream, turn: Arc<Mutex<bool>>) {
        let (sender, receiver) = sync_channel(IN_FLIGHT);
        let (reading, writing) = (Arc::clone(self), Arc::clone(self));
        thread::spawn(move || reading.read(way, from, &sender, &turn));
        thread::spawn(move || writing.write(&to, &receiver));
    }

    fn read(
        &self,
        way: Direction,
        mut from: TcpStream,
        sender: &SyncSender<(Instant, Vec<u8>)>,
        turn: &Mutex<bool>,
    ) {
        let mut buffer = vec![0; CHUNK];
        loop {
            let read = match from.read(&mut buffer) {
                Ok(0) => return, // the writer ends with the channel and passes the half-close on
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(_) => return,
                Ok(read) => read,
            };
            match self.judge(way, read, turn) {
                Passage::Swallow => {}
                Passage::Cut(allowed) => {
                    let _ = from.shutdown(Shutdown::Both);
                    let _ = sender.send((Instant::now(), buffer[..allowed].to_vec()));
                    return;
                }
                Passage::Forward(due) => {
                    if sender.send((due, buffer[..read].to_vec())).is_err() {
                        return;
                    }
                }
            }
        }
    }

    fn judge(&self, way: Direction, read: usize, turn: &Mutex<bool>) -> Passage {
        let mut turn = turn.lock().unwrap_or_else(PoisonError::into_inner);
        let mut state = self.state();
        let bytes = read as u64;
        if way == Direction::ToServer {
            state.counters.client_flushes += 1;
            state.counters.client_bytes += bytes;
            state.counters.round_trips += u64::from(std::mem::replace(&mut *turn, false));
            if spent(&mut state.cut_at_flush, 1).is_some() {
                return Passage::Cut(0);
            }
            if spent(&mut state.cut_after_flush, 1).is_some() {
                return Passage::Cut(read);
            }
            if let Some(allowed) = spent(&mut state.cut_after_bytes, bytes) {
                return Passage::Cut(usize::try_from(allowed).unwrap_or(read).min(read));
            }
        } else {
            state.counters.server_bytes += bytes;
            *turn = true;
        }
        if state.swallow == Some(way) {
            Passage::Swallow
        } else {
            Passage::Forward(Instant::now() + state.delay)
        }
    }

    fn write(&self, mut to: &TcpStream, receiver: &Receiver<(Instant, Vec<u8>)>) {
        for (due, chunk) in receiver {
            thread::sleep(due.saturating_duration_since(Instant::now()));
            if !self.wait_while_frozen() || to.write_all(&chunk).is_err() {
                let _ = to.shutdown(Shutdown::Both);
                return;
            }
        }
        let _ = to.shutdown(Shutdown::Write);
    }

    /// `false` when the proxy is gone.
    fn wait_while_frozen(&self) -> bool {
        let state = self.state();
        let waiting = |state: &mut State| state.frozen && !state.closed && !state.refusing;
        let state = self.changed.wait_while(state, waiting).unwrap_or_else(PoisonError::into_inner);
        !state.closed
    }
}

/// Takes `amount` from what may still pass. When that does not suffice, what was left, once.
fn spent(left: &mut Option<u64>, amount: u64) -> Option<u64> {
    let allowed = (*left)?;
    *left = allowed.checked_sub(amount);
    left.is_none().then_some(allowed)
}

fn close_all(state: &mut State) {
    for stream in state.live.drain(..) {
        let _ = stream.shutdown(Shutdown::Both);
    }
}
