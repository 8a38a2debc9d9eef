//! Leaving the warm-up out of the numbers.

use std::{fmt, str::FromStr, time::Duration};

use crate::{
    stats::{trend, warm_up_cut},
    units::{exact_duration, parse_duration},
};

/// Which first part of a run is run but not measured: cold caches, growing pools, code not yet compiled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum WarmUp {
    /// Everything is measured.
    #[default]
    None,
    /// What is intended before this much of the plan has passed is not measured.
    For(Duration),
    /// Measured from when the response times have become steady: every second, MSER-5 (White 1997) looks for the
    /// cut in what was seen so far that leaves the steadiest rest, and a trend test at that rest. If half of the
    /// plan passes first, the second half is measured, and the report says so. Needs plans of 20 s and more.
    Auto,
}

impl FromStr for WarmUp {
    type Err = String;

    /// Reads `auto`, `none` or a duration such as `10s`.
    fn from_str(text: &str) -> Result<Self, String> {
        match text.trim() {
            "auto" => Ok(Self::Auto),
            "none" => Ok(Self::None),
            text => match parse_duration(text) {
                Ok(Duration::ZERO) => Ok(Self::None),
                Ok(length) => Ok(Self::For(length)),
                Err(hint) => Err(format!("{hint}; or \"auto\"")),
            },
        }
    }
}

impl fmt::Display for WarmUp {
    /// As [`from_str`](Self::from_str) reads it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("none"),
            Self::For(length) => f.write_str(&exact_duration(*length)),
            Self::Auto => f.write_str("auto"),
        }
    }
}

/// Below this probability of a trend as clear as the one seen, the response times rise or fall.
const LEVEL: f64 = 0.01;
/// How many windows ahead the end of a warm-up is announced, so that every shard hears of it in time.
const NOTICE: u32 = 3;
/// How many means are kept; beyond it neighbours are merged.
const KEPT: usize = 512;

/// The mean response time of tenth after tenth of a second, and what it says about the run being steady.
#[derive(Debug)]
pub(crate) struct Steadiness {
    /// When the measured part begins, once that is known.
    measured_from: Option<Duration>,
    latest: Duration, // measuring begins no later
    seen: Means,      // of the warm-up, then of the measured part
    settled: bool,
}

impl Steadiness {
    pub(crate) fn new(warm_up: WarmUp, planned: Duration) -> Self {
        let measured_from = match warm_up {
            WarmUp::None => Some(Duration::ZERO),
            WarmUp::For(length) => Some(length),
            WarmUp::Auto => None,
        };
        Self { measured_from, latest: planned / 2, seen: Means::default(), settled: true }
    }

    pub(crate) fn measured_from(&self) -> Option<Duration> {
        self.measured_from
    }

    /// Whether an automatic warm-up ended because the run was steady, not because half of it was over.
    pub(crate) fn settled(&self) -> bool {
        self.settled
    }

    /// Takes a window that ended at `to`; the answer is from when on is measured, the moment that is decided.
    pub(crate) fn take(
        &mut self,
        to: Duration,
        window: Duration,
        means: impl Iterator<Item = f64>,
    ) -> Option<Duration> {
        if self.measured_from.is_none_or(|from| from < to) {
            means.for_each(|mean| self.seen.push(mean));
        }
        if self.measured_from.is_some() {
            return None;
        }
        let from = to + window * NOTICE;
        self.settled = self.is_steady();
        if !self.settled && from + window < self.latest {
            return None;
        }
        self.seen = Means::default();
        self.measured_from = Some(from);
        self.measured_from
    }

    /// Whether the response times of the measured part still rose or fell; `None` if that cannot be told.
    pub(crate) fn has_trend(&self) -> Option<bool> {
        rises_or_falls(&self.seen.all)
    }

    /// There is a cut, and what follows it goes neither up nor down.
    fn is_steady(&self) -> bool {
        let means = &self.seen.all;
        warm_up_cut(means).is_ok_and(|cut| rises_or_falls(&means[cut..]) == Some(false))
    }
}

fn rises_or_falls(means: &[f64]) -> Option<bool> {
    trend(means).map(|trend| !trend.is_stationary(LEVEL))
}

/// At most [`KEPT`] means of equally long stretches.
#[derive(Debug)]
struct Means {
    all: Vec<f64>,
    part: (f64, u32), // sum and count of the stretch under way
    windows: u32,     // in a stretch
}

impl Default for Means {
    fn default() -> Self {
        Self { all: Vec::new(), part: (0.0, 0), windows: 1 }
    }
}

impl Means {
    fn push(&mut self, mean: f64) {
        self.part = (self.part.0 + mean, self.part.1 + 1);
        if self.part.1 < self.windows {
            return;
        }
        self.all.push(self.part.0 / f64::from(self.part.1));
        self.part = (0.0, 0);
        if self.all.len() >= KEPT {
            self.all = self.all.chunks(2).map(|pair| pair.iter().sum::<f64>() / 2.0).collect();
            self.windows *= 2;
        }
    }
}
