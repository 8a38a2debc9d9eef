use std::time::Duration;

use super::rises::Rises;
use super::scale::Scale;
use super::{Sample, TrendOptions, Verdict};

/// Windows of one length, and of four and sixteen times that: what grows in few large steps, or beneath a long cycle, shows in long ones alone.
const SCALES: [u32; 3] = [1, 4, 16];
/// Points of the floor a window has: rises are looked at as finely.
const BLOCKS: u32 = 48;

/// Judges one window of readings after the other, and raises an alarm when windows in a row agree that memory leaks.
///
/// One verdict is wrong about once in a hundred; asked every half hour for a month, it will be. This keeps its word for as long as it
/// runs: on quiet series the mean time between alarms is at least [`windows_between`](Self::windows_between) windows. It multiplies
/// e-values (each window's p-value through the calibrator 1/(2√p): Vovk & Wang, *Annals of Statistics* 49, 2021) and starts over at
/// 1 whenever their product is below it, which is an e-detector (Shin, Ramdas & Rinaldo, *E-detectors*, 2022). A window that is not
/// called a leak halves what was gathered.
///
/// Windows four and sixteen times as long are judged beside, of readings that are thinned: a leak of 64 MiB every quarter of an hour is a few steps in
/// half an hour, and a staircase in a day.
///
/// **What it cannot know:** memory that rises for longer than three windows may be the first half of a cycle. It is called a leak
/// the first time; when it has come back, rises of up to twice its length and height are known again, and not called so. Where a program is known to have
/// a cycle of hours, a [`TrendOptions::leak_window`] of twice that keeps the alarm silent until it has been seen.
///
/// ```
/// use std::time::Duration;
/// use offgridflow_profile::{LeakAlarm, TrendOptions};
///
/// let mut alarm = LeakAlarm::new(Duration::from_secs(1_800), TrendOptions::default());
/// let noise = |s: u64| s.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 44;
/// let raised = (0..20_000).find_map(|s| alarm.push(Duration::from_secs(s), 100_000_000 + 4_096 * s + noise(s)));
/// assert_eq!(raised.expect("32 MiB of a leak").windows, 5);
/// ```
#[derive(Debug, Clone)]
pub struct LeakAlarm {
    options: TrendOptions,
    silent: Duration, // from the first reading on: how long no alarm is raised
    first: Option<Duration>,
    growth_bytes: u64,
    scales: Vec<Scale>, // the shortest windows first; never empty
    rises: Rises,
}

/// Windows in a row say that memory leaks.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Alarm {
    /// How many windows in a row.
    pub windows: u32,
    /// How strongly: a series without a leak reaches this once in so many windows, on average, or more rarely.
    pub evidence: f64,
    /// What the newest window says.
    pub verdict: Verdict,
}

impl Alarm {
    /// Whether the limit may be reached within that time.
    fn is_sooner_than(&self, time: Duration) -> bool {
        self.verdict.time_to_limit.is_some_and(|(soonest, _)| soonest < time)
    }
}

impl LeakAlarm {
    /// Windows between two false alarms unless told otherwise: a hundred months of half hours.
    pub const WINDOWS_BETWEEN: u32 = 144_000;
    /// Growth that is worth an alarm unless told otherwise: 32 MiB.
    pub const GROWTH_BYTES: u64 = 32 << 20;
    /// Windows in a row that must agree at least: a cycle three times as long as two of them looks like a leak in both, if they lie around
    /// the middle of its rise.
    pub const WINDOWS_IN_A_ROW: u32 = 3;

    /// Judges windows of this length, which [`TrendOptions::min_window`] must not exceed; half an hour with a reading a second is
    /// what the error rates were measured on.
    #[must_use]
    pub fn new(window: Duration, options: TrendOptions) -> Self {
        let window = window.max(options.min_window);
        // The usual one is about single windows, of which an alarm wants several.
        let silent = Some(options.leak_window).filter(|longer| *longer > TrendOptions::LEAK_WINDOW);
        let options = TrendOptions { leak_window: options.leak_window.min(window), ..options };
        let scales = SCALES.map(|times| Scale::new(window, times)).into();
        let (rises, growth_bytes) = (Rises::new(window / BLOCKS), Self::GROWTH_BYTES);
        let silent = silent.unwrap_or(Duration::ZERO);
        Self { options, silent, first: None, growth_bytes, scales, rises }
            .windows_between(Self::WINDOWS_BETWEEN)
    }

    /// Mean number of windows between two false alarms, at least. Default: [`WINDOWS_BETWEEN`](Self::WINDOWS_BETWEEN).
    #[must_use]
    pub fn windows_between(mut self, windows: u32) -> Self {
        let each = f64::from(windows.max(2)) * SCALES.len() as f64;
        self.scales.iter_mut().for_each(|scale| scale.set_threshold(each));
        self
    }

