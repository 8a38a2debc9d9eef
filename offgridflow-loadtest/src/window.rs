//! What a reporter sees while the run goes on.

use std::time::Duration;

use crate::{
    histogram::{Distribution, Quantile},
    outlook::Outlook,
    window_record::WindowRecord,
};

/// Below, the p95 of a window is its longest.
const SHOWN_P95: u64 = 20;

/// A stretch of the run, about a second long. Rates are those of this stretch only.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct Window {
    /// Where it begins, from the start of the run.
    #[cfg_attr(feature = "serde", serde(rename = "from_ns", with = "crate::report::nanos"))]
    pub from: Duration,
    /// Where it ends.
    #[cfg_attr(feature = "serde", serde(rename = "to_ns", with = "crate::report::nanos"))]
    pub to: Duration,
    /// How long the whole run is planned to take.
    #[cfg_attr(feature = "serde", serde(rename = "planned_ns", with = "crate::report::nanos"))]
    pub planned: Duration,
    /// How much of it the run was paused for.
    #[cfg_attr(feature = "serde", serde(rename = "paused_ns", with = "crate::report::nanos", default))]
    pub paused: Duration,
    /// How many operations the schedule wanted in it; `None` in a closed loop.
    pub offered: Option<u64>,
    /// How many ended well in it.
    pub ok: u64,
    /// How many failed in it.
    pub failed: u64,
    /// How many were in flight at its end.
    pub in_flight: u64,
    /// Whether it belongs to the measured part, not to the warm-up: then it holds measured operations only.
    pub measured: bool,
    /// Median response time of what ended in it.
    pub p50: Option<Quantile>,
    /// 95th percentile of the response time of exactly what ended in it; `None` below 20 operations, of which it would be the longest.
    pub p95: Option<Quantile>,
    /// 99th percentile of the generator's own lag in it.
    #[cfg_attr(feature = "serde", serde(rename = "lag_p99_ns", with = "crate::report::opt_nanos"))]
    pub lag_p99: Option<Duration>,
    /// How the run looks so far; in no file.
    #[cfg_attr(feature = "serde", serde(skip))]
    pub outlook: Option<Outlook>,
    /// What failed so far in the measured part, by cause, the commonest first; at most [`CAUSES`](Self::CAUSES), and in no file.
    #[cfg_attr(feature = "serde", serde(skip))]
    pub failures: Vec<(String, u64)>,
    #[cfg_attr(feature = "serde", serde(skip))]
    pub(crate) response: Distribution,
}

impl Window {
    /// How many causes of failures it names.
    pub const CAUSES: usize = 5;

    /// What was seen in it, with its response times taken out; the rest is the plan's.
    pub(crate) fn of(from: Duration, to: Duration, seen: &mut WindowRecord) -> Self {
        let response = std::mem::take(&mut seen.response);
        Self {
            from,
            to,
            planned: Duration::ZERO,
            paused: Duration::ZERO,
            offered: None,
            ok: seen.ok,
            failed: seen.failed,
            in_flight: seen.in_flight,
            measured: false,
            p50: response.empirical(0.5),
            p95: response.empirical(0.95).filter(|_| response.count() >= SHOWN_P95),
            lag_p99: seen.lag.quantile(0.99),
            outlook: None,
            failures: Vec::new(),
            response,
        }
    }

    /// The response times of what ended in it.
    #[must_use]
    pub fn responses(&self) -> &Distribution {
        &self.response
    }

    /// Its length.
    #[must_use]
    pub fn length(&self) -> Duration {
        self.to.saturating_sub(self.from)
    }

    /// Operations that ended in it, a second.
    #[must_use]
    pub fn done_per_sec(&self) -> f64 {
        per_sec(self.ok + self.failed, self.length())
    }

    /// Operations wanted in it, a second.
    #[must_use]
    pub fn offered_per_sec(&self) -> Option<f64> {
        self.offered.map(|offered| per_sec(offered, self.length()))
    }
}

pub(crate) fn per_sec(count: u64, span: Duration) -> f64 {
    if span.is_zero() { 0.0 } else { crate::histogram::as_f64(count) / span.as_secs_f64() }
}
