#![expect(unsafe_code, reason = "raising a signal is C's")]

use std::time::Duration;

/// Raises `SIGPROF` in this thread so many times; what CPU time each took, with its handler. `None` where that cannot be had.
///
/// A handler must be installed: else the signal ends the process.
#[cfg(unix)]
pub(crate) fn profiling_signals(times: u32) -> Option<Duration> {
    let began = cpu_time()?;
    for _ in 0..times {
        // SAFETY: `raise` has no requirements of memory; what the handler does is its own affair, as with any signal.
        if unsafe { libc::raise(libc::SIGPROF) } != 0 {
            return None;
        }
    }
    cpu_time()?.checked_sub(began)?.checked_div(times)
}

/// Of this thread: what others do on a busy machine is not in it.
#[cfg(target_os = "linux")]
fn cpu_time() -> Option<Duration> {
    use rustix::time::{ClockId, clock_gettime};
    Duration::try_from(clock_gettime(ClockId::ThreadCPUTime)).ok()
}

#[cfg(all(unix, not(target_os = "linux")))]
fn cpu_time() -> Option<Duration> {
    None
}

/// There are no such signals here.
#[cfg(not(unix))]
pub(crate) fn profiling_signals(_: u32) -> Option<Duration> {
    None
}
