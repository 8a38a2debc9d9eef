//! What only Linux offers: a timer finer than a millisecond, the limit on open files, and how a run used the machine.

pub(crate) mod usage;

use std::{io, os::fd::OwnedFd, time::Duration};

use rustix::{
    process::{Resource, Rlimit, getrlimit, setrlimit},
    time::{
        Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
        timerfd_settime,
    },
};
use tokio::io::{Interest, unix::AsyncFd};

/// A timerfd in the runtime's poll set.
#[derive(Debug)]
pub(crate) struct PreciseTimer {
    fd: AsyncFd<OwnedFd>,
}

impl PreciseTimer {
    #[expect(
        deprecated,
        reason = "the constructor without `unsafe`; an OwnedFd stays open as long as its AsyncFd"
    )]
    pub(crate) fn new() -> io::Result<Self> {
        let fd = timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC)?;
        Ok(Self { fd: AsyncFd::with_interest(fd, Interest::READABLE)? })
    }

    /// Sleeps for `duration`. Two system calls: arming clears the last expiry, so it need not be read.
    pub(crate) async fn sleep(&mut self, duration: Duration) -> io::Result<()> {
        let zero = Timespec { tv_sec: 0, tv_nsec: 0 };
        let value = Timespec {
            tv_sec: i64::try_from(duration.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: duration.subsec_nanos().into(),
        };
        timerfd_settime(
            &self.fd,
            TimerfdTimerFlags::empty(),
            &Itimerspec { it_interval: zero, it_value: value },
        )?;
        self.fd.readable().await?.clear_ready();
        Ok(())
    }
}

/// Raises the soft limit on open files towards `need` as far as the hard limit allows; returns the limit.
pub(crate) fn raise_open_files(need: u64) -> u64 {
    let limit = getrlimit(Resource::Nofile);
    let (Some(soft), hard) = (limit.current, limit.maximum) else { return u64::MAX };
    let wanted = need.min(hard.unwrap_or(u64::MAX));
    if soft >= wanted {
        return soft;
    }
    let raised = setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), maximum: hard });
    if raised.is_ok() { wanted } else { soft }
}
