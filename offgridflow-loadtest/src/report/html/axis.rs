//! Where a value lies on an axis, as a share of its length, and which values are worth a mark.

use std::time::Duration;

use crate::histogram::as_f64;

/// A mark: where, and what stands there.
pub(super) type Tick = (f64, String);

/// Times, so that each factor takes the same room.
#[derive(Debug, Clone, Copy)]
pub(super) struct LogAxis {
    low: f64, // log10 of nanoseconds
    high: f64,
}

impl LogAxis {
    /// From the shortest to the longest, with some room; at least half a decade.
    pub(super) fn over(times: impl Iterator<Item = Duration>) -> Option<Self> {
        let logs = times.map(log10);
        let ends = logs.fold(None, |ends: Option<(f64, f64)>, log| {
            ends.map_or(Some((log, log)), |(low, high)| Some((low.min(log), high.max(log))))
        });
        let (low, high) = ends?;
        let room = (0.5 - (high - low)).max(0.1) / 2.0;
        Some(Self { low: low - room, high: high + room })
    }

    pub(super) fn share(self, time: Duration) -> f64 {
        ((log10(time) - self.low) / (self.high - self.low)).clamp(0.0, 1.0)
    }

    /// Powers of ten, and 2 and 5 of them where there is room.
    pub(super) fn ticks(self) -> Vec<Tick> {
        let steps: &[u64] = if self.high - self.low > 2.5 { &[1] } else { &[1, 2, 5] };
        let marks = (0..=13_u32).flat_map(|power| steps.iter().map(move |step| step * 10_u64.pow(power)));
        let inside = |ns: &u64| (self.low..=self.high).contains(&libm::log10(as_f64(*ns)));
        marks.filter(inside).map(|ns| (self.share(Duration::from_nanos(ns)), round_time(ns))).collect()
    }
}

fn log10(time: Duration) -> f64 {
    libm::log10((time.as_secs_f64() * 1e9).max(1.0))
}

/// Whole numbers of one unit.
fn round_time(ns: u64) -> String {
    match ns {
        0..1_000 => format!("{ns} ns"),
        1_000..1_000_000 => format!("{} µs", ns / 1_000),
        1_000_000..1_000_000_000 => format!("{} ms", ns / 1_000_000),
        _ => format!("{} s", ns / 1_000_000_000),
    }
}

/// From zero to a value.
#[derive(Debug, Clone, Copy)]
pub(super) struct Linear {
    high: f64,
}

impl Linear {
    pub(super) fn up_to(high: f64) -> Self {
        Self { high: if high > 0.0 { high * 1.05 } else { 1.0 } }
    }

    pub(super) fn share(self, value: f64) -> f64 {
        (value / self.high).clamp(0.0, 1.0)
    }

    /// Four or five round numbers.
    pub(super) fn ticks(self) -> Vec<Tick> {
        let power = libm::pow(10.0, libm::floor(libm::log10(self.high / 4.0)));
        let step = [1.0, 2.0, 5.0, 10.0].map(|m| m * power).into_iter().find(|step| self.high / step <= 5.0);
        let step = step.unwrap_or(self.high);
        let marks = (0..=5).map(|nth| f64::from(nth) * step).filter(|value| *value <= self.high);
        marks.map(|value| (self.share(value), plain(value))).collect()
    }
}

