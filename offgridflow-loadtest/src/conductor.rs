//! Following the shards of a run, from their start to their results.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use tokio::{
    sync::{mpsc, oneshot, watch},
    time::{Instant, MissedTickBehavior, interval},
};

use crate::{
    abort::Aborted,
    audience::Audience,
    clock::ClockSource,
    course::Course,
    generator::{Calibration, Generator, MachineUse, ShardUse},
    losses::{Fault, Stuck},
    opening::OPENERS,
    outcome::TargetError,
    outlook::{Outlook, SoFar},
    plan::Plan,
    pulse::Pulse,
    recorder::{Recorder, Tally},
    rendezvous::{collect, first_ready, unless_stopped},
    report::{Ending, Environment, Measured, Report},
    shard::{GRACE, WINDOW},
    silence::Silence,
    span::{Span, due},
    stop::StopHandle,
    warm_up::Steadiness,
    watch::Watch,
    window::Window,
    window_record::WindowRecord,
};

/// How long a shard may be overdue before it counts as stuck, unless a test has no time.
pub(crate) const PATIENCE: Duration = Duration::from_secs(3);
/// How far ahead the common start lies.
const LEAD: Duration = Duration::from_millis(20);
pub(crate) const TICK: Duration = Duration::from_millis(100);

pub(crate) type Readies = Vec<oneshot::Receiver<Result<(), TargetError>>>;
pub(crate) type Results = Vec<oneshot::Receiver<ShardUse>>;

/// The conductor's ends of what it shares with the shards during a run.
pub(crate) struct Lines {
    pub(crate) windows: mpsc::Receiver<WindowRecord>,
    pub(crate) spares: Vec<mpsc::Sender<WindowRecord>>, // by shard
    pub(crate) measure_from: watch::Sender<Option<Duration>>,
    pub(crate) pulses: Vec<Arc<Pulse>>, // by shard
}

pub(crate) struct Conductor {
    pub(crate) plan: Plan,
    patience: Duration,
    stop: StopHandle,
    audience: Audience,
    lines: Lines,
    calibration: Calibration,
    steadiness: Steadiness,
    watch: Watch,
    aborted: Option<Aborted>,
    window: WindowRecord, // of the shards that have sent theirs
    parts: usize,         // how many have
    shown: Duration,      // up to where windows were told
    tally: Tally,         // of all windows that came
    course: Course,       // of the windows that were told
    started: SystemTime,
    heard: Vec<Heard>, // by shard
    paused: Duration,  // this thread, which only waits, at the longest
}

/// What the conductor knows of a shard.
#[derive(Debug, Clone, Copy, Default)]
struct Heard {
    until: Duration, // the end of its last window
    beats: u64,      // of its pulse, at the last tick
    silent: u32,     // ticks without one
    over: bool,      // it came to its end
    silence: Silence,
}

