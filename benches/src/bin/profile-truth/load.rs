use std::hint::black_box;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// Objects a unit allocates: somewhat fewer than a million a second and core.
const OBJECTS: usize = 64;
/// Rounds of arithmetic a unit does beside.
const ROUNDS: u64 = 140_000;

/// What a thread did.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Done {
    pub(crate) units: u64,
    pub(crate) cpu: Duration,
}

/// CPU time of this thread, or of the process.
pub(crate) fn cpu_time(clock: ClockId) -> Duration {
    Duration::try_from(clock_gettime(clock)).unwrap_or_default()
}

/// Works until told to end: allocates, touches, frees, and calculates.
pub(crate) fn work(ended: &AtomicBool) -> Done {
    let began = cpu_time(ClockId::ThreadCPUTime);
    let mut units = 0;
    while !ended.load(Ordering::Relaxed) {
        black_box(unit(units));
        units += 1;
    }
    Done { units, cpu: cpu_time(ClockId::ThreadCPUTime).saturating_sub(began) }
}

#[inline(never)]
fn unit(number: u64) -> u64 {
    let objects: Vec<Vec<u8>> = (0..OBJECTS).map(|at| vec![1; 16 + (at * 97) % 2_000]).collect();
    let touched: usize = objects.iter().map(Vec::len).sum();
    let sum = (0..ROUNDS).fold(number, |sum, round| black_box(sum.rotate_left(5) ^ round));
    black_box(sum ^ touched as u64)
}
