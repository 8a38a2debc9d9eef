//! Five instants of an operation, and the parts between them.

use std::time::Duration;

use tokio::time::Instant;

/// When one operation passed each of its five clocks, counted from the start of the run.
///
/// The parts sum to the whole: `dispatch_lag + admission_wait + service = response`.
///
/// ```
/// use {offgridflow_loadtest::OpTimes, std::time::Duration};
/// let ms = Duration::from_millis;
/// let times = OpTimes { intended: ms(10), dispatched: ms(11), admitted: ms(15), first_byte: Some(ms(40)), done: ms(42) };
/// assert_eq!(times.response(), ms(32));
/// assert_eq!(times.dispatch_lag() + times.admission_wait() + times.service(), times.response());
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OpTimes {
    /// When the schedule wanted it: from the schedule, never from a clock read after waking.
    pub intended: Duration,
    /// When the generator began it.
    pub dispatched: Duration,
    /// When it had what it needed to run: a session, a connection, a permit.
    pub admitted: Duration,
    /// When the answer began, if the workload marks it.
    pub first_byte: Option<Duration>,
    /// When it was over.
    pub done: Duration,
}

impl OpTimes {
    /// What a user would have waited: `done − intended`.
    #[must_use]
    pub fn response(&self) -> Duration {
        self.done.saturating_sub(self.intended)
    }

    /// What the target took: `done − admitted`.
    #[must_use]
    pub fn service(&self) -> Duration {
        self.done.saturating_sub(self.admitted)
    }

    /// What the generator itself added: `dispatched − intended`.
    #[must_use]
    pub fn dispatch_lag(&self) -> Duration {
        self.dispatched.saturating_sub(self.intended)
    }

    /// What waiting for a session, connection or permit added: `admitted − dispatched`.
    #[must_use]
    pub fn admission_wait(&self) -> Duration {
        self.admitted.saturating_sub(self.dispatched)
    }

    /// As if it had not rested for so long between its steps: everything before its end lies so much later.
    pub(crate) fn without(mut self, rested: Duration) -> Self {
        if !rested.is_zero() {
            self.intended += rested;
            self.dispatched += rested;
            self.admitted += rested;
            self.first_byte = self.first_byte.map(|at| at + rested);
        }
        self
    }

    /// Forces the five into order, so that no part is negative and the parts sum to the whole.
    pub(crate) fn ordered(mut self) -> Self {
        self.dispatched = self.dispatched.max(self.intended);
        self.admitted = self.admitted.max(self.dispatched);
        self.done = self.done.max(self.admitted);
        self.first_byte = self.first_byte.map(|at| at.clamp(self.admitted, self.done));
        self
    }
}

/// Which clock a run goes by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "snake_case"))]
pub enum ClockSource {
    /// The system's monotonic clock, with its finest timer: what [`LoadTest::run`](crate::LoadTest::run) uses.
    #[default]
    Monotonic,
    /// The clock of the calling runtime, which may be paused: then minutes of load take milliseconds, and the
    /// machine they run on does not matter. What [`LoadTest::run_here`](crate::LoadTest::run_here) uses.
    Virtual,
}

/// Where a run reads the time: a monotonic clock, counted from the start that all shards share.
///
/// It reads [`tokio::time`], so under tokio's paused clock a run takes virtual time only.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RunClock {
    start: Instant,
}

impl RunClock {
    pub(crate) fn starting_at(start: Instant) -> Self {
        Self { start }
    }

    /// Time since the start; zero before it.
    pub(crate) fn now(&self) -> Duration {
        self.since_start(Instant::now())
    }

    /// Zero before the start.
    pub(crate) fn since_start(&self, instant: Instant) -> Duration {
        instant.saturating_duration_since(self.start)
    }

    pub(crate) fn instant(&self, at: Duration) -> Instant {
        self.start + at
    }
}
