//! From what was followed to what was measured.

use std::{sync::Arc, time::Duration};

use super::{Conductor, Heard};
use crate::{
    clock::ClockSource,
    course::Course,
    generator::Generator,
    losses::{Fault, Stuck},
    pulse::Pulse,
    recorder::{Recorder, Tally},
    report::{Began, Ending, Environment, Measured},
    silence::Silence,
    span::{Span, due},
};

impl Conductor {
    /// The first task of the engine that panicked.
    pub(super) fn fault(&self) -> Option<Fault> {
        let of = |(shard, pulse): (usize, &Arc<Pulse>)| {
            let said = pulse.fault()?.to_owned();
            Some(Fault { shard, at: pulse.at(), said })
        };
        self.lines.pulses.iter().enumerate().find_map(of)
    }

    /// What shards that did not come back had in flight when they were last heard of is lost.
    pub(super) fn count_lost(&mut self) -> Vec<Stuck> {
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

    pub(super) fn measured(
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
        let elapsed = match () {
            () if is_partial => ended,
            () if self.plan.executor.ends_early() => tally.last_done,
            () => planned.max(tally.last_done),
        };
        let from = self.measured_from();
        let to = planned.min(elapsed);
        let paused = self.plan.paused_within(from.min(to), to);
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
            silence: self.silence(from, elapsed),
            offered,
            stuck,
            fault,
            generator,
            settled: self.steadiness.settled(),
            trend: self.steadiness.has_trend(),
            unreachable: None,
            aborted,
            environment: self.environment(),
            course: std::mem::take(&mut self.course),
            began: self.began(),
            annotations: std::mem::take(&mut self.annotations),
            paused,
        }
    }

    pub(super) fn not_started(&self, ending: Ending, unreachable: Option<String>, stuck: usize) -> Measured {
        let since = Duration::ZERO;
        Measured {
            tally: Tally::default(),
            ending,
            elapsed: Duration::ZERO,
            measured_from: Duration::ZERO,
            silence: Silence::default(),
            offered: 0,
            stuck: (0..stuck).map(|shard| Stuck { shard, since, until: since, in_flight: 0 }).collect(),
            fault: None,
            generator: self.calibration.generator(),
            settled: true,
            trend: None,
            unreachable,
            aborted: None,
            environment: self.environment(),
            course: Course::default(),
            began: self.began(),
            annotations: Vec::new(),
            paused: Duration::ZERO,
        }
    }

    /// Where it ran; virtual time runs anywhere alike.
    fn environment(&self) -> Option<Environment> {
        (self.plan.clock == ClockSource::Monotonic).then(|| Environment::here(self.started))
    }

    /// When none of the shards was answered for longest, in the measured part.
    fn silence(&self, from: Duration, elapsed: Duration) -> Silence {
        let from = from.max(self.plan.goes_on_since(elapsed).unwrap_or(elapsed));
        let silences = self.heard.iter().map(|heard| heard.silence.until(elapsed, from));
        silences.reduce(Silence::overlap).unwrap_or_default()
    }

    /// When it began, and by how much that was later than agreed.
    fn began(&self) -> Began {
        let late = self.plan.start_at.and_then(|agreed| self.started.duration_since(agreed).ok());
        Began { at: self.started, late: late.unwrap_or_default() }
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
        let time = self.plan.control.as_ref().map(|control| control.time().clone());
        Recorder::new(span, None).steered(time)
    }
}
