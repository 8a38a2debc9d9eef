//! Following the shards of a run, from their start to their results.

mod result;
mod windows;

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
    control::Annotation,
    course::Course,
    generator::{Calibration, MachineUse, ShardUse},
    opening::OPENERS,
    outcome::TargetError,
    plan::Plan,
    pulse::Pulse,
    recorder::Tally,
    rendezvous::{collect, first_ready, unless_stopped},
    report::{Ending, Measured, Report},
    shard::GRACE,
    silence::Silence,
    stop::StopHandle,
    warm_up::Steadiness,
    watch::Watch,
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
    annotations: Vec<Annotation>,
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
            annotations: Vec::new(),
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
        if self.waits_for_start().await {
            return self.not_started(Ending::Interrupted, None, 0);
        }
        let origin = Instant::now() + LEAD;
        self.started = SystemTime::now() + LEAD;
        if let Some(control) = &self.plan.control {
            control.begin(origin, self.plan.whole.executor.clone());
            self.tell_control();
        }
        let _ = go.send(Some(origin));
        let before = MachineUse::now();
        self.follow(origin).await;
        let since = |instant: Instant| instant.saturating_duration_since(origin);
        let elapsed = since(Instant::now());
        // What an interrupted run offered ends with the interrupt, not with the grace after it.
        let ended = self.stop.asked_at().map_or(elapsed, |asked| since(asked).min(elapsed));
        self.annotations = self.plan.control.as_ref().map_or_else(Vec::new, |control| control.end(ended));
        let machine = MachineUse::now().since(before);
        let shards = collect(results).await;
        let fault = self.fault();
        let stuck = self.count_lost();
        let mut generator = self.calibration.generator();
        if self.plan.clock == ClockSource::Monotonic {
            // Workers that rest beyond the end of the plan are done before it.
            let ends_itself = self.stop.ends() || self.plan.executor.ends_early();
            let planned = if ends_itself { Duration::ZERO } else { self.plan.executor.duration() };
            generator.longest_pause = Some(self.paused);
            generator = generator.with_shards(&shards).with_machine(machine, elapsed.max(planned));
        }
        if shards.len() == self.plan.shards {
            generator = generator.with_residual(&shards, self.tally.busy_ns);
        }
        self.measured(stuck, fault, generator, ended)
    }

    /// Whoever steers the run is told from when on it is measured, once that is known.
    fn tell_control(&self) {
        if let Some((control, from)) = self.plan.control.as_ref().zip(self.steadiness.measured_from()) {
            control.measures_from(from);
        }
    }

    /// Until it is time; whether the run was stopped meanwhile. A clock that is set is looked at again every tick.
    async fn waits_for_start(&self) -> bool {
        let Some(start_at) = self.plan.start_at else { return false };
        let left = || start_at.duration_since(SystemTime::now()).unwrap_or_default().saturating_sub(LEAD);
        while !left().is_zero() && !self.stop.ends() {
            tokio::time::sleep(left().min(TICK)).await;
        }
        self.stop.ends()
    }

    /// Tells the end, and notes who could not be told.
    pub(crate) fn tell(&mut self, report: &mut Report) {
        self.audience.end(report);
    }

    /// Shows windows until all shards are done or overdue.
    async fn follow(&mut self, origin: Instant) {
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let allowed = self.plan.timeout * 3 + self.patience;
        let mut deadline = origin + self.plan.executor.duration() + allowed;
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
                    if !stopping && self.plan.control.is_some() {
                        deadline = origin + self.plan.executor.duration() + allowed;
                    }
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

    /// The worst case of openers that each wait for a time-out again and again.
    fn longest_warm_up(&self) -> Duration {
        let rounds = self.plan.warm_sessions.div_ceil(OPENERS) + 1;
        self.plan
            .timeout
            .saturating_mul(u32::try_from(rounds).unwrap_or(u32::MAX))
            .saturating_add(self.patience)
    }
}