fn plain(value: f64) -> String {
    let digits = if value >= 10.0 || value == 0.0 { 0 } else { 2 };
    let text = format!("{value:.digits$}");
    if digits > 0 { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

/// The seconds of a run.
#[derive(Debug, Clone, Copy)]
pub(super) struct Seconds {
    end: f64,
}

impl Seconds {
    pub(super) fn up_to(end: Duration) -> Self {
        Self { end: end.as_secs_f64().max(1e-9) }
    }

    pub(super) fn share(self, at: Duration) -> f64 {
        (at.as_secs_f64() / self.end).clamp(0.0, 1.0)
    }

    /// At most ten, in steps that clocks have.
    pub(super) fn ticks(self) -> Vec<Tick> {
        const STEPS: [u32; 15] =
            [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1_800, 3_600, 7_200, 21_600, 86_400];
        let step = STEPS.map(f64::from).into_iter().find(|step| self.end / step <= 10.0);
        let step = step.unwrap_or(self.end / 10.0);
        let marks = (0..=10).map(|nth| f64::from(nth) * step).filter(|at| *at <= self.end * 1.000_001);
        marks.map(|at| ((at / self.end).min(1.0), clock(at))).collect()
    }
}

fn clock(seconds: f64) -> String {
    match seconds {
        0.0 => "0".into(),
        s if s < 120.0 => format!("{s:.0} s"),
        s if s < 7_200.0 => format!("{} min", plain(s / 60.0)),
        s => format!("{} h", plain(s / 3_600.0)),
    }
}

/// Shares of operations, so that each nine takes the same room.
#[derive(Debug, Clone, Copy)]
pub(super) struct Nines {
    end: f64, // decades
}

impl Nines {
    pub(super) fn up_to(share: f64) -> Self {
        Self { end: nines(share).max(1.0) }
    }

    pub(super) fn share(self, share: f64) -> f64 {
        (nines(share) / self.end).clamp(0.0, 1.0)
    }

    pub(super) fn ticks(self) -> Vec<Tick> {
        const MARKS: [(f64, &str); 9] = [
            (0.0, "0"),
            (0.5, "50 %"),
            (0.9, "90 %"),
            (0.99, "99 %"),
            (0.999, "99.9 %"),
            (0.9999, "99.99 %"),
            (0.99999, "99.999 %"),
            (0.999_999, "99.9999 %"),
            (0.999_999_9, "99.99999 %"),
        ];
        let inside = MARKS.into_iter().filter(|&(share, _)| nines(share) <= self.end + 1e-6);
        inside.map(|(share, label)| (self.share(share), label.to_owned())).collect()
    }
}

fn nines(share: f64) -> f64 {
    -libm::log10((1.0 - share).max(1e-9))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(ticks: Vec<Tick>) -> Vec<String> {
        ticks.into_iter().map(|(_, label)| label).collect()
    }

    #[test]
    fn marks_are_round_and_within_the_axis() {
        let ms = Duration::from_millis;
        let short = LogAxis::over([ms(1), ms(9)].into_iter()).expect("times");
        assert_eq!(labels(short.ticks()), ["1 ms", "2 ms", "5 ms", "10 ms"]);
        let long = LogAxis::over([Duration::from_micros(20), ms(5_000)].into_iter()).expect("times");
        assert_eq!(labels(long.ticks()), ["100 µs", "1 ms", "10 ms", "100 ms", "1 s"]);
        assert!(short.ticks().iter().all(|(share, _)| (0.0..=1.0).contains(share)));
        assert!(LogAxis::over(std::iter::empty()).is_none());
        assert_eq!(labels(Linear::up_to(1_000.0).ticks()), ["0", "500", "1000"]);
        assert_eq!(labels(Linear::up_to(0.0).ticks())[0], "0");
        assert_eq!(labels(Seconds::up_to(ms(20_000)).ticks()).last().map(String::as_str), Some("20 s"));
        assert_eq!(labels(Seconds::up_to(ms(3_600_000)).ticks())[1], "10 min");
        assert_eq!(labels(Nines::up_to(0.999).ticks()), ["0", "50 %", "90 %", "99 %", "99.9 %"]);
    }

    #[test]
    fn each_nine_takes_the_same_room() {
        let axis = Nines::up_to(0.9999);
        assert!((axis.share(0.99) - 0.5).abs() < 1e-9 && axis.share(0.0) == 0.0);
        let log = LogAxis::over([Duration::from_micros(10), Duration::from_millis(10)].into_iter());
        let log = log.expect("times");
        let [low, middle, high] = [10, 316, 10_000].map(|us| log.share(Duration::from_micros(us)));
        assert!((middle - (low + high) / 2.0).abs() < 1e-3);
    }
}
