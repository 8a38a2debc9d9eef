//! A server that notes when each request came, and can be slow, capped or short-lived.

use std::{cell::RefCell, process::Command, rc::Rc, time::Duration};

use rustix::time::{ClockId, clock_gettime};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
    sync::Semaphore,
    time::{Instant, sleep_until},
};

use crate::{Failure, child::Process};

const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello";
/// More than a freeze can pile up.
const BACKLOG: u32 = 8_192;
/// How many arrivals are kept.
const KEPT: usize = 4_000_000;

/// How a server behaves.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Behaviour {
    /// How long each answer takes.
    pub(crate) delay: Duration,
    /// How many answers a second at most; 0 without limit.
    pub(crate) per_sec: u64,
    /// Whether it never sleeps, so that when it notes an arrival does not depend on how long the machine takes to wake it.
    pub(crate) awake: bool,
}

/// A running server.
pub(crate) struct Server {
    pub(crate) process: Process,
    pub(crate) url: String,
    address: String,
}

impl Server {
    pub(crate) fn start(behaviour: Behaviour) -> Result<Self, Failure> {
        Self::run(&Self::command(behaviour)?)
    }

    pub(crate) fn command(behaviour: Behaviour) -> Result<Command, Failure> {
        let mut command = Command::new(std::env::current_exe()?);
        let Behaviour { delay, per_sec, awake } = behaviour;
        let numbers = [delay.as_micros(), per_sec.into(), awake.into()];
        command.arg("serve").args(numbers.map(|number| number.to_string()));
        Ok(command)
    }

    /// The same, from a command that may be pinned.
    pub(crate) fn run(command: &Command) -> Result<Self, Failure> {
        let mut again = Command::new(command.get_program());
        again.args(command.get_args());
        let (process, address) = Process::greeting(again)?;
        Ok(Self { process, url: format!("http://{address}/"), address })
    }

    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// Forgets the arrivals so far.
    pub(crate) fn reset(&self) -> Result<(), Failure> {
        self.ask("/reset").map(drop)
    }

    /// When requests came, in nanoseconds of the monotonic clock, in order.
    pub(crate) fn arrivals(&self) -> Result<Vec<u64>, Failure> {
        let text = self.ask("/arrivals")?;
        let mut arrivals: Vec<u64> = text.lines().filter_map(|line| line.parse().ok()).collect();
        arrivals.sort_unstable();
        Ok(arrivals)
    }

    fn ask(&self, path: &str) -> Result<String, Failure> {
        use std::io::{Read, Write};
        let mut stream = std::net::TcpStream::connect(&self.address)?;
        stream.set_read_timeout(Some(Duration::from_secs(20)))?;
        write!(stream, "GET {path} HTTP/1.1\r\nhost: x\r\n\r\n")?;
        let mut text = String::new();
        stream.read_to_string(&mut text)?;
        Ok(text.split_once("\r\n\r\n").map_or(String::new(), |(_, body)| body.to_owned()))
    }
}

/// `serve DELAY_US PER_SEC AWAKE`: prints its address, and serves until it is killed.
pub(crate) fn main(arguments: &[String]) -> Result<(), Failure> {
    let number = |at: usize| arguments.get(at).and_then(|text| text.parse::<u64>().ok()).unwrap_or(0);
    let behaviour =
        Behaviour { delay: Duration::from_micros(number(0)), per_sec: number(1), awake: number(2) != 0 };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().event_interval(4).build()?;
    tokio::task::LocalSet::new().block_on(&runtime, listen(behaviour))
}

struct State {
    behaviour: Behaviour,
    arrivals: RefCell<Vec<u64>>,
    turn: Semaphore,                     // one at a time, if there is a cap
    free_from: RefCell<Option<Instant>>, // when the next answer may go
}

async fn listen(behaviour: Behaviour) -> Result<(), Failure> {
    let socket = TcpSocket::new_v4()?;
    socket.bind("127.0.0.1:0".parse()?)?;
    let listener = socket.listen(BACKLOG)?;
    println!("{}", listener.local_addr()?);
    let state = Rc::new(State {
        behaviour,
        arrivals: RefCell::new(Vec::with_capacity(KEPT)),
        turn: Semaphore::new(1),
        free_from: RefCell::new(None),
    });
    if behaviour.awake {
        tokio::task::spawn_local(async {
            loop {
                tokio::task::yield_now().await;
            }
        });
    }
    loop {
        let (stream, _) = listener.accept().await?;
        let state = Rc::clone(&state);
        tokio::task::spawn_local(async move { drop(serve(stream, &state).await) });
    }
}

async fn serve(mut stream: TcpStream, state: &State) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let (mut buffer, mut held) = (vec![0; 16 * 1024], 0);
    loop {
        let read = stream.read(&mut buffer[held..]).await?;
        if read == 0 {
            return Ok(());
        }
        held += read;
        while let Some(end) = buffer[..held].windows(4).position(|bytes| bytes == b"\r\n\r\n") {
            let arrived = monotonic();
            if buffer.starts_with(b"GET /reset") {
                state.arrivals.borrow_mut().clear();
                return stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await;
            }
            if buffer.starts_with(b"GET /arrivals") {
                let listing = listing(&state.arrivals.borrow());
                return stream.write_all(listing.as_bytes()).await;
            }
            note(state, arrived);
            wait(state).await;
            stream.write_all(ANSWER).await?;
            buffer.copy_within(end + 4..held, 0);
            held -= end + 4;
        }
    }
}

fn note(state: &State, arrived: u64) {
    let mut arrivals = state.arrivals.borrow_mut();
    if arrivals.len() < KEPT {
        arrivals.push(arrived);
    }
}

async fn wait(state: &State) {
    let Behaviour { delay, per_sec, .. } = state.behaviour;
    if per_sec > 0 {
        let _turn = state.turn.acquire().await;
        let now = Instant::now();
        let mine = state.free_from.borrow().map_or(now, |free| free.max(now));
        *state.free_from.borrow_mut() =
            Some(mine + Duration::from_secs(1) / u32::try_from(per_sec).unwrap_or(u32::MAX));
        if mine > now + Duration::from_millis(1) {
            sleep_until(mine).await;
        }
    }
    if !delay.is_zero() {
        sleep_until(Instant::now() + delay).await;
    }
}

fn listing(arrivals: &[u64]) -> String {
    let body: String = arrivals.iter().map(|at| format!("{at}\n")).collect();
    format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len())
}

fn monotonic() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    u64::try_from(i128::from(now.tv_sec) * 1_000_000_000 + i128::from(now.tv_nsec)).unwrap_or(0)
}
