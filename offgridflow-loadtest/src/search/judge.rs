//! What a run says of its rate.

use std::time::Duration;

use super::{Leaning, Observation, Trial};
use crate::{
    error::Error,
    histogram::as_f64,
    report::{Ending, Report, ThresholdResult, ThresholdStatus},
    run::LoadTest,
    threshold::{Limit as Bound, Metric, Series, Statistic, Threshold},
    units::exact_duration,
    verdict::{Limit, Validity},
    workload::Workload,
};

/// How many times its limit a median may be before a run is ended: more would say nothing more.
const HOPELESS: u32 = 4;
/// Over which time.
const FOR: Duration = Duration::from_secs(2);

/// The test, ended early where it is far beyond its SLO.
pub(crate) fn ruled<W: Workload>(test: LoadTest<W>, trial: &Trial) -> Result<LoadTest<W>, Error> {
    let plan = test.validate()?;
    let limit = response_limit(&plan.thresholds).filter(|_| trial.length > FOR * 2);
    Ok(match limit {
        Some(limit) => {
            let limit = exact_duration(limit * HOPELESS);
            test.abort_if(format!("p50(response)[{}] > {limit}", exact_duration(FOR)))
        }
        None => test,
    })
}

/// The longest that a percentile of the response time may be.
pub(crate) fn response_limit(thresholds: &[Threshold]) -> Option<Duration> {
    let limits = thresholds.iter().filter_map(|threshold| match (threshold.metric, threshold.limit) {
        (Metric::Time(Statistic::Quantile(_), Series::Response), Bound::Time(limit)) => {
            (threshold.comparison.is_upper() && threshold.route.is_none()).then_some(limit)
        }
        _ => None,
    });
    limits.max().filter(|limit| !limit.is_zero())
}

/// What came of a trial. A limit of this machine is an answer; an interrupt ends the search, as an error does.
pub(crate) fn observed(trial: &Trial, result: Result<Report, Error>) -> Result<Observation, Error> {
    match result {
        Ok(report) if report.ending == Ending::Interrupted => Err(Error::Interrupted),
        Ok(report) => Ok(of(trial, &report)),
        Err(Error::Preflight(limit)) if trial.step > 1 => Ok(Observation::limited(limit.to_string())),
        Err(error) => Err(error),
    }
}

fn of(trial: &Trial, report: &Report) -> Observation {
    let response = &report.total.response;
    let (leaning, why) = leaning(trial, report);
    Observation {
        leaning,
        why,
        answered_per_sec: (report.elapsed > Duration::ZERO).then_some(report.total.rate_per_sec),
        p50: response.p50.least(),
        p95: response.p95.least(),
    }
}

fn leaning(trial: &Trial, report: &Report) -> (Leaning, String) {
    if let Some(aborted) = &report.aborted {
        return (Leaning::Breaks, format!("ended early, {}: {}", aborted.rule, aborted.measured));
    }
    match (&report.verdict.validity, &report.verdict.limit) {
        (Validity::CapBound(why), _) => capped(trial, report, why),
        (Validity::GeneratorBound(why), _) => (Leaning::Limited, why.clone()),
        (Validity::Inconclusive(why), _) => (Leaning::Unsure, why.clone()),
        (Validity::Valid, Limit::TargetDown(why) | Limit::TargetBound(why)) => (Leaning::Breaks, why.clone()),
        (Validity::Valid, Limit::NotReached) => judged(&report.thresholds),
    }
}

/// By Little's law, `n` in flight at `r` a second take `n / r` each: a cap above what the SLO allows was reached by a target that breaks it.
fn capped(trial: &Trial, report: &Report, why: &str) -> (Leaning, String) {
    let thresholds: Vec<Threshold> =
        report.thresholds.iter().filter_map(|result| result.threshold.parse().ok()).collect();
    let takes = as_f64(report.max_in_flight) / trial.rate;
    match response_limit(&thresholds) {
        Some(limit) if takes >= limit.as_secs_f64() => {
            let said = format!(
                "{} in flight, which take {takes:.3} s each at this rate: {why}",
                report.max_in_flight
            );
            (Leaning::Breaks, said)
        }
        _ => (Leaning::Limited, why.to_owned()),
    }
}

/// Broken surely by one is broken; met surely by all is met.
fn judged(results: &[ThresholdResult]) -> (Leaning, String) {
    let said = |result: &ThresholdResult| format!("{}: {}", result.threshold, result.measured);
    let sure = |result: &&ThresholdResult| result.certain != Some(false);
    let broken = |result: &&ThresholdResult| result.status == ThresholdStatus::Broken;
    if let Some(result) = results.iter().filter(sure).find(broken) {
        return (Leaning::Breaks, said(result));
    }
    match results.iter().find(|result| !sure(result) || result.status != ThresholdStatus::Met) {
        Some(result) => (Leaning::Unsure, said(result) + ", and another run as long may say otherwise"),
        None => (Leaning::Meets, String::new()),
    }
}
