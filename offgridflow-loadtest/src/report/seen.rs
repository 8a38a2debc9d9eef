//! What was seen of one route, or of all, as it is reported.

use std::{borrow::Cow, sync::Arc, time::Duration};

use super::{Correction, Intervals, Row, StepRow, Summary};
use crate::{
    executor::Executor,
    histogram::{Distribution, Interval, Observed, Omission, Quantile, min_samples},
    plan::Plan,
    recorder::RouteRecord,
    window::per_sec,
};

/// A route's record, and its response times with what a closed loop left out.
pub(super) struct Seen<'a> {
    pub(super) name: Arc<str>,
    pub(super) record: Cow<'a, RouteRecord>,
    corrected: Option<Distribution>,
    filled: u64,
}

impl<'a> Seen<'a> {
    /// As it was recorded, but for operations that workers left out who go on every `turn`.
    pub(super) fn new(
        name: Arc<str>,
        record: &'a RouteRecord,
        turn: Option<Duration>,
        longest_silence: Duration,
    ) -> Self {
        let response = &record.response.seen;
        let omission = turn.map(|turn| {
            // What is slow on this route by its nature held nobody up.
            let slow = response.answered().quantile(0.9).unwrap_or_default();
            let usual = turn.max(slow) * 2;
            // What took longer than nobody was answered is slow beside others that were.
            Omission { turn, usual, longest: longest_silence + usual / 2 }
        });
        let (corrected, filled) = omission.and_then(|omission| omission.fill(response)).unzip();
        Self { name, record: Cow::Borrowed(record), corrected, filled: filled.unwrap_or(0) }
    }

    /// All routes together, which are `total` as recorded.
    pub(super) fn all(routes: &[Self], total: RouteRecord) -> Seen<'static> {
        let filled = routes.iter().map(|route| route.filled).sum();
        let corrected = (filled > 0).then(|| {
            let mut all = Distribution::default();
            routes.iter().for_each(|route| all.merge(route.response()));
            all
        });
        Seen { name: "".into(), record: Cow::Owned(total), corrected, filled }
    }

    /// What a user would have waited.
    pub(super) fn response(&self) -> &Distribution {
        self.corrected.as_ref().unwrap_or(&self.record.response.seen)
    }

    /// Whether the response times hold more than was observed.
    pub(super) fn is_corrected(&self) -> bool {
        self.corrected.is_some()
    }

    pub(super) fn row(&self, window: Duration) -> Row {
        let record = &self.record;
        Row {
            route: self.name.to_string(),
            ok: record.ok,
            failed: record.failed,
            answered: record.response.seen.answered().count(),
            bytes: record.bytes,
            rate_per_sec: per_sec(record.within, window),
            response: Summary::corrected(self.response(), &record.response),
            service: (&record.service).into(),
        }
    }

    pub(super) fn step(&self) -> StepRow {
        let record = &self.record;
        StepRow {
            step: self.name.to_string(),
            ok: record.ok,
            failed: record.failed,
            answered: record.answered(),
            bytes: record.bytes,
            service: (&record.service).into(),
        }
    }

    /// What was filled into the response times of a closed loop.
    pub(super) fn correction(&self, turn: Option<Duration>, longest_silence: Duration) -> Option<Correction> {
        turn.map(|interval| Correction { interval, filled: self.filled, longest_silence })
    }

    /// Whether what was filled in raised one of the percentiles that are shown by more than a tenth.
    pub(super) fn is_raised(&self) -> bool {
        let raised = |q: f64| {
            let at = |seen: &Distribution| seen.empirical(q).and_then(Quantile::least).unwrap_or_default();
            at(self.response()) > at(&self.record.response.seen).mul_f64(1.1)
        };
        self.filled > 0 && [0.5, 0.95, 0.99, 0.999].into_iter().any(raised)
    }
}

/// How long a worker of a closed loop usually takes from one operation to the next: a median answer and a rest. `None` in an open
/// loop, at saturation, and where nothing was answered.
pub(super) fn turn(plan: &Plan, total: &RouteRecord) -> Option<Duration> {
    let Executor::Closed(closed) = &plan.executor else { return None };
    if closed.saturate {
        return None; // nobody's wait is asked about
    }
    let turn = total.service.seen.answered().quantile(0.5)? + closed.think_time;
    (!turn.is_zero()).then_some(turn)
}

impl Summary {
    /// Of a distribution that may hold more than was observed.
    fn corrected(seen: &Distribution, observed: &Observed) -> Self {
        Self::of(seen, observed.seen.count(), |q| interval(seen, observed, q))
    }

    /// Tails rest on what was observed, however much was filled in.
    fn of(seen: &Distribution, observed: u64, interval: impl Fn(f64) -> Interval) -> Self {
        let quantile = |q: f64| match min_samples(q) {
            need if observed < need => Quantile::Needs(need),
            _ => seen.quantile(q),
        };
        Self {
            count: seen.count(),
            unanswered: seen.unanswered(),
            min: seen.answered().min(),
            mean: seen.mean(),
            max: seen.max(),
            p50: quantile(0.5),
            p90: quantile(0.9),
            p95: quantile(0.95),
            p99: quantile(0.99),
            p999: quantile(0.999),
            intervals: Intervals {
                p50: interval(0.5),
                p90: interval(0.9),
                p95: interval(0.95),
                p99: interval(0.99),
                p999: interval(0.999),
            },
        }
    }
}

/// The interval of what was observed, where it holds the percentile of `seen`, which may be more, too.
pub(super) fn interval(seen: &Distribution, observed: &Observed, q: f64) -> Interval {
    let stated = observed.interval(q);
    let Interval::Stated { low, high } = stated else { return stated };
    let at = seen.empirical(q).and_then(Quantile::value);
    let holds = at.is_some_and(|at| low <= at && high.is_none_or(|high| at <= high));
    if holds { stated } else { Interval::NONE }
}

impl From<&Observed> for Summary {
    fn from(observed: &Observed) -> Self {
        Self::of(&observed.seen, observed.seen.count(), |q| observed.interval(q))
    }
}
