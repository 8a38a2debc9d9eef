//! This machine's floors: the least code that wakes at an instant, alone, and with a request to send and an answer to read.

use std::{
    io::{ErrorKind, Read, Write},
    net::TcpStream,
};

use rustix::{
    event::{PollFd, PollFlags, poll},
    fd::OwnedFd,
    time::{
        ClockId, Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, clock_gettime,
        timerfd_create, timerfd_settime,
    },
};

use crate::Failure;

/// Enough for what a healthy server has open at 10 000 requests a second.
const CONNECTIONS: usize = 16;
const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n";

/// How late a thread with nothing else to do wakes from a timer set to absolute instants, in microseconds.
pub(crate) fn timer(per_sec: u32, seconds: u32) -> Result<Vec<f64>, Failure> {
    let timer = timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::CLOEXEC)?;
    lags(per_sec, seconds, |due| {
        if monotonic() < due {
            arm(&timer, due)?;
            rustix::io::read(&timer, &mut [0; 8])?;
        }
        Ok(monotonic())
    })
}

/// The same thread with HTTP at its barest: at each instant the same bytes to whichever connection is free, and answers
/// are read, not parsed, while nothing is due. How late it comes to send, in microseconds.
pub(crate) fn client(address: &str, per_sec: u32, seconds: u32) -> Result<Vec<f64>, Failure> {
    let timer = timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::CLOEXEC)?;
    let mut connections = Connections::open(address)?;
    lags(per_sec, seconds, |due| {
        while monotonic() < due || connections.free.is_empty() {
            arm(&timer, due)?;
            connections.read_until(&timer)?;
        }
        let began = monotonic();
        connections.send()?;
        Ok(began)
    })
}

/// What `begin` makes of each instant of an even schedule.
#[expect(clippy::cast_precision_loss, reason = "lags of a few seconds")]
fn lags(
    per_sec: u32,
    seconds: u32,
    mut begin: impl FnMut(i64) -> Result<i64, Failure>,
) -> Result<Vec<f64>, Failure> {
    let start = monotonic() + 1_000_000;
    (0..i64::from(per_sec * seconds))
        .map(|k| {
            let due = start + k * 1_000_000_000 / i64::from(per_sec);
            Ok((begin(due)? - due) as f64 / 1e3)
        })
        .collect()
}

fn arm(timer: &OwnedFd, due: i64) -> Result<(), Failure> {
    let it_interval = Timespec { tv_sec: 0, tv_nsec: 0 };
    let it_value = Timespec { tv_sec: due / 1_000_000_000, tv_nsec: due % 1_000_000_000 };
    timerfd_settime(timer, TimerfdTimerFlags::ABSTIME, &Itimerspec { it_interval, it_value })?;
    Ok(())
}

fn monotonic() -> i64 {
    let now = clock_gettime(ClockId::Monotonic);
    now.tv_sec * 1_000_000_000 + now.tv_nsec
}

struct Connections {
    streams: Vec<TcpStream>,
    free: Vec<usize>,
    buffer: [u8; 4096],
}

impl Connections {
    fn open(address: &str) -> Result<Self, Failure> {
        let streams = (0..CONNECTIONS).map(|_| connect(address)).collect::<Result<Vec<_>, _>>()?;
        Ok(Self { streams, free: (0..CONNECTIONS).collect(), buffer: [0; 4096] })
    }

    fn send(&mut self) -> Result<(), Failure> {
        let at = self.free.pop().ok_or("no connection is free")?;
        Ok(self.streams[at].write_all(REQUEST)?)
    }

    /// Sleeps until the timer or an answer, and reads what has come.
    fn read_until(&mut self, timer: &OwnedFd) -> Result<(), Failure> {
        let mut waits = Vec::with_capacity(1 + CONNECTIONS);
        waits.push(PollFd::new(timer, PollFlags::IN));
        waits.extend(self.streams.iter().map(|stream| PollFd::new(stream, PollFlags::IN)));
        poll(&mut waits, None)?;
        let ready: Vec<usize> =
            (0..CONNECTIONS).filter(|at| waits[at + 1].revents().contains(PollFlags::IN)).collect();
        for at in ready {
            match self.streams[at].read(&mut self.buffer) {
                Ok(0) => return Err("the server closed a connection".into()),
                Ok(_) => self.free.push(at), // its answers are one segment
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }
}

fn connect(address: &str) -> Result<TcpStream, Failure> {
    let stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    stream.set_nonblocking(true)?;
    Ok(stream)
}
