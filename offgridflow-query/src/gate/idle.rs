//! Connections at hand: a stack, so that the ones used last are lent first and the rest grow old and close.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::Instant;

/// What the stack needs to know of a connection.
pub(crate) trait Idle {
    /// Since when nobody uses it.
    fn idle_since(&self) -> Instant;
    /// When it last answered.
    fn proven(&self) -> Instant;
    /// When it is too old.
    fn expires(&self) -> Option<Instant>;
}

impl<T: Idle> Idle for Box<T> {
    fn idle_since(&self) -> Instant {
        (**self).idle_since()
    }

    fn proven(&self) -> Instant {
        (**self).proven()
    }

    fn expires(&self) -> Option<Instant> {
        (**self).expires()
    }
}

/// Why a connection leaves the stack without being lent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Leaving {
    /// Too old.
    Retired,
    /// More than are to be kept.
    Surplus,
}

/// Somebody who waits for a connection that is given back. One that comes too late goes on the stack.
pub(crate) struct Seeker<'a, T: Idle> {
    stack: &'a IdleStack<T>,
    given: oneshot::Receiver<T>,
}

impl<T: Idle> Seeker<'_, T> {
    /// The connection; `None` once all is closed.
    pub(crate) async fn given(&mut self) -> Option<T> {
        (&mut self.given).await.ok()
    }
}

impl<T: Idle> Drop for Seeker<'_, T> {
    fn drop(&mut self) {
        self.given.close();
        if let Ok(late) = self.given.try_recv() {
            let _ = self.stack.put_back(late); // closed meanwhile: it goes as well
        }
    }
}

/// Connections at hand; as many as were ever taken at once, at most.
#[derive(Debug)]
pub(crate) struct IdleStack<T: Idle> {
    seekers: Mutex<VecDeque<oneshot::Sender<T>>>, // those who would take one in place of the one that they are opening; locked before `stack`
    stack: Mutex<Option<Vec<T>>>,                 // by `idle_since`, the latest last; `None` once closed
    max_idle: usize,
    linger: Duration,
}

impl<T: Idle> IdleStack<T> {
    pub(crate) fn new(max_idle: usize, linger: Duration) -> Self {
        Self { seekers: Mutex::default(), stack: Mutex::new(Some(Vec::new())), max_idle, linger }
    }

    fn stack(&self) -> MutexGuard<'_, Option<Vec<T>>> {
        self.stack.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn len(&self) -> usize {
        self.stack().as_ref().map_or(0, Vec::len)
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.stack().is_none()
    }

    /// Those who look for a connection. While they are held, whoever comes to look finds what is put on the stack.
    fn seekers(&self) -> MutexGuard<'_, VecDeque<oneshot::Sender<T>>> {
        self.seekers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps a connection, or gives it back: to be closed at once because there are enough, or because all is closed.
    pub(crate) fn push(&self, idle: T) -> Result<(), (T, Leaving)> {
        let mut seekers = self.seekers();
        let Some(idle) = give(&mut seekers, idle) else { return Ok(()) };
        let mut stack = self.stack();
        match stack.as_mut() {
            None => Err((idle, Leaving::Retired)),
            Some(stack) if self.linger.is_zero() && stack.len() >= self.max_idle => {
                Err((idle, Leaving::Surplus))
            }
            Some(stack) => {
                stack.push(idle);
                Ok(())
            }
        }
    }

    /// Waits in line for a connection that is given back.
    pub(crate) fn seek(&self) -> Seeker<'_, T> {
        let (seeker, given) = oneshot::channel();
        let mut seekers = self.seekers();
        if !self.is_closed() {
            seekers.retain(|seeker| !seeker.is_closed()); // while a server is down nothing is given back, and many give up
            seekers.push_back(seeker);
        }
        Seeker { stack: self, given }
    }

    /// The connection used last.
    pub(crate) fn pop(&self) -> Option<T> {
        self.stack().as_mut()?.pop()
    }

    /// One that is to be closed: expired, or surplus that has lingered.
    pub(crate) fn take_leaving(&self, now: Instant) -> Option<(T, Leaving)> {
        let mut stack = self.stack();
        let stack = stack.as_mut()?;
        if let Some(at) = stack.iter().position(|idle| idle.expires().is_some_and(|end| end <= now)) {
            return Some((stack.remove(at), Leaving::Retired));
        }
        let oldest = stack.first().filter(|_| stack.len() > self.max_idle)?;
        let lingered = now.saturating_duration_since(oldest.idle_since()) >= self.linger;
        lingered.then(|| (stack.remove(0), Leaving::Surplus))
    }

    pub(crate) fn has_unproven(&self, before: Instant) -> bool {
        self.stack().as_ref().is_some_and(|stack| stack.iter().any(|idle| idle.proven() < before))
    }

    /// One that has not been tested since `before`; it comes back with [`put_back`](Self::put_back).
    pub(crate) fn take_unproven(&self, before: Instant) -> Option<T> {
        let mut stack = self.stack();
        let stack = stack.as_mut()?;
        let at = stack.iter().position(|idle| idle.proven() < before)?;
        Some(stack.remove(at))
    }

    /// Hands a connection to whoever looks for one, or puts it where it was by its idle time; gives it back if all is closed.
    pub(crate) fn put_back(&self, idle: T) -> Option<T> {
        let mut seekers = self.seekers();
        let idle = give(&mut seekers, idle)?;
        let mut stack = self.stack();
        let Some(stack) = stack.as_mut() else { return Some(idle) };
        let at = stack.partition_point(|other| other.idle_since() <= idle.idle_since());
        stack.insert(at, idle);
        None
    }

    /// Keeps nothing from now on, and gives what there was.
    pub(crate) fn close(&self) -> Vec<T> {
        let mut seekers = self.seekers();
        seekers.clear();
        self.stack().take().unwrap_or_default()
    }
}

