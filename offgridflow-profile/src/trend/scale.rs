use std::time::Duration;

use super::thinned::Thinned;
use super::{Alarm, LeakAlarm, Sample, Series, Shape, SlopeInterval, Verdict};

/// Readings kept of a window, the lowest of each stretch of it.
const READINGS: u32 = 1_800;
/// A window whose pace is surely below this share of the fastest in its run is on its way to an end of the rise.
const SLOWER: f64 = 0.8;
/// Most that one window may count for: several must agree before anything is said.
const MOST_A_WINDOW: f64 = 1e4;

/// Windows of one length, and what they say together.
#[derive(Debug, Clone)]
pub(super) struct Scale {
    times: u32, // >= 1: of the shortest window
    window: Duration,
    threshold: f64,
    thinned: Thinned,
    series: Series,
    evidence: f64,
    run: Run,
    last: Option<Verdict>,
}

/// Windows in a row that agree.
#[derive(Debug, Clone, Copy, Default)]
struct Run {
    windows: u32,
    grown: f64,   // bytes, all of them together
    fastest: f64, // bytes per second
    newest: f64,  // bytes per second, at most
}

impl Run {
    /// With one more window of that length.
    fn with(self, verdict: &Verdict, window: Duration) -> Self {
        let flat = SlopeInterval { estimate: 0.0, low: 0.0, high: 0.0 };
        let slope = verdict.slope.unwrap_or(flat);
        Self {
            windows: self.windows + 1,
            grown: self.grown + slope.estimate * window.as_secs_f64(),
            fastest: self.fastest.max(slope.estimate),
            newest: slope.high,
        }
    }

    fn slows(&self) -> bool {
        self.newest < SLOWER * self.fastest
    }
}

impl Scale {
    /// Windows `times` as long as `window`.
    pub(super) fn new(window: Duration, times: u32) -> Self {
        let window = window.saturating_mul(times);
        Self {
            times,
            window,
            threshold: f64::INFINITY,
            thinned: Thinned::new(window / READINGS),
            series: Series::default(),
            evidence: 1.0,
            run: Run::default(),
            last: None,
        }
    }

    /// One false alarm in so many of the shortest windows, on average.
    pub(super) fn set_threshold(&mut self, windows: f64) {
        self.threshold = windows / f64::from(self.times);
    }

    /// Takes a reading; with the one that completes a window, that.
    pub(super) fn push(&mut self, sample: Sample) -> Option<Series> {
        self.series.push(self.thinned.push(sample)?);
        (self.series.span() >= self.window).then(|| std::mem::take(&mut self.series))
    }

    /// Takes the verdict on a window. Growth of less than `matters` bytes, in all windows that agree, is no alarm, nor is what slows down.
    pub(super) fn judge(&mut self, verdict: Verdict, matters: f64) -> Option<Alarm> {
        let leaks = verdict.shape == Shape::Leak;
        self.evidence = self.evidence.max(1.0) * if leaks { e_value(verdict.p) } else { e_value(1.0) };
        self.run = if leaks { self.run.with(&verdict, self.window) } else { Run::default() };
        let alarm = Alarm { windows: self.run.windows, evidence: self.evidence, verdict: verdict.clone() };
        self.last = Some(verdict);
        let agree = self.run.windows >= LeakAlarm::WINDOWS_IN_A_ROW && self.evidence >= self.threshold;
        (agree && self.run.grown >= matters && !self.run.slows()).then_some(alarm)
    }

    pub(super) fn last(&self) -> Option<&Verdict> {
        self.last.as_ref()
    }
}

/// A fair bet against "no leak": its mean is at most 1 where p-values are honest.
fn e_value(p: f64) -> f64 {
    (0.5 / p.sqrt()).min(MOST_A_WINDOW)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The mean of 1/(2√p) over p uniform on 0 to 1 is 1.
    #[test]
    fn the_bet_is_fair() {
        let n = 1_000_000;
        let mean = (0..n).map(|i| e_value((f64::from(i) + 0.5) / f64::from(n))).sum::<f64>() / f64::from(n);
        assert!((mean - 1.0).abs() < 0.001, "{mean}");
    }

    #[test]
    fn a_window_is_whole_however_often_memory_is_read() {
        for every in [Duration::from_millis(20), Duration::from_secs(1)] {
            let mut scale = Scale::new(Duration::from_secs(1_800), 4);
            let mut readings = (0..).map(|at| Sample { at: every * at, bytes: 1_000 });
            let window = readings.find_map(|sample| scale.push(sample)).unwrap();
            assert_eq!(window.span(), Duration::from_secs(7_200), "a reading every {every:?}");
        }
    }
}
