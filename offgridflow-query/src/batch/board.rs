//! Where the outcomes of the rows of one push are written up, one slot a row.

use crate::batch::outcome::Outcome;
use std::mem::replace;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

/// One allocation for all rows that were pushed together.
#[derive(Debug)]
pub(crate) struct Board<R> {
    slots: Box<[Mutex<Slot<R>>]>,
}

#[derive(Debug)]
enum Slot<R> {
    /// The outcome is not known yet; who waits for it.
    Open(Option<Waker>),
    Told(Outcome<R>),
    /// The outcome was taken, or nobody wants it.
    Over,
}

impl<R> Board<R> {
    pub(crate) fn new(rows: usize) -> Self {
        Self { slots: (0..rows).map(|_| Mutex::new(Slot::Open(None))).collect() }
    }

    pub(crate) fn rows(&self) -> usize {
        self.slots.len()
    }

    /// Writes up the outcome of row `at`, once; it comes back if nobody wants it.
    pub(crate) fn tell(&self, at: usize, outcome: Outcome<R>) -> Option<Outcome<R>> {
        let mut slot = self.slot(at);
        let Slot::Open(waker) = &mut *slot else { return Some(outcome) };
        let waker = waker.take();
        *slot = Slot::Told(outcome);
        drop(slot);
        if let Some(waker) = waker {
            waker.wake();
        }
        None
    }

    /// The outcome of row `at`, which is given out once.
    ///
    /// # Panics
    /// If it was given out before.
    pub(crate) fn poll(&self, at: usize, cx: &mut Context<'_>) -> Poll<Outcome<R>> {
        let mut slot = self.slot(at);
        if let Slot::Open(waker) = &mut *slot {
            match waker {
                Some(waker) => waker.clone_from(cx.waker()),
                None => *waker = Some(cx.waker().clone()),
            }
            return Poll::Pending;
        }
        match replace(&mut *slot, Slot::Over) {
            Slot::Told(outcome) => Poll::Ready(outcome),
            Slot::Open(_) | Slot::Over => panic!("an outcome is given out once"),
        }
    }

    /// Nobody wants the outcome of row `at` any more; it comes back if it was told and not taken.
    pub(crate) fn forget(&self, at: usize) -> Option<Outcome<R>> {
        let gone = replace(&mut *self.slot(at), Slot::Over);
        match gone {
            Slot::Told(outcome) => Some(outcome),
            Slot::Open(_) | Slot::Over => None,
        }
    }

    fn slot(&self, at: usize) -> MutexGuard<'_, Slot<R>> {
        self.slots[at].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::outcome::{Fate, Receipt};
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;

    #[derive(Default)]
    struct Wakes(AtomicUsize);

    impl Wake for Wakes {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    fn outcome(flush: u64) -> Outcome<()> {
        Outcome::Settled(Receipt { flush, fate: Fate::Committed })
    }

    #[test]
    fn who_waits_is_woken_once_and_told_once() {
        let (board, wakes) = (Board::new(2), Arc::new(Wakes::default()));
        let waker = Waker::from(Arc::clone(&wakes));
        let mut cx = Context::from_waker(&waker);
        assert!(board.poll(1, &mut cx).is_pending() && board.poll(1, &mut cx).is_pending());
        assert!(board.tell(0, outcome(1)).is_none() && board.tell(1, outcome(2)).is_none());
        assert_eq!(wakes.0.load(Ordering::SeqCst), 1);
        let told = [0, 1].map(|at| board.poll(at, &mut cx));
        assert!(matches!(
            told,
            [
                Poll::Ready(Outcome::Settled(Receipt { flush: 1, .. })),
                Poll::Ready(Outcome::Settled(Receipt { flush: 2, .. }))
            ]
        ));
    }

    #[test]
    fn what_nobody_wants_comes_back() {
        let board = Board::new(2);
        assert!(board.forget(0).is_none());
        assert!(board.tell(0, outcome(1)).is_some());
        assert!(board.tell(1, outcome(1)).is_none());
        assert!(board.forget(1).is_some());
        assert!(board.tell(1, outcome(1)).is_some(), "known, and not asked for");
    }
}
