//! Turns: first come first served in each lane, a reserve that background work cannot take, and no waiting in vain.

use crate::pool::Lane;
use std::time::Duration;
use tokio::sync::{AcquireError, Semaphore, SemaphorePermit, TryAcquireError};

/// Returns seen before the forecast of a wait is believed.
const SEEN_BEFORE_FORECAST: u64 = 64;

/// The pool is closed.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Closed;

impl From<AcquireError> for Closed {
    fn from(_: AcquireError) -> Self {
        Self
    }
}

/// The turns of one pool. A turn that was taken is given back with [`leave`](Self::leave).
#[derive(Debug)]
pub(crate) struct Lanes {
    all: Semaphore,
    background: Semaphore, // `places` less the reserve; background work needs one of these first
    places: usize,
    reserve: usize, // < places
}

impl Lanes {
    pub(crate) fn new(places: usize, reserve: usize) -> Self {
        let reserve = reserve.min(places.saturating_sub(1));
        Self { all: Semaphore::new(places), background: Semaphore::new(places - reserve), places, reserve }
    }

    /// Places that a lane can have at most.
    pub(crate) fn width(&self, lane: Lane) -> usize {
        match lane {
            Lane::Interactive => self.places,
            Lane::Background => self.places - self.reserve,
        }
    }

    /// Takes a turn that is free now; `false` if there is none. Never overtakes somebody who waits.
    pub(crate) fn try_enter(&self, lane: Lane) -> Result<bool, Closed> {
        let background = match lane {
            Lane::Interactive => None,
            Lane::Background => match free(self.background.try_acquire())? {
                None => return Ok(false),
                turn => turn,
            },
        };
        let Some(all) = free(self.all.try_acquire())? else { return Ok(false) };
        take(all, background);
        Ok(true)
    }

    /// Waits for a turn.
    ///
    /// # Cancel safety
    /// A drop gives up the turn and nothing else.
    pub(crate) async fn enter(&self, lane: Lane) -> Result<(), Closed> {
        let background = match lane {
            Lane::Interactive => None,
            Lane::Background => Some(self.background.acquire().await?),
        };
        take(self.all.acquire().await?, background);
        Ok(())
    }

    /// Gives a turn back.
    pub(crate) fn leave(&self, lane: Lane) {
        self.all.add_permits(1);
        if lane == Lane::Background {
            self.background.add_permits(1);
        }
    }

    /// Refuses whoever waits and whoever comes.
    pub(crate) fn close(&self) {
        self.all.close();
        self.background.close();
    }
}

fn free<'a>(
    turn: Result<SemaphorePermit<'a>, TryAcquireError>,
) -> Result<Option<SemaphorePermit<'a>>, Closed> {
    match turn {
        Ok(turn) => Ok(Some(turn)),
        Err(TryAcquireError::NoPermits) => Ok(None),
        Err(TryAcquireError::Closed) => Err(Closed),
    }
}

fn take(all: SemaphorePermit<'_>, background: Option<SemaphorePermit<'_>>) {
    all.forget();
    if let Some(background) = background {
        background.forget();
    }
}

/// What somebody who is about to queue can know about the wait.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Queue {
    /// Callers that came before.
    pub(crate) ahead: usize,
    /// Places that serve them.
    pub(crate) places: usize,
    /// How long a place is taken, as a moving mean over the latest returns.
    pub(crate) occupied: Duration,
    /// Returns that the mean rests on.
    pub(crate) seen: u64,
}

impl Queue {
    /// When a turn can be expected: `places` leave every `occupied`, and everybody ahead goes first.
    pub(crate) fn expected_wait(&self) -> Duration {
        let turns = u32::try_from(self.ahead + 1).unwrap_or(u32::MAX);
        self.occupied.saturating_mul(turns) / u32::try_from(self.places.max(1)).unwrap_or(u32::MAX)
    }

    /// Whether waiting for `left` is in vain.
    ///
    /// Says so only on good grounds: the mean rests on enough returns, a whole generation of holders has to leave
    /// before this caller, and even at twice the present pace the turn would come too late. So a wrong forecast
    /// costs waiting, as without one, rather than refusals; and as callers are refused the queue gets shorter, which
    /// ends the refusing.
    pub(crate) fn is_hopeless(&self, left: Duration) -> bool {
        self.seen >= SEEN_BEFORE_FORECAST
            && self.ahead >= self.places
            && self.expected_wait() > left.saturating_mul(2)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUEUE: Queue = Queue { ahead: 39, places: 4, occupied: Duration::from_millis(10), seen: 64 };

    #[test]
    fn the_wait_is_that_of_everybody_ahead() {
        assert_eq!(QUEUE.expected_wait(), Duration::from_millis(100));
        assert_eq!(Queue { ahead: 0, ..QUEUE }.expected_wait(), Duration::from_micros(2_500));
    }

    #[test]
    fn only_a_wait_of_twice_the_patience_is_hopeless() {
        assert!(QUEUE.is_hopeless(Duration::from_millis(49)));
        assert!(!QUEUE.is_hopeless(Duration::from_millis(51)));
    }

    #[test]
    fn a_forecast_needs_evidence_and_a_queue() {
        let left = Duration::from_millis(1);
        assert!(!Queue { seen: 63, ..QUEUE }.is_hopeless(left), "too few returns");
        assert!(
            !Queue { ahead: 3, occupied: Duration::from_secs(9), ..QUEUE }.is_hopeless(left),
            "one generation"
        );
    }

    #[test]
    fn nothing_overflows() {
        let queue = Queue { ahead: usize::MAX - 1, places: 0, occupied: Duration::MAX, seen: u64::MAX };
        assert_eq!(queue.expected_wait(), Duration::MAX);
        assert!(!queue.is_hopeless(Duration::MAX));
    }

    #[tokio::test]
    async fn a_turn_of_the_reserve_is_not_for_background_work() {
        let lanes = Lanes::new(2, 1);
        assert_eq!((lanes.width(Lane::Interactive), lanes.width(Lane::Background)), (2, 1));
        assert_eq!(lanes.try_enter(Lane::Background), Ok(true));
        assert_eq!(lanes.try_enter(Lane::Background), Ok(false));
        assert_eq!(lanes.try_enter(Lane::Interactive), Ok(true));
        assert_eq!(lanes.try_enter(Lane::Interactive), Ok(false));
        lanes.leave(Lane::Background);
        assert_eq!(lanes.try_enter(Lane::Background), Ok(true), "a turn comes back whole");
        lanes.close();
        assert_eq!(lanes.try_enter(Lane::Interactive), Err(Closed));
        assert_eq!(lanes.enter(Lane::Background).await, Err(Closed));
    }

    #[test]
    fn background_work_always_has_a_place() {
        assert_eq!(Lanes::new(1, 1).width(Lane::Background), 1);
    }
}
