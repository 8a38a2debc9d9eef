//! Thresholds that say nothing: that no run could meet, or none could break.

use std::time::Duration;

use crate::{
    error::ConfigError,
    report::text::operations,
    threshold::{Comparison, Limit, Metric, Series, Statistic, Threshold},
};

/// Beyond this, times are not told apart.
const LONGEST: Duration = Duration::from_secs(3_600);

/// What is known of a run before it.
#[derive(Debug)]
pub(crate) struct Beforehand<'a> {
    /// All routes there can be; none if operations name theirs as they go.
    pub(crate) routes: &'a [String],
    /// All steps of operations.
    pub(crate) steps: &'a [String],
    /// The most operations that can be measured; `None` in a closed loop.
    pub(crate) operations: Option<u64>,
}

impl Beforehand<'_> {
    /// # Errors
    /// A route that does not exist, a condition that always or never holds.
    pub(crate) fn check(&self, threshold: &Threshold) -> Result<(), ConfigError> {
        self.judge(threshold)
            .map_or(Ok(()), |hint| Err(ConfigError::new("thresholds", format!("`{threshold}`: {hint}"))))
    }

    /// What is wrong with a condition.
    pub(crate) fn judge(&self, condition: &Threshold) -> Option<String> {
        self.unknown_route(condition).or_else(|| self.empty_limit(condition))
    }

    fn unknown_route(&self, threshold: &Threshold) -> Option<String> {
        let route = threshold.route.as_ref()?;
        if self.steps.contains(route) && !self.routes.contains(route) {
            return step_has_none(threshold.metric).map(Into::into);
        }
        let unknown = !self.routes.is_empty() && !self.routes.contains(route);
        let known = || [self.routes, self.steps].concat();
        unknown.then(|| format!("there is no such route; there are {}", listed(&known())))
    }

    /// Whether the limit lies where every run is on the same side of it.
    fn empty_limit(&self, threshold: &Threshold) -> Option<String> {
        let comparison = threshold.comparison;
        let (always, why) = match (threshold.metric, threshold.limit) {
            (Metric::FailureRatio | Metric::AchievedRate | Metric::LateRatio, Limit::Percent(limit)) => {
                (decided(comparison, limit, 0.0, Some(100.0)), "it is a share, from 0% to 100%".into())
            }
            (Metric::Throughput, Limit::PerSecond(limit)) => {
                (decided(comparison, limit, 0.0, None), "a rate is never below 0".into())
            }
            (Metric::Failures | Metric::Answered, Limit::Count(limit)) => {
                let why = self.operations.map_or_else(
                    || "it is never below 0".into(),
                    |most| format!("the plan has {} to measure", operations(most)),
                );
                (decided(comparison, limit, 0, self.operations), why)
            }
            (Metric::Time(Statistic::Quantile(_), _), Limit::Time(limit)) if limit > LONGEST => {
                return Some("times beyond an hour are not told apart".into());
            }
            (Metric::Time(..), Limit::Time(limit)) => {
                (decided(comparison, limit, Duration::ZERO, None), "a time is never below 0".into())
            }
            _ => return None,
        };
        let verdict = if always? { "no run could break this" } else { "no run could meet this" };
        let remedy = match threshold.metric {
            Metric::FailureRatio if always == Some(true) => {
                "; to judge no failures, set failure_threshold to 100% (`--failure-threshold 100%`)"
            }
            _ => "",
        };
        Some(format!("{verdict}: {why}{remedy}"))
    }
}

/// Why a step of an operation has no such metric.
fn step_has_none(metric: Metric) -> Option<&'static str> {
    match metric {
        Metric::Time(_, Series::Service) | Metric::FailureRatio | Metric::Failures | Metric::Answered => None,
        Metric::Time(..) => Some(
            "a step has no response time, since no schedule says when it should begin: judge its service time, or the response time of its flow",
        ),
        _ => Some("this is measured for whole operations: judge the step's flow"),
    }
}

/// Whether the comparison holds for all values from `least` to `most` (`true`), for none (`false`), or for some.
fn decided<T: PartialOrd + Copy>(
    comparison: Comparison,
    limit: T,
    least: T,
    most: Option<T>,
) -> Option<bool> {
    let (at_least, at_most) =
        (comparison.holds(least, limit), most.map(|most| comparison.holds(most, limit)));
    match at_most {
        Some(at_most) => (at_least == at_most).then_some(at_least),
        // Without an end, what small values fail to stay below, all do; what they exceed already, all do.
        None if comparison.is_upper() => (!at_least).then_some(false),
        None => at_least.then_some(true),
    }
}

/// The first ten.
fn listed(routes: &[String]) -> String {
    const SHOWN: usize = 10;
    let names: Vec<_> = routes.iter().take(SHOWN).map(|name| format!("`{name}`")).collect();
    let more = if routes.len() > SHOWN { ", …" } else { "" };
    format!("{}{more}", names.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(text: &str) -> Option<String> {
        let routes = ["GET /a".to_owned(), "POST /b".to_owned()];
        let steps = ["POST /b: pay".to_owned()];
        let known = Beforehand { routes: &routes, steps: &steps, operations: Some(500) };
        known.check(&text.parse().expect(text)).err().map(|error| error.hint)
    }

    #[test]
    fn what_no_run_could_decide_is_refused_with_its_reason() {
        for (text, why) in [
            ("failure_ratio <= 200%", "break this: it is a share"),
            ("failure_ratio <= 100%", "set failure_threshold to 100% (`--failure-threshold 100%`)"),
            ("failure_ratio < 0%", "meet"),
            ("failure_ratio{GET /a} > 100%", "meet"),
            ("achieved_rate >= 0%", "break"),
            ("achieved_rate >= 101%", "meet"),
            ("p95(response) < 0ms", "meet this: a time is never below 0"),
            ("min(service) >= 0s", "break"),
            ("p99(response) < 2h", "beyond an hour"),
            ("failures >= 0", "break"),
            ("throughput >= 0/s", "break"),
            ("throughput < 0/s", "meet"),
            ("failures < 0", "meet"),
            ("failures <= 500", "break this: the plan has 500"),
            ("answered >= 501", "meet"),
            ("p95(response){GET /c} < 1s", "there are `GET /a`, `POST /b`, `POST /b: pay`"),
            ("p95(response){POST /b: pay} < 1s", "a step has no response time"),
            ("late_ratio{POST /b: pay} < 1%", "judge the step's flow"),
        ] {
            let hint = fault(text).unwrap_or_default();
            assert!(hint.contains(why) && hint.starts_with('`'), "{text}: {hint}");
        }
    }

    #[test]
    fn what_a_run_decides_is_accepted() {
        for text in [
            "failure_ratio <= 0%",
            "failure_ratio < 100%",
            "achieved_rate >= 100%",
            "p95(response){POST /b} <= 0ms",
            "max(response) > 0ms",
            "p99(response) < 1h",
            "failures <= 0",
            "throughput > 0/s",
            "late_ratio{GET /a} < 5%",
            "p95(service){POST /b: pay} < 1s",
            "failure_ratio{POST /b: pay} < 5%",
            "failures < 500",
            "answered >= 500",
        ] {
            assert_eq!(fault(text), None, "{text}");
        }
        let closed = Beforehand { routes: &[], steps: &[], operations: None };
        closed.check(&"failures{any} < 1000000".parse().expect("text")).expect("a closed loop has no end");
    }
}
