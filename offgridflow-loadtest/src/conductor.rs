//! Following the shards of a run, from their start to their results.

use std::time::Duration;

use tokio::{
    sync::{mpsc, oneshot, watch},
    time::{Instant, MissedTickBehavior, interval, timeout},
};

use crate::{
    histogram::{Distribution, Quantile},
    outcome::TargetError,
    plan::Plan,
    recorder::{Recorder, WindowRecord},
    report::{Ending, Measured, Report},
    reporter::Reporter,
    schedule::ArrivalProcess,
    shard::{GRACE, WINDOW},
    stop::StopHandle,
    warm_up::OPENERS,
    window::Window,
};

/// How long a shard may be overdue before it counts as stuck.
const OVERDUE: Duration = Duration::from_secs(3);
/// How far ahead the common start lies.
const LEAD: Duration = Duration::from_millis(20);
const TICK: Duration = Duration::from_millis(100);

pub(crate) type Readies = Vec<oneshot::Receiver<Result<(), TargetError>>>;
pub(crate) type Results = Vec<oneshot::Receiver<Recorder>>;

pub(crate) struct Conductor {
    pub(crate) plan: Plan,
    stop: StopHandle,
    reporters: Vec<Box<dyn Reporter>>,
    from_shards: mpsc::Receiver<WindowRecord>,
    window: WindowRecord, // of the shards that have sent theirs
    parts: usize,         // how many have
    shown: Duration,      // up to where windows were told
}

impl Conductor {
    pub(crate) fn new(
        plan: Plan,
        stop: StopHandle,
        reporters: Vec<Box<dyn Reporter>>,
        from_shards: mpsc::Receiver<WindowRecord>,
    ) -> Self {
        Self {
            plan,
            stop,
            reporters,
            from_shards,
            window: WindowRecord::default(),
            parts: 0,
            shown: Duration::ZERO,
        }
    }

    /// Starts the shards together, shows their windows, and merges their records.
    pub(crate) async fn measure(
        &mut self,
        readies: Readies,
        results: Results,
        go: watch::Sender<Option<Instant>>,
    ) -> Measured {
        let ready = match unless_stopped(&self.stop, first_ready(readies), self.longest_warm_up()).await {
            Some(ready) => ready,
            None if self.stop.is_stopped() => return self.not_started(Ending::Interrupted, None, 0),
            None => return self.not_started(Ending::NotStarted, None, self.plan.shards),
        };
        if let Err(error) = ready {
            return self.not_started(Ending::NotStarted, Some(error.to_string()), 0);
        }
        let origin = Instant::now() + LEAD;
        let _ = go.send(Some(origin));
        self.follow(origin).await;
        let elapsed = Instant::now().saturating_duration_since(origin);
        let (recorder, stuck_shards) = collect(self.empty(), results).await;
        self.measured(recorder, stuck_shards, elapsed)
    }

    /// Tells the end, and notes who could not be told.
    pub(crate) fn tell(&mut self, report: &mut Report) {
        for reporter in &mut self.reporters {
            if let Err(error) = reporter.on_end(report) {
                let cause =
                    std::error::Error::source(&error).map(|cause| format!(": {cause}")).unwrap_or_default();
                report.notes.push(format!("{error}{cause}"));
            }
        }
    }

    /// Shows windows until all shards are done or overdue.
    async fn follow(&mut self, origin: Instant) {
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut deadline = origin + self.plan.executor.duration() + self.plan.timeout * 3 + OVERDUE;
        let mut stopping = false;
        loop {
            tokio::select! {
                window = self.from_shards.recv() => match window {
                    Some(window) => self.take(&window),
                    None => break,
                },
                _ = ticks.tick() => {
                    if self.stop.is_stopped() && !stopping {
                        stopping = true;
                        deadline = deadline.min(Instant::now() + GRACE + OVERDUE);
                    }
                    if Instant::now() > deadline {
                        break;
                    }
                }
            }
        }
        self.window.in_flight = 0;
        self.flush(Instant::now().saturating_duration_since(origin));
    }

    fn take(&mut self, window: &WindowRecord) {
        if window.index == WindowRecord::LAST {
            return self.window.merge_counts(window);
        }
        if self.parts > 0 && window.index > self.window.index {
            self.flush(window_end(self.window.index)); // a shard is late: its part joins the next window
        }
        self.window.merge(window);
        self.parts += 1;
        let to = window_end(self.window.index);
        let planned = self.plan.executor.duration();
        // The one in which the plan ends is held, so that a short remainder is no window of its own.
        let closing = to >= planned && to - planned < WINDOW;
        if self.parts == self.plan.shards && !closing {
            self.flush(window_end(self.window.index));
        }
    }

