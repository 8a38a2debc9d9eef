use std::time::Duration;

use super::{Sample, Series, Shape, TrendOptions, Verdict};

/// Most that one window may count for: two must agree before anything is said.
const MOST_A_WINDOW: f64 = 1e4;

/// Judges one window of readings after the other, and raises an alarm when windows in a row agree that memory leaks.
///
/// One verdict is wrong about once in a hundred; asked every half hour for a month, it will be. This keeps its word for as long as it
/// runs: on quiet series the mean time between alarms is at least [`windows_between`](Self::windows_between) windows. It multiplies
/// e-values (each window's p-value through the calibrator 1/(2√p): Vovk & Wang, *Annals of Statistics* 49, 2021) and starts over at
/// 1 whenever their product is below it, which is an e-detector (Shin, Ramdas & Rinaldo, *E-detectors*, 2022). A window that is not
/// called a leak halves what was gathered.
///
/// ```
/// use std::time::Duration;
/// use offgridflow_profile::{LeakAlarm, TrendOptions};
///
/// let mut alarm = LeakAlarm::new(Duration::from_secs(1_800), TrendOptions::default());
/// let noise = |s: u64| s.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 44;
/// let raised = (0..7_200).find_map(|s| alarm.push(Duration::from_secs(s), 100_000_000 + 4_096 * s + noise(s)));
/// assert_eq!(raised.expect("two windows of a leak").windows, 2);
/// ```
#[derive(Debug, Clone)]
pub struct LeakAlarm {
    window: Duration,
    options: TrendOptions,
    threshold: f64,
    series: Series,
    evidence: f64,
    windows: u32,
    last: Option<Verdict>,
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

impl LeakAlarm {
    /// Windows between two false alarms unless told otherwise: a hundred months of half hours.
    pub const WINDOWS_BETWEEN: u32 = 144_000;

    /// Judges windows of this length, which [`TrendOptions::min_window`] must not exceed; half an hour with a reading a second is
    /// what the error rates were measured on.
    #[must_use]
    pub fn new(window: Duration, options: TrendOptions) -> Self {
        let window = window.max(options.min_window);
        let threshold = f64::from(Self::WINDOWS_BETWEEN);
        Self { window, options, threshold, series: Series::default(), evidence: 1.0, windows: 0, last: None }
    }

    /// Mean number of windows between two false alarms, at least. Default: [`WINDOWS_BETWEEN`](Self::WINDOWS_BETWEEN).
    #[must_use]
    pub fn windows_between(self, windows: u32) -> Self {
        Self { threshold: f64::from(windows.max(2)), ..self }
    }

    /// What memory must not exceed, which may only be known later.
    pub fn set_limit(&mut self, limit_bytes: Option<u64>) {
        self.options.limit_bytes = limit_bytes;
    }

    /// Takes a reading; `at` counts from any fixed instant. With the one that completes a window, the alarm if there is one.
    pub fn push(&mut self, at: Duration, bytes: u64) -> Option<Alarm> {
        self.series.push(Sample { at, bytes });
        if self.series.span() < self.window {
            return None;
        }
        let verdict = std::mem::take(&mut self.series).verdict(&self.options);
        self.judge(verdict)
    }

    /// Takes a window's verdict from elsewhere.
    pub fn judge(&mut self, verdict: Verdict) -> Option<Alarm> {
        let leaks = verdict.shape == Shape::Leak;
        self.evidence = self.evidence.max(1.0) * if leaks { e_value(verdict.p) } else { e_value(1.0) };
        self.windows = if leaks { self.windows + 1 } else { 0 };
        let alarm = Alarm { windows: self.windows, evidence: self.evidence, verdict: verdict.clone() };
        self.last = Some(verdict);
        (self.windows >= 2 && self.evidence >= self.threshold).then_some(alarm)
    }

    /// What the newest complete window said.
    #[must_use]
    pub fn last(&self) -> Option<&Verdict> {
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

    fn verdict(shape: Shape, p: f64) -> Verdict {
        Verdict { shape, p, slope: None, time_to_limit: None, effective_n: 48.0, why: String::new() }
    }

    #[test]
    fn one_window_is_never_enough() {
        let mut alarm = LeakAlarm::new(Duration::from_secs(1_800), TrendOptions::default());
        assert_eq!(alarm.judge(verdict(Shape::Leak, 1e-300)), None);
        assert!(alarm.judge(verdict(Shape::Leak, 1e-300)).is_some());
        assert_eq!(alarm.judge(verdict(Shape::Stable, 1.0)), None);
        assert_eq!(alarm.judge(verdict(Shape::Leak, 1e-300)), None, "a stable window in between");
    }

    /// The mean of 1/(2√p) over p uniform on 0 to 1 is 1.
    #[test]
    fn the_bet_is_fair() {
        let n = 1_000_000;
        let mean = (0..n).map(|i| e_value((f64::from(i) + 0.5) / f64::from(n))).sum::<f64>() / f64::from(n);
        assert!((mean - 1.0).abs() < 0.001, "{mean}");
    }
}
