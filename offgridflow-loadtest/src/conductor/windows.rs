//! The windows of a run: taken from shards, told, and held against the rules that end it.

use std::time::Duration;

use super::{Conductor, Heard};
use crate::{
    outlook::{Outlook, SoFar},
    shard::WINDOW,
    span::due,
    window::Window,
    window_record::WindowRecord,
};

impl Conductor {
    pub(super) fn take(&mut self, mut window: WindowRecord) {
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

    pub(super) fn flush(&mut self, to: Duration) {
        let mut seen = std::mem::take(&mut self.window);
        self.parts = 0;
        if to <= self.shown || (seen.ok + seen.failed == 0 && to > self.plan.executor.duration() + WINDOW) {
            return;
        }
        let from = std::mem::replace(&mut self.shown, to);
        if let Some(from) = self.steadiness.take(to, WINDOW, seen.means()) {
            let _ = self.lines.measure_from.send(Some(from));
            self.tell_control();
        }
        let arrivals = self.plan.executor.arrivals();
        let window = Window {
            planned: self.planned_at(to),
            paused: self.plan.paused_within(from, to),
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
        let measured = to.saturating_sub(from).saturating_sub(self.plan.paused_within(from, to));
        Some(SoFar { tally: &self.tally, offered, measured }.outlook())
    }

    /// How long the run will be by what is known at `to`; in a pause, if that ended then.
    fn planned_at(&self, to: Duration) -> Duration {
        let Some(control) = &self.plan.control else { return self.plan.executor.duration() };
        control.ends_if_resumed_at(to).unwrap_or_else(|| self.plan.executor.duration())
    }

    /// Ends the run if one of its rules says so.
    fn abort_if_due(&mut self, to: Duration) {
        let goes_on = to < self.plan.executor.duration() && !self.stop.ends();
        let Some(from) = self.steadiness.measured_from().filter(|_| goes_on && to.subsec_nanos() == 0) else {
            return;
        };
        // Rules look at no second of a pause.
        let Some(resumed) = self.plan.goes_on_since(to) else { return };
        let from = from.max(resumed);
        self.aborted = self.watch.judge(to, from, self.plan.executor.arrivals());
        if self.aborted.is_some() {
            self.stop.stop();
        }
    }
}

fn window_end(index: u64) -> Duration {
    WINDOW.saturating_mul(u32::try_from(index).unwrap_or(u32::MAX))
}
