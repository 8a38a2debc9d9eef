//! Thresholds against the numbers.

use std::time::Duration;

use super::{Measured, ThresholdResult, ThresholdStatus, seen::Seen, text};
use crate::{
    histogram::{Distribution, Quantile, as_f64, min_samples},
    recorder::RouteRecord,
    threshold::{Limit, Metric, Series, Statistic, Threshold},
    units::measured_rate,
    window::per_sec,
};

/// What a threshold says about the numbers.
pub(super) enum Finding {
    Met(String),
    Broken(String),
    /// Broken, but not without the generator's own lag.
    BrokenByLag(String),
    TooFew {
        have: u64,
        need: u64,
    },
}

/// What ended in the last seconds of a run: what rules that end it are held against.
#[derive(Default)]
pub(crate) struct LastSeconds {
    pub(crate) over: Duration,
    /// Due in that time; 0 in a closed loop.
    pub(crate) offered: u64,
    pub(crate) ok: u64,
    pub(crate) failed: u64,
    pub(crate) late: u64,
    pub(crate) answered: u64,
    pub(crate) seen: Distribution,
}

impl LastSeconds {
    /// What was measured, where the condition holds; nothing where it does not, or nobody can tell.
    pub(crate) fn holds(&self, condition: &Threshold) -> Option<String> {
        let all = self.ok + self.failed;
        let finding = match (condition.metric, condition.limit) {
            (Metric::Time(statistic, _), Limit::Time(limit)) => {
                times(condition, statistic, (&self.seen, self.seen.count()), limit)
            }
            (Metric::FailureRatio, Limit::Percent(limit)) => {
                percent(condition, ratio(self.failed, all), limit)
            }
            (Metric::AchievedRate, Limit::Percent(limit)) => {
                percent(condition, ratio(self.answered, self.offered), limit)
            }
            (Metric::LateRatio, Limit::Percent(limit)) => {
                percent(condition, ratio(self.late + all.saturating_sub(self.answered), all), limit)
            }
            (Metric::Throughput, Limit::PerSecond(limit)) => {
                rate(condition, per_sec(self.answered, self.over), limit)
            }
            (Metric::Failures, Limit::Count(limit)) => count(condition, self.failed, limit),
            (Metric::Answered, Limit::Count(limit)) => count(condition, self.answered, limit),
            _ => return None,
        };
        if let Finding::Met(measured) = finding { Some(measured) } else { None }
    }
}

/// What thresholds are held against.
pub(super) struct Facts<'a> {
    pub(super) measured: &'a Measured,
    pub(super) total: &'a Seen<'a>,
    pub(super) routes: &'a [Seen<'a>],
    pub(super) steps: &'a [Seen<'a>],
    pub(super) in_time: Option<u64>,
    /// How long was measured.
    pub(super) window: Duration,
}

impl Facts<'_> {
    pub(super) fn check(&self, threshold: &Threshold) -> Finding {
        let Some(seen) = self.seen(threshold) else {
            return Finding::Broken("no operation on this route".into());
        };
        let record: &RouteRecord = &seen.record;
        match (threshold.metric, threshold.limit) {
            (Metric::Time(statistic, series), Limit::Time(limit)) => {
                let (seen, observed) = self.series(seen, series);
                let finding = times(threshold, statistic, (seen, observed), limit);
                self.excuse(finding, threshold, statistic, limit)
            }
            (Metric::FailureRatio, Limit::Percent(limit)) => {
                percent(threshold, ratio(record.failed, record.ok + record.failed), limit)
            }
            (Metric::AchievedRate, Limit::Percent(limit)) => {
                percent(threshold, self.in_time.and_then(|count| ratio(count, self.measured.offered)), limit)
            }
            (Metric::LateRatio, Limit::Percent(limit)) => percent(threshold, missed_deadline(record), limit),
            (Metric::Throughput, Limit::PerSecond(limit)) => {
                rate(threshold, per_sec(record.within, self.window), limit)
            }
            (Metric::Failures, Limit::Count(limit)) => count(threshold, record.failed, limit),
            (Metric::Answered, Limit::Count(limit)) => count(threshold, record.answered(), limit),
            _ => Finding::Broken("the limit does not fit the metric".into()),
        }
    }

    /// Whether another run as long would come out the same; nothing where nobody can tell.
    pub(super) fn certain(&self, threshold: &Threshold) -> Option<bool> {
        let (Metric::Time(Statistic::Quantile(thousandths), series), Limit::Time(limit)) =
            (threshold.metric, threshold.limit)
        else {
            return None;
        };
        let seen = self.seen(threshold)?;
        if seen.is_corrected() {
            return None;
        }
        let observed = match series {
            Series::Response => &seen.record.response,
            Series::Service => &seen.record.service,
            Series::DispatchLag => &self.measured.tally.lag,
            Series::AdmissionWait => &self.measured.tally.wait,
            Series::FirstByte => &self.measured.tally.first_byte,
        };
        Some(observed.side(f64::from(thousandths) / 100_000.0, limit).is_some())
    }

    /// Whether a response time was too long only because the generator sent late.
    fn excuse(
        &self,
        finding: Finding,
        threshold: &Threshold,
        statistic: Statistic,
        limit: Duration,
    ) -> Finding {
        let (Finding::Broken(measured), Statistic::Quantile(thousandths)) = (&finding, statistic) else {
            return finding;
        };
        let response = threshold.metric == Metric::Time(statistic, Series::Response);
        if !response || threshold.route.is_some() || !threshold.comparison.is_upper() {
            return finding;
        }
        let q = f64::from(thousandths) / 100_000.0;
        let holds = |time: Option<Duration>| time.is_some_and(|time| threshold.comparison.holds(time, limit));
        let raw = &self.total.record.response.seen;
        let lag = &self.measured.tally.undelayed;
        // What only fails with the operations that a closed loop left out is not the lag's doing.
        let by_lag = !holds(raw.answered().quantile(q)) && holds(lag.quantile(q));
        if by_lag && raw.unanswered() == 0 { Finding::BrokenByLag(measured.clone()) } else { finding }
    }

    fn seen(&self, threshold: &Threshold) -> Option<&Seen<'_>> {
        match &threshold.route {
            None => Some(self.total),
            Some(route) => self.routes.iter().chain(self.steps).find(|seen| *seen.name == **route),
        }
    }

    /// The times that are judged, and how many of them were observed.
    fn series<'a>(&'a self, seen: &'a Seen<'_>, series: Series) -> (&'a Distribution, u64) {
        let series = match series {
            Series::Response => return (seen.response(), seen.record.response.seen.count()),
            Series::Service => &seen.record.service,
            Series::DispatchLag => &self.measured.tally.lag,
            Series::AdmissionWait => &self.measured.tally.wait,
            Series::FirstByte => &self.measured.tally.first_byte,
        };
        (&series.seen, series.seen.count())
    }
}

