//! A counter that many threads add to at no more cost than one.

use std::cell::Cell;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

/// Threads that have a stripe of their own; all others share one more.
const OWN: usize = 63;

/// A stripe a thread, 128 bytes apart because cores fetch two lines at once: 8 KiB.
#[derive(Debug)]
pub(crate) struct Striped {
    stripes: Box<[Stripe]>,
}

#[derive(Debug, Default)]
#[repr(align(128))]
struct Stripe(AtomicU64);

impl Default for Striped {
    fn default() -> Self {
        Self { stripes: std::iter::repeat_with(Stripe::default).take(OWN + 1).collect() }
    }
}

impl Striped {
    /// Counts one; what this thread's stripe counted before.
    #[inline]
    pub(crate) fn count(&self) -> u64 {
        let mut index = INDEX.get();
        if index == NONE_YET {
            index = take_seat();
        }
        let stripe = &self.stripes[index].0;
        if index == OWN {
            return stripe.fetch_add(1, Ordering::Relaxed);
        }
        // No other thread writes here: a load and a store are enough, and cost less than a locked addition.
        let before = stripe.load(Ordering::Relaxed);
        stripe.store(before + 1, Ordering::Relaxed);
        before
    }

    pub(crate) fn get(&self) -> u64 {
        self.stripes.iter().map(|stripe| stripe.0.load(Ordering::Relaxed)).sum()
    }
}

thread_local! {
    /// Which stripe this thread counts on, in every counter. Without a destructor, so that reading it is one load.
    static INDEX: Cell<usize> = const { Cell::new(NONE_YET) };
    /// Gives the stripe back when the thread ends, through a lock: its next owner sees its counts.
    static SEAT: Seat = Seat::take();
}

const NONE_YET: usize = usize::MAX;

static SEATS: Mutex<Seats> = Mutex::new(Seats { given: 0, back: Vec::new() });

struct Seats {
    given: usize, // at most `OWN`
    back: Vec<usize>,
}

struct Seat(usize);

/// The first time in a thread; and after its end, when what is left of it shares a stripe.
#[cold]
fn take_seat() -> usize {
    let index = SEAT.try_with(|seat| seat.0).unwrap_or(OWN);
    INDEX.set(index);
    index
}

impl Seat {
    fn take() -> Self {
        let mut seats = SEATS.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(index) = seats.back.pop() {
            return Self(index);
        }
        let index = seats.given;
        seats.given = (index + 1).min(OWN);
        Self(index)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        INDEX.set(OWN);
        if self.0 < OWN {
            SEATS.lock().unwrap_or_else(PoisonError::into_inner).back.push(self.0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_lost_though_more_threads_count_than_have_a_stripe_and_stripes_change_hands() {
        let counter = Striped::default();
        for _ in 0..3 {
            std::thread::scope(|scope| {
                for _ in 0..2 * OWN {
                    scope.spawn(|| {
                        for _ in 0..1_000 {
                            counter.count();
                        }
                    });
                }
            });
        }
        assert_eq!(counter.get(), 3 * 2 * OWN as u64 * 1_000);
    }

    #[test]
    fn a_thread_is_told_what_it_counted_before() {
        let counter = Striped::default();
        assert_eq!((counter.count(), counter.count(), counter.get()), (0, 1, 2));
    }
}
