#![expect(unsafe_code, reason = "raising a signal is C's")]

use std::time::{Duration, Instant};

/// Raises `SIGPROF` in this thread so many times; how long each took, with its handler. `None` where that cannot be had.
///
/// A handler must be installed: else the signal ends the process.
#[cfg(unix)]
pub(crate) fn profiling_signals(times: u32) -> Option<Duration> {
    let began = Instant::now();
    for _ in 0..times {
        // SAFETY: `raise` has no requirements of memory; what the handler does is its own affair, as with any signal.
        if unsafe { libc::raise(libc::SIGPROF) } != 0 {
            return None;
        }
    }
    began.elapsed().checked_div(times)
}

/// There are no such signals here.
#[cfg(not(unix))]
pub(crate) fn profiling_signals(_: u32) -> Option<Duration> {
    None
}
