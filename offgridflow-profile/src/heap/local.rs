//! What each thread keeps: how many bytes are left until the next sample.

use std::cell::Cell;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::clock;
use super::gap::Gap;

/// Mean bytes between samples; 0: none are taken.
static RATE: AtomicU64 = AtomicU64::new(0);
/// Threads that have a gap of their own.
static THREADS: AtomicU64 = AtomicU64::new(1);
/// While nothing is sampled, each thread looks again after so many bytes.
const LOOK_AGAIN: i64 = 64 << 10;

/// No destructor and a constant start, so that it can be used before `main` and while a thread ends.
struct Local {
    left: Cell<i64>,
    gap: Cell<Option<Gap>>,
    busy: Cell<bool>,
    rate: Cell<u64>,
}

thread_local! {
    static LOCAL: Local =
        const { Local { left: Cell::new(0), gap: Cell::new(None), busy: Cell::new(false), rate: Cell::new(0) } };
}

/// From now on; other threads notice at their next look.
pub(super) fn set_rate(bytes: u64) {
    clock::now_ms(); // begun here, it is never found half begun by a child that is forked while another thread samples
    RATE.store(bytes, Relaxed);
    LOCAL.with(|local| local.left.set(0));
}

/// Counts an allocation of `size` bytes; whether it may be due for a sample. This is all that most allocations pay.
#[inline]
pub(super) fn counts(size: usize) -> bool {
    LOCAL.with(|local| {
        #[expect(clippy::cast_possible_wrap, reason = "no allocation exceeds isize::MAX")]
        let left = local.left.get().wrapping_sub(size as i64);
        local.left.set(left);
        left < 0
    })
}

/// Runs `sample` with the rate, if a sample is due and none is being taken by this thread; `None` otherwise.
#[cold]
#[inline(never)]
pub(super) fn due<R>(size: usize, sample: impl FnOnce(f64) -> R) -> Option<R> {
    LOCAL.with(|local| {
        if local.busy.replace(true) {
            return None; // what sampling itself allocates
        }
        let result = local.begin(size).map(sample);
        local.busy.set(false);
        result
    })
}

impl Local {
    /// The rate, if the allocation of `size` bytes that has just been counted is to be sampled.
    #[expect(clippy::cast_possible_truncation, clippy::cast_precision_loss, reason = "gaps of megabytes")]
    fn begin(&self, size: usize) -> Option<f64> {
        let rate = RATE.load(Relaxed);
        let mut gap = self.gap.get().unwrap_or_else(|| Gap::seeded(seed(self)));
        let fresh = self.rate.replace(rate) != rate; // the countdown was of another rate, or of none
        if fresh && rate > 0 {
            self.left.set(gap.next(rate as f64) as i64 - size as i64);
        }
        let sampled = rate > 0 && self.left.get() < 0;
        if sampled {
            self.left.set(gap.next(rate as f64) as i64);
        } else if rate == 0 {
            self.left.set(LOOK_AGAIN);
        }
        self.gap.set(Some(gap));
        sampled.then_some(rate as f64)
    }
}

/// Another one for each thread and each run: addresses are laid out at random.
fn seed(local: &Local) -> u64 {
    let address = std::ptr::from_ref(local).addr() as u64;
    THREADS.fetch_add(1, Relaxed).wrapping_mul(0xD134_2543_DE82_EF95) ^ address.rotate_left(32)
}

/// Bytes left until this thread's next sample.
pub(super) fn left() -> i64 {
    LOCAL.with(|local| local.left.get())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A child that is forked while another thread begins to count time would wait for that thread for ever.
    #[test]
    fn the_clock_runs_before_anything_is_sampled() {
        set_rate(0);
        assert!(clock::has_begun());
    }
}