impl Conductor {
    pub(crate) fn new(
        plan: Plan,
        patience: Duration,
        stop: StopHandle,
        audience: Audience,
        lines: Lines,
        calibration: Calibration,
        watch: Watch,
    ) -> Self {
        Self {
            steadiness: Steadiness::new(plan.warm_up, plan.executor.duration()),
            tally: Tally::default(),
            course: Course::default(),
            started: SystemTime::now(),
            heard: vec![Heard::default(); plan.shards],
            plan,
            patience,
            stop,
            audience,
            lines,
            calibration,
            watch,
            aborted: None,
            window: WindowRecord::default(),
            parts: 0,
            paused: Duration::ZERO,
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
        self.started = SystemTime::now() + LEAD;
        let _ = go.send(Some(origin));
        let before = MachineUse::now();
        self.follow(origin).await;
        let since = |instant: Instant| instant.saturating_duration_since(origin);
        let elapsed = since(Instant::now());
        let machine = MachineUse::now().since(before);
        let shards = collect(results).await;
        let fault = self.fault();
        let stuck = self.count_lost();
        let mut generator = self.calibration.generator();
        if self.plan.clock == ClockSource::Monotonic {
            // Workers that rest beyond the end of the plan are done before it.
            let planned = if self.stop.ends() { Duration::ZERO } else { self.plan.executor.duration() };
            generator.longest_pause = Some(self.paused);
            generator = generator.with_shards(&shards).with_machine(machine, elapsed.max(planned));
        }
        if shards.len() == self.plan.shards {
            generator = generator.with_residual(&shards, self.tally.busy_ns);
        }
        // What an interrupted run offered ends with the interrupt, not with the grace after it.
        let ended = self.stop.asked_at().map_or(elapsed, |asked| since(asked).min(elapsed));
        self.measured(stuck, fault, generator, ended)
    }

    /// The first task of the engine that panicked.
    fn fault(&self) -> Option<Fault> {
        let of = |(shard, pulse): (usize, &Arc<Pulse>)| {
            let said = pulse.fault()?.to_owned();
            Some(Fault { shard, at: pulse.at(), said })
        };
        self.lines.pulses.iter().enumerate().find_map(of)
    }

    /// Tells the end, and notes who could not be told.
    pub(crate) fn tell(&mut self, report: &mut Report) {
        self.audience.end(report);
    }

    /// Shows windows until all shards are done or overdue.
    async fn follow(&mut self, origin: Instant) {
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut deadline = origin + self.plan.executor.duration() + self.plan.timeout * 3 + self.patience;
        let mut stopping = false;
        loop {
            let waits = Instant::now();
            let heard = tokio::select! {
                window = self.lines.windows.recv() => Some(window),
                _ = ticks.tick() => None,
            };
            self.paused = self.paused.max(waits.elapsed().saturating_sub(TICK));
            match heard {
                Some(Some(window)) => self.take(window),
                Some(None) => break,
                None => {
                    if self.stop.is_stopped() && !stopping {
                        stopping = true;
                        deadline = deadline.min(Instant::now() + GRACE + self.patience);
                    }
                    let now = Instant::now();
                    if self.only_silence() && now > origin + self.plan.executor.duration() {
                        self.stop.give_up(); // for those that wake after all
                        break;
                    }
                    if now > deadline {
                        if stopping {
                            break;
                        }
                        // A backlog that drains slowly is counted, a shard that does not answer is given up.
                        stopping = true;
                        self.stop.give_up();
                        deadline = Instant::now() + GRACE + self.patience;
                    }
                }
            }
        }
        while let Ok(window) = self.lines.windows.try_recv() {
            self.take(window);
        }
        self.window.in_flight = 0;
        self.flush(Instant::now().saturating_duration_since(origin));
    }

    /// Whether all shards that are not over have shown no sign of life for a time-out and more. Counted in ticks, so that a pause of the
    /// whole process is nobody's silence.
    fn only_silence(&mut self) -> bool {
        let patience = (self.patience + self.plan.timeout).as_millis() / TICK.as_millis();
        let mut all = true;
        for (heard, pulse) in self.heard.iter_mut().zip(&self.lines.pulses).filter(|(heard, _)| !heard.over) {
            let beats = pulse.beats();
            heard.silent = if beats == heard.beats { heard.silent.saturating_add(1) } else { 0 };
            heard.beats = beats;
            all &= u128::from(heard.silent) > patience;
        }
        all && self.plan.clock == ClockSource::Monotonic && self.heard.iter().any(|heard| !heard.over)
    }

    /// What shards that did not come back had in flight when they were last heard of is lost.
    fn count_lost(&mut self) -> Vec<Stuck> {
        let mut lost = self.empty();
        let mut stuck = Vec::new();
        for (shard, heard) in self.heard.iter().enumerate().filter(|(_, heard)| !heard.over) {
            let Heard { until, .. } = *heard;
            let pulse = &self.lines.pulses[shard];
            let (since, in_flight) = (pulse.at().max(until), pulse.in_flight());
            let due = self.plan.executor.arrivals().map_or(0, |arrivals| due(&**arrivals, until));
            lost.record_lost(in_flight, due.saturating_sub(1), until);
            stuck.push(Stuck { shard, since, until, in_flight });
        }
        self.tally.merge(&lost.into_tally());
        stuck
    }

    fn take(&mut self, mut window: WindowRecord) {
        self.tally.merge(&window.tally);
        window.complete();
        let over = window.index == WindowRecord::LAST;
        if let Some(heard) = self.heard.get_mut(window.shard) {
            let until = if over { heard.until } else { window_end(window.index) };
            *heard = Heard { until, over, silence: window.silence, ..*heard };
        }
        if over {
            return self.window.merge_counts(&window);
        }
        self.watch.take(window.index, &window.tally);
        if self.parts > 0 && window.index > self.window.index {
            self.flush(window_end(self.window.index)); // a shard is late: its part joins the next window
        }
        self.window.merge(&window);
        window.clear();
        let _ = self.lines.spares[window.shard].try_send(window);
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
        let mut seen = std::mem::take(&mut self.window);
        self.parts = 0;
        if to <= self.shown || (seen.ok + seen.failed == 0 && to > self.plan.executor.duration() + WINDOW) {
            return;
        }
        let from = std::mem::replace(&mut self.shown, to);
        if let Some(from) = self.steadiness.take(to, WINDOW, seen.means()) {
            let _ = self.lines.measure_from.send(Some(from));
        }
        let arrivals = self.plan.executor.arrivals();
        let window = Window {
            planned: self.plan.executor.duration(),
            offered: arrivals.map(|arrivals| due(&**arrivals, to) - due(&**arrivals, from)),
            measured: self.steadiness.measured_from().is_some_and(|begun| begun < to),
            outlook: self.outlook(to),
            failures: self.tally.ledger.commonest(Window::CAUSES),
            ..Window::of(from, to, &mut seen)
        };
        self.course.take(&window, &seen.lag);
        self.audience.window(&window);
        self.abort_if_due(to);
    }

    /// How the run looks by `to`; nothing within its warm-up.
    fn outlook(&self, to: Duration) -> Option<Outlook> {
        let from = self.steadiness.measured_from().filter(|&from| from < to)?;
        let to = to.min(self.plan.executor.duration());
        let arrivals = self.plan.executor.arrivals();
        let offered = arrivals.map(|arrivals| due(&**arrivals, to) - due(&**arrivals, from));
        Some(SoFar { tally: &self.tally, offered, measured: to.saturating_sub(from) }.outlook())
    }

    /// Ends the run if one of its rules says so.
    fn abort_if_due(&mut self, to: Duration) {
        let goes_on = to < self.plan.executor.duration() && !self.stop.ends();
        let Some(from) = self.steadiness.measured_from().filter(|_| goes_on && to.subsec_nanos() == 0) else {
            return;
        };
        self.aborted = self.watch.judge(to, from, self.plan.executor.arrivals());
        if self.aborted.is_some() {
            self.stop.stop();
        }
    }

    fn measured(
        &mut self,
        stuck: Vec<Stuck>,
        fault: Option<Fault>,
        generator: Generator,
        ended: Duration,
    ) -> Measured {
        let tally = std::mem::take(&mut self.tally);
        let interrupted = self.stop.is_stopped();
        let is_partial = interrupted || fault.is_some();
        let planned = self.plan.executor.duration();
        let elapsed = if is_partial { ended } else { planned.max(tally.last_done) };
        let from = self.measured_from();
        let offered = match self.plan.executor.arrivals() {
            Some(arrivals) => {
                let end = if is_partial { due(&**arrivals, elapsed) } else { arrivals.operations() };
                let taken = tally.dispatched + tally.capped + tally.shed + tally.waiting + tally.unsent;
                end.saturating_sub(due(&**arrivals, from)).max(taken)
            }
            None => tally.dispatched,
        };
        let aborted = self.aborted.take();
        let ending = match (&aborted, interrupted) {
            (Some(_), _) => Ending::Aborted,
            (None, true) => Ending::Interrupted,
            (None, false) => Ending::Completed,
        };
        Measured {
            tally,
            ending,
            elapsed,
            measured_from: from.min(elapsed),
            longest_silence: self.longest_silence(from, elapsed),
            offered,
            stuck,
            fault,
            generator,
            settled: self.steadiness.settled(),
            trend: self.steadiness.has_trend(),
            unreachable: None,
            aborted,
            environment: self.environment(),
            timeline: self.course.timeline(),
        }
    }

    fn not_started(&self, ending: Ending, unreachable: Option<String>, stuck: usize) -> Measured {
        let since = Duration::ZERO;
        Measured {
            tally: Tally::default(),
            ending,
            elapsed: Duration::ZERO,
            measured_from: Duration::ZERO,
            longest_silence: Duration::ZERO,
            offered: 0,
            stuck: (0..stuck).map(|shard| Stuck { shard, since, until: since, in_flight: 0 }).collect(),
            fault: None,
            generator: self.calibration.generator(),
            settled: true,
            trend: None,
            unreachable,
            aborted: None,
            environment: self.environment(),
            timeline: self.course.timeline(),
        }
    }

    /// Where it ran; virtual time runs anywhere alike.
    fn environment(&self) -> Option<Environment> {
        (self.plan.clock == ClockSource::Monotonic).then(|| Environment::here(self.started))
    }

    /// How long none of the shards was answered, in the measured part.
    fn longest_silence(&self, from: Duration, elapsed: Duration) -> Duration {
        let silences = self.heard.iter().map(|heard| heard.silence.until(elapsed, from));
        silences.reduce(Silence::overlap).unwrap_or_default().length()
    }

    /// Until it is known, an automatic warm-up goes on.
    fn measured_from(&self) -> Duration {
        self.steadiness.measured_from().unwrap_or(Duration::MAX)
    }

    fn empty(&self) -> Recorder {
        let span = match self.steadiness.measured_from() {
            Some(from) => Span::new(&self.plan.executor, from),
            None => Span::nothing_yet(&self.plan.executor),
        };
        Recorder::new(span, None)
    }

    /// The worst case of openers that each wait for a time-out again and again.
    fn longest_warm_up(&self) -> Duration {
        let rounds = self.plan.warm_sessions.div_ceil(OPENERS) + 1;
        self.plan
            .timeout
            .saturating_mul(u32::try_from(rounds).unwrap_or(u32::MAX))
            .saturating_add(self.patience)
    }
}

fn window_end(index: u64) -> Duration {
    WINDOW.saturating_mul(u32::try_from(index).unwrap_or(u32::MAX))
}