    /// Growth, in all the windows that agree, that is worth an alarm; where there is a limit, never more than a quarter of what is left. Default:
    /// [`GROWTH_BYTES`](Self::GROWTH_BYTES).
    #[must_use]
    pub fn growth_bytes(self, bytes: u64) -> Self {
        Self { growth_bytes: bytes, ..self }
    }

    /// What memory must not exceed, which may only be known later.
    pub fn set_limit(&mut self, limit_bytes: Option<u64>) {
        self.options.limit_bytes = limit_bytes;
    }

    /// Takes a reading; `at` counts from any fixed instant. With the one that completes a window, the alarm if there is one.
    pub fn push(&mut self, at: Duration, bytes: u64) -> Option<Alarm> {
        let sample = Sample { at, bytes };
        let first = *self.first.get_or_insert(at);
        let silent = self.silent.saturating_sub(at.saturating_sub(first));
        self.rises.push(sample);
        let (options, rises, matters) = (&self.options, &self.rises, self.matters(bytes));
        let alarms = self.scales.iter_mut().filter_map(|scale| {
            let window = scale.push(sample)?;
            scale.judge(rises.known_again(window.span(), window.verdict(options)), matters)
        });
        let raised = alarms.fold(None, |first, alarm| first.or(Some(alarm)));
        raised.filter(|alarm| silent.is_zero() || alarm.is_sooner_than(silent))
    }

    /// Takes a window's verdict from elsewhere.
    pub fn judge(&mut self, verdict: Verdict) -> Option<Alarm> {
        let matters = self.matters(0);
        self.scales.first_mut().and_then(|scale| scale.judge(verdict, matters))
    }

    /// Growth that is worth an alarm, when so much is in use.
    #[expect(clippy::cast_precision_loss, reason = "memory below 2^53 bytes is exact")]
    fn matters(&self, in_use: u64) -> f64 {
        let left = self.options.limit_bytes.map(|limit| limit.saturating_sub(in_use));
        self.growth_bytes.min(left.map_or(u64::MAX, |left| left / 4)) as f64
    }

    /// What the newest complete window said.
    #[must_use]
    pub fn last(&self) -> Option<&Verdict> {
        self.scales.first().and_then(Scale::last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trend::{Shape, SlopeInterval};

    fn verdict(shape: Shape, p: f64) -> Verdict {
        let slope = Some(SlopeInterval { estimate: 1e6, low: 9e5, high: 1.1e6 });
        Verdict { shape, p, slope, time_to_limit: None, effective_n: 48.0, why: String::new() }
    }

    #[test]
    fn two_windows_are_never_enough() {
        let mut alarm = LeakAlarm::new(Duration::from_secs(1_800), TrendOptions::default());
        let mut judge = |shape, p| alarm.judge(verdict(shape, p));
        assert_eq!((judge(Shape::Leak, 1e-300), judge(Shape::Leak, 1e-300)), (None, None));
        assert!(judge(Shape::Leak, 1e-300).is_some());
        assert_eq!(judge(Shape::Stable, 1.0), None);
        assert_eq!(judge(Shape::Leak, 1e-300), None, "a stable window in between");
    }

    #[test]
    fn growth_is_an_alarm_when_it_matters_and_does_not_slow_down() {
        let leak = |bytes_a_second: f64| {
            let slope = SlopeInterval {
                estimate: bytes_a_second,
                low: 0.9 * bytes_a_second,
                high: 1.1 * bytes_a_second,
            };
            Verdict { slope: Some(slope), ..verdict(Shape::Leak, 1e-300) }
        };
        let windows = |paces: &[f64]| {
            let mut alarm = LeakAlarm::new(Duration::from_secs(1_800), TrendOptions::default());
            paces.iter().position(|pace| alarm.judge(leak(*pace)).is_some())
        };
        assert_eq!(windows(&[5_000.0; 9]), Some(3), "8.6 MiB a window: four are more than 32 MiB");
        assert_eq!(windows(&[20_000.0; 9]), Some(2));
        assert_eq!(windows(&[10_000.0, 20_000.0, 10_000.0]), None, "on its way to the top");
        assert_eq!(windows(&[10_000.0, 20_000.0, 40_000.0]), Some(2));
    }

    #[test]
    fn what_matters_is_never_more_than_a_quarter_of_what_is_left() {
        let alarm = |limit: u64| {
            LeakAlarm::new(
                Duration::from_secs(1_800),
                TrendOptions { limit_bytes: Some(limit), ..TrendOptions::default() },
            )
        };
        assert_eq!(alarm(2_000 << 20).matters(1_000 << 20), f64::from(32 << 20));
        assert_eq!(alarm(200 << 20).matters(160 << 20), f64::from(10 << 20));
    }
}