    fn flush(&mut self, to: Duration) {
        let seen = std::mem::take(&mut self.window);
        self.parts = 0;
        if to <= self.shown || (seen.ok + seen.failed == 0 && to > self.plan.executor.duration() + WINDOW) {
            return;
        }
        let from = std::mem::replace(&mut self.shown, to);
        let arrivals = self.plan.executor.arrivals();
        let window = Window {
            from,
            to,
            planned: self.plan.executor.duration(),
            offered: arrivals.map(|arrivals| due(&**arrivals, to) - due(&**arrivals, from)),
            ok: seen.ok,
            failed: seen.failed,
            in_flight: seen.in_flight,
            p50: seen.response.empirical(0.5),
            p95: seen.response.empirical(0.95),
            lag_p99: Distribution::from(seen.lag).empirical(0.99).and_then(Quantile::value),
        };
        self.reporters.iter_mut().for_each(|reporter| reporter.on_window(&window));
    }

    fn measured(&self, recorder: Recorder, stuck_shards: usize, elapsed: Duration) -> Measured {
        let interrupted = self.stop.is_stopped();
        let planned = self.plan.executor.duration();
        let elapsed = if interrupted { elapsed } else { planned.max(recorder.last_done) };
        let offered = match self.plan.executor.arrivals() {
            Some(arrivals) if interrupted => due(&**arrivals, elapsed),
            Some(arrivals) => arrivals.operations(),
            None => recorder.dispatched,
        };
        let ending = if interrupted { Ending::Interrupted } else { Ending::Completed };
        Measured { recorder, ending, elapsed, offered, stuck_shards, unreachable: None }
    }

    fn not_started(&self, ending: Ending, unreachable: Option<String>, stuck_shards: usize) -> Measured {
        Measured {
            recorder: self.empty(),
            ending,
            elapsed: Duration::ZERO,
            offered: 0,
            stuck_shards,
            unreachable,
        }
    }

    fn empty(&self) -> Recorder {
        Recorder::new(self.plan.executor.duration())
    }

    /// The worst case of openers that each wait for a time-out again and again.
    fn longest_warm_up(&self) -> Duration {
        let rounds = self.plan.warm_sessions.div_ceil(OPENERS) + 1;
        self.plan.timeout.saturating_mul(u32::try_from(rounds).unwrap_or(u32::MAX)).saturating_add(OVERDUE)
    }
}

/// Waits for `future` at most `longest`, and not on after a stop.
async fn unless_stopped<T>(
    stop: &StopHandle,
    future: impl Future<Output = T>,
    longest: Duration,
) -> Option<T> {
    tokio::pin!(future);
    let begun = Instant::now();
    loop {
        match timeout(TICK, &mut future).await {
            Ok(value) => return Some(value),
            Err(_) if stop.is_stopped() || begun.elapsed() > longest => return None,
            Err(_) => {}
        }
    }
}

/// All shards' records added to `merged`, and how many shards did not deliver.
async fn collect(mut merged: Recorder, results: Results) -> (Recorder, usize) {
    let mut stuck = 0;
    for result in results {
        match timeout(TICK, result).await {
            Ok(Ok(recorder)) => merged.merge(&recorder),
            _ => stuck += 1,
        }
    }
    (merged, stuck)
}

/// Waits for all; good if at least one shard opened a session.
async fn first_ready(readies: Readies) -> Result<(), TargetError> {
    let mut result = Ok(());
    let mut any = false;
    for ready in readies {
        match ready.await {
            Ok(Ok(())) => any = true,
            Ok(Err(error)) => result = Err(error),
            Err(_) => {}
        }
    }
    if any { Ok(()) } else { result }
}

fn window_end(index: u64) -> Duration {
    WINDOW.saturating_mul(u32::try_from(index).unwrap_or(u32::MAX))
}

/// How many operations are due before `at`. O(log operations).
pub(crate) fn due(arrivals: &dyn ArrivalProcess, at: Duration) -> u64 {
    let (mut low, mut high) = (0, arrivals.operations());
    while low < high {
        let middle = low + (high - low) / 2;
        if arrivals.intended(middle).is_some_and(|intended| intended < at) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    low
}