fn times(
    threshold: &Threshold,
    statistic: Statistic,
    (seen, observed): (&Distribution, u64),
    limit: Duration,
) -> Finding {
    let measured = match statistic {
        Statistic::Quantile(thousandths) => {
            let q = f64::from(thousandths) / 100_000.0;
            let (have, need) = (observed, min_samples(q));
            if have > 0 && have < need {
                return Finding::TooFew { have, need };
            }
            seen.empirical(q)
        }
        Statistic::Mean => seen.mean(),
        Statistic::Max => seen.max(),
        Statistic::Min => seen.answered().min().map(Quantile::Value),
    };
    let holds = match measured {
        None => return Finding::Broken("no data".into()),
        Some(Quantile::Value(value)) => threshold.comparison.holds(value, limit),
        // A bound proves that something was slow, never that it was fast.
        Some(Quantile::AtLeast(value)) => {
            !threshold.comparison.is_upper() && threshold.comparison.holds(value, limit)
        }
        Some(Quantile::Needs(need)) => return Finding::TooFew { have: observed, need },
    };
    finding(holds, measured.map_or_else(String::new, text::quantile))
}

fn percent(threshold: &Threshold, measured: Option<f64>, limit: f64) -> Finding {
    let Some(measured) = measured else { return Finding::Broken("no data".into()) };
    finding(threshold.comparison.holds(measured, limit), format!("{measured:.3}%"))
}

fn rate(threshold: &Threshold, measured: f64, limit: f64) -> Finding {
    finding(threshold.comparison.holds(measured, limit), format!("{}/s", measured_rate(measured)))
}

/// The percentage of operations that were answered after their deadline, or never.
pub(super) fn missed_deadline(record: &RouteRecord) -> Option<f64> {
    ratio(record.late + record.response.seen.unanswered(), record.ok + record.failed)
}

fn count(threshold: &Threshold, measured: u64, limit: u64) -> Finding {
    finding(threshold.comparison.holds(measured, limit), measured.to_string())
}

pub(super) fn ratio(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| as_f64(part) * 100.0 / as_f64(whole))
}

fn finding(holds: bool, measured: String) -> Finding {
    if holds { Finding::Met(measured) } else { Finding::Broken(measured) }
}

pub(super) fn result(
    threshold: &Threshold,
    finding: Finding,
    judged: bool,
    certain: Option<bool>,
) -> ThresholdResult {
    let (status, measured) = match finding {
        Finding::Met(measured) => (ThresholdStatus::Met, measured),
        Finding::Broken(measured) | Finding::BrokenByLag(measured) => (ThresholdStatus::Broken, measured),
        Finding::TooFew { have, need } => {
            (ThresholdStatus::NotJudged, format!("{have} of the {need} operations it needs"))
        }
    };
    let status = if judged { status } else { ThresholdStatus::NotJudged };
    let certain = certain.filter(|_| status != ThresholdStatus::NotJudged);
    ThresholdResult { threshold: threshold.to_string(), status, measured, certain }
}
