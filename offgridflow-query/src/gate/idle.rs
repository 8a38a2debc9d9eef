//! Connections at hand: a stack, so that the ones used last are lent first and the rest grow old and close.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
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

/// Connections at hand; as many as were ever taken at once, at most.
#[derive(Debug)]
pub(crate) struct IdleStack<T> {
    stack: Mutex<Option<Vec<T>>>, // by `idle_since`, the latest last; `None` once closed
    max_idle: usize,
    linger: Duration,
}

impl<T: Idle> IdleStack<T> {
    pub(crate) fn new(max_idle: usize, linger: Duration) -> Self {
        Self { stack: Mutex::new(Some(Vec::new())), max_idle, linger }
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

    /// Keeps a connection, or gives it back: to be closed at once because there are enough, or because all is closed.
    pub(crate) fn push(&self, idle: T) -> Result<(), (T, Leaving)> {
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

    /// Puts a connection where it was by its idle time; gives it back if all is closed.
    pub(crate) fn put_back(&self, idle: T) -> Option<T> {
        let mut stack = self.stack();
        let Some(stack) = stack.as_mut() else { return Some(idle) };
        let at = stack.partition_point(|other| other.idle_since() <= idle.idle_since());
        stack.insert(at, idle);
        None
    }

    /// Keeps nothing from now on, and gives what there was.
    pub(crate) fn close(&self) -> Vec<T> {
        self.stack().take().unwrap_or_default()
    }
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

    #[test]
    fn a_closed_stack_keeps_nothing() {
        let start = Instant::now();
        let idle = filled(start, 5, 3);
        assert_eq!(idle.close().len(), 3);
        let fake = || Fake { since: start, proven: start, expires: None };
        assert!(idle.push(fake()).is_err() && idle.put_back(fake()).is_some() && idle.pop().is_none());
    }
}