/// Hands a connection to whoever has looked for one longest; back if nobody does.
fn give<T>(seekers: &mut VecDeque<oneshot::Sender<T>>, mut idle: T) -> Option<T> {
    while let Some(seeker) = seekers.pop_front() {
        match seeker.send(idle) {
            Ok(()) => return None,
            Err(given_up) => idle = given_up,
        }
    }
    Some(idle)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq)]
    struct Fake {
        since: Instant,
        proven: Instant,
        expires: Option<Instant>,
    }

    impl Idle for Fake {
        fn idle_since(&self) -> Instant {
            self.since
        }
        fn proven(&self) -> Instant {
            self.proven
        }
        fn expires(&self) -> Option<Instant> {
            self.expires
        }
    }

    const SECOND: Duration = Duration::from_secs(1);

    fn filled(start: Instant, max_idle: usize, n: u32) -> IdleStack<Fake> {
        let idle = IdleStack::new(max_idle, SECOND);
        for i in 0..n {
            let since = start + SECOND * i;
            idle.push(Fake { since, proven: since, expires: None }).unwrap();
        }
        idle
    }

    #[test]
    fn the_latest_is_lent_first() {
        let start = Instant::now();
        let idle = filled(start, 5, 3);
        assert_eq!(idle.pop().unwrap().since, start + 2 * SECOND);
        assert_eq!(idle.len(), 2);
    }

    #[test]
    fn surplus_lingers_and_then_the_oldest_leaves() {
        let start = Instant::now();
        let idle = filled(start, 2, 4);
        let half = SECOND / 2;
        assert!(idle.take_leaving(start + half).is_none(), "not yet");
        let (left, why) = idle.take_leaving(start + SECOND).unwrap();
        assert_eq!((left.since, why), (start, Leaving::Surplus));
        assert!(idle.take_leaving(start + 9 * SECOND).is_some());
        assert!(idle.take_leaving(start + 9 * SECOND).is_none(), "two are kept");
    }

    #[test]
    fn without_lingering_surplus_does_not_get_in() {
        let now = Instant::now();
        let idle = IdleStack::new(1, Duration::ZERO);
        let fake = || Fake { since: now, proven: now, expires: None };
        assert!(idle.push(fake()).is_ok());
        assert_eq!(idle.push(fake()).unwrap_err().1, Leaving::Surplus);
    }

    #[test]
    fn the_expired_leave_wherever_they_are() {
        let start = Instant::now();
        let idle = filled(start, 5, 2);
        idle.push(Fake { since: start + 2 * SECOND, proven: start, expires: Some(start + 5 * SECOND) })
            .unwrap();
        assert!(idle.take_leaving(start + 4 * SECOND).is_none());
        let (left, why) = idle.take_leaving(start + 5 * SECOND).unwrap();
        assert_eq!((left.expires.is_some(), why), (true, Leaving::Retired));
    }

    #[test]
    fn a_tested_connection_goes_back_to_its_place() {
        let start = Instant::now();
        let idle = filled(start, 5, 3);
        let mut tested = idle.take_unproven(start + SECOND).unwrap();
        assert_eq!(tested.since, start);
        tested.proven = start + 9 * SECOND;
        assert!(idle.put_back(tested).is_none());
        assert_eq!(idle.take_unproven(start + 2 * SECOND).unwrap().since, start + SECOND, "the next one");
        assert_eq!(idle.pop().unwrap().since, start + 2 * SECOND);
        assert_eq!(idle.pop().unwrap().since, start);
    }

    #[tokio::test]
    async fn one_that_is_given_back_goes_to_whoever_looks_for_it_first() {
        let now = Instant::now();
        let idle = IdleStack::new(5, SECOND);
        let fake = |expires| Fake { since: now, proven: now, expires };
        let (gone, mut first, mut second) = (idle.seek(), idle.seek(), idle.seek());
        drop(gone);
        idle.push(fake(None)).unwrap();
        assert_eq!((first.given().await, idle.len()), (Some(fake(None)), 0));
        idle.push(fake(Some(now))).unwrap();
        let mut third = idle.seek();
        drop(second);
        assert_eq!(third.given().await, Some(fake(Some(now))), "too late for the second, and the third's");
        assert!(idle.put_back(fake(None)).is_none());
        assert_eq!(idle.pop(), Some(fake(None)));
        second = idle.seek();
        assert!(idle.close().is_empty());
        assert_eq!(second.given().await, None);
    }

    #[test]
    fn those_who_gave_up_leave_nothing_behind() {
        let idle: IdleStack<Fake> = IdleStack::new(5, SECOND);
        (0..1_000).for_each(|_| drop(idle.seek()));
        assert_eq!(idle.seekers.lock().unwrap().len(), 1, "the last one goes with the next");
    }

    #[test]
    fn a_closed_stack_keeps_nothing() {
        let start = Instant::now();
        let idle = filled(start, 5, 3);
        assert_eq!(idle.close().len(), 3);
        let fake = || Fake { since: start, proven: start, expires: None };
        assert!(idle.push(fake()).is_err() && idle.put_back(fake()).is_some() && idle.pop().is_none());
    }
}
