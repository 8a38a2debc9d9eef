//! From what the shards recorded to a judged report.

use std::time::Duration;

use super::{
    Ending, ErrorLine, Report, Row, SCHEMA, ThresholdResult, ThresholdStatus, notes::notes, text, width::fit,
};
use crate::{
    evidence::{Evidence, Fault, Stuck},
    generator::Generator,
    histogram::{Distribution, Observed, Quantile, as_f64, min_samples, to_count},
    outcome::FailKind,
    plan::Plan,
    recorder::{RouteRecord, Tally, slack},
    route::{RouteId, RouteTable},
    threshold::{Limit, Metric, Series, Statistic, Threshold},
    window::per_sec,
};

/// The merged records of a run, before judgement.
#[derive(Debug)]
pub(crate) struct Measured {
    pub(crate) tally: Tally,
    pub(crate) ending: Ending,
    pub(crate) elapsed: Duration,
    pub(crate) measured_from: Duration,
    pub(crate) offered: u64,
    pub(crate) stuck: Vec<Stuck>,
    pub(crate) fault: Option<Fault>,
    pub(crate) generator: Generator,
    /// An automatic warm-up ended because the run was steady.
    pub(crate) settled: bool,
    pub(crate) trend: Option<bool>,
    pub(crate) unreachable: Option<String>,
}

/// What a threshold says about the numbers.
enum Finding {
    Met(String),
    Broken(String),
    /// Broken, but not without the generator's own lag.
    BrokenByLag(String),
    TooFew {
        have: u64,
        need: u64,
    },
}

impl Measured {
    /// Judges the run. Verdict first: thresholds of an invalid or interrupted run are not judged.
    pub(crate) fn report(mut self, plan: &Plan, names: &RouteTable) -> Report {
        (self.generator.inflation_p95, self.generator.unseen_p95) = self.inflation().unzip();
        let routes = self.routes(names);
        let mut total = RouteRecord::default();
        routes.iter().for_each(|(_, record)| total.merge(record));
        let in_time = self.in_time(plan, &total);
        let facts = Facts { measured: &self, total: &total, routes: &routes, in_time };
        let findings: Vec<_> =
            plan.thresholds.iter().map(|threshold| (threshold, facts.check(threshold))).collect();
        let evidence = self.evidence(plan, &total, in_time, &findings);
        let verdict = evidence.judge();
        let judged =
            self.ending == Ending::Completed && verdict.is_valid() || self.ending == Ending::NotStarted;
        let thresholds =
            findings.into_iter().map(|(threshold, finding)| result(threshold, finding, judged)).collect();
        let window = plan.executor.duration().min(self.elapsed).saturating_sub(self.measured_from);
        let named = routes.iter().any(|(name, _)| &**name != UNNAMED);
        let rows =
            routes.iter().filter(|_| named).map(|(name, record)| self.row(name, record, window)).collect();
        Report {
            schema: SCHEMA.into(),
            version: env!("CARGO_PKG_VERSION").into(),
            target: plan.target.clone(),
            load: plan.load(),
            ending: self.ending,
            verdict,
            planned: plan.executor.duration(),
            elapsed: self.elapsed,
            measured_from: self.measured_from,
            warm_up: [self.tally.warm.operations, self.tally.warm.failed],
            offered: self.offered,
            dispatched: self.tally.dispatched,
            shed: self.tally.shed,
            late: self.tally.late,
            held: self.tally.held,
            achieved_share: in_time
                .filter(|_| self.offered > 0)
                .map(|count| as_f64(count) / as_f64(self.offered)),
            total: self.row("", &total, window),
            routes: rows,
            dispatch_lag: (&self.tally.lag).into(),
            admission_wait: (&self.tally.wait).into(),
            first_byte: (&self.tally.first_byte).into(),
            errors: self.errors(names),
            thresholds,
            max_in_flight: u64::try_from(plan.max_in_flight).unwrap_or(u64::MAX),
            deadline: plan.deadline.map(|(deadline, _)| deadline),
            timeout: plan.timeout,
            clock: plan.clock,
            shards: u64::try_from(plan.shards).unwrap_or(u64::MAX),
            seed: plan.seed,
            generator: self.generator,
            trend: self.trend,
            notes: notes(&self, plan),
        }
    }

    fn routes<'a>(&'a self, names: &RouteTable) -> Vec<(std::sync::Arc<str>, &'a RouteRecord)> {
        self.tally.routes().map(|(index, record)| (names.name(index), record)).collect()
    }

    /// Answered no later than the fastest response and 1 % of the plan after its end.
    fn in_time(&self, plan: &Plan, total: &RouteRecord) -> Option<u64> {
        plan.executor.arrivals()?;
        if self.ending != Ending::Completed || self.fault.is_some() {
            return None;
        }
        let fastest = total.response.seen.answered().min().unwrap_or_default();
        let slack = fastest + slack(plan.executor.duration());
        let late = &self.tally.past_end;
        Some(total.response.seen.answered().count() - (late.count() - late.count_up_to(slack)))
    }

    /// What the generator's lag added to the 95th percentile: on the way out, by measurement, and on the way back at most,
    /// by assumption: an answer waits for the same thread, but not within the target's own part. `None` below the samples of a p95.
    fn inflation(&self) -> Option<(Duration, Duration)> {
        let responses = self.responses();
        let with = responses.answered().quantile(0.95).filter(|_| responses.count() >= min_samples(0.95))?;
        let out = with.saturating_sub(self.tally.undelayed.quantile(0.95)?);
        let lag = self.tally.lag.seen.answered().quantile(0.95)?;
        let own = self.services().answered().quantile(0.5).unwrap_or_default();
        Some((out, lag.min(with.saturating_sub(own + out))))
    }

    /// The service times of all routes.
    fn services(&self) -> Distribution {
        let mut all = Distribution::default();
        self.tally.routes().for_each(|(_, record)| all.merge(&record.service.seen));
        all
    }

    /// The response times of all routes.
    pub(super) fn responses(&self) -> Distribution {
        let mut all = Distribution::default();
        self.tally.routes().for_each(|(_, record)| all.merge(&record.response.seen));
        all
    }

    fn evidence(
        &self,
        plan: &Plan,
        total: &RouteRecord,
        in_time: Option<u64>,
        findings: &[(&Threshold, Finding)],
    ) -> Evidence {
        let lacking = findings.iter().find_map(|(threshold, finding)| match finding {
            Finding::TooFew { have, need } => Some((threshold.to_string(), *have, *need)),
            _ => None,
        });
        Evidence {
            generator: self.generator,
            closed: plan.executor.arrivals().is_none(),
            interrupted: self.ending == Ending::Interrupted,
            panicked: self.panicked(),
            begun_answers: self.tally.first_byte.seen.count(),
            blamed: findings.iter().find_map(|(threshold, finding)| {
                matches!(finding, Finding::BrokenByLag(_)).then(|| threshold.to_string())
            }),
            p95: total.response.seen.answered().quantile(0.95),
            shed: self.tally.shed,
            local: self.tally.local,
            offered: if self.ending == Ending::Completed { self.offered } else { self.tally.dispatched },
            dispatched: self.tally.dispatched,
            capped: self.tally.capped,
            held: self.tally.held,
            cap: plan.max_in_flight,
            wanted: self.wanted(plan, total),
            waiting: if self.ending == Ending::Completed { self.tally.waiting } else { 0 },
            cut: self.tally.cut,
            broke: self.tally.broke,
            ok: total.ok,
            answered: total.response.seen.answered().count(),
            in_time,
            lag_p95: self.tally.lag.seen.answered().quantile(0.95),
            lag_p99: self.tally.lag.seen.quantile(0.99).value(),
            stuck: self.stuck.clone(),
            fault: self.fault.clone(),
            unreachable: self.unreachable.clone(),
            commonest: self.commonest(),
            lacking,
        }
    }

    /// Rate × time each stays (Little 1961).
    fn wanted(&self, plan: &Plan, total: &RouteRecord) -> Option<u64> {
        let stays = total.service.seen.answered().mean()?;
        let over = plan.executor.duration().saturating_sub(self.measured_from);
        Some(to_count(libm::ceil(per_sec(self.offered, over) * stays.as_secs_f64())))
    }

    /// The commonest failure but the cap's own, and what it said.
    pub(super) fn commonest(&self) -> Option<String> {
        let lines = self.tally.ledger.lines().iter().filter(|line| line.kind != FailKind::Cap);
        lines.max_by_key(|line| line.count).map(|line| match &*line.message {
            "" => line.kind.to_string(),
            message => format!("{} ({})", line.kind, fit(message, SAID)),
        })
    }

    /// How many operations failed because the workload panicked.
    pub(super) fn panicked(&self) -> u64 {
        let lines = self.tally.ledger.lines().iter().filter(|line| line.kind == FailKind::Panic);
        lines.map(|line| line.count).sum()
    }

    fn row(&self, name: &str, record: &RouteRecord, window: Duration) -> Row {
        let answered = record.response.seen.answered().count();
        Row {
            route: name.to_owned(),
            ok: record.ok,
            failed: record.failed,
            answered,
            bytes: record.bytes,
            rate_per_sec: per_sec(record.within, window),
            response: (&record.response).into(),
            service: (&record.service).into(),
        }
    }

    fn errors(&self, names: &RouteTable) -> Vec<ErrorLine> {
        let mut lines = self.tally.ledger.lines().to_vec();
        lines.sort_by_key(|line| std::cmp::Reverse(line.count));
        let route = |route: RouteId| {
            if route == RouteId::UNNAMED { String::new() } else { names.name(route.index()).to_string() }
        };
        let line = |line: crate::ledger::Line| ErrorLine {
            cause: line.kind.to_string(),
            route: route(line.route),
            count: line.count,
            message: line.message,
        };
        lines.into_iter().map(line).collect()
    }
}

/// How much of what a failure said goes into a verdict's cause, in columns.
const SAID: usize = 120;
const UNNAMED: &str = "unnamed";

struct Facts<'a> {
    measured: &'a Measured,
    total: &'a RouteRecord,
    routes: &'a [(std::sync::Arc<str>, &'a RouteRecord)],
    in_time: Option<u64>,
}

impl Facts<'_> {
    fn check(&self, threshold: &Threshold) -> Finding {
        let Some(record) = self.record(threshold) else {
            return Finding::Broken("no operation on this route".into());
        };
        match (threshold.metric, threshold.limit) {
            (Metric::Time(statistic, series), Limit::Time(limit)) => {
                let finding = times(threshold, statistic, self.series(record, series), limit);
                self.excuse(finding, threshold, statistic, limit)
            }
            (Metric::FailureRatio, Limit::Percent(limit)) => {
                percent(threshold, ratio(record.failed, record.ok + record.failed), limit)
            }
            (Metric::AchievedRate, Limit::Percent(limit)) => {
                percent(threshold, self.in_time.and_then(|count| ratio(count, self.measured.offered)), limit)
            }
            (Metric::Failures, Limit::Count(limit)) => count(threshold, record.failed, limit),
            (Metric::Answered, Limit::Count(limit)) => {
                count(threshold, record.response.seen.answered().count(), limit)
            }
            _ => Finding::Broken("the limit does not fit the metric".into()),
        }
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
        let without = self.measured.tally.undelayed.quantile(q);
        let unanswered = self.total.response.seen.unanswered() > 0;
        match without {
            Some(without) if !unanswered && threshold.comparison.holds(without, limit) => {
                Finding::BrokenByLag(measured.clone())
            }
            _ => finding,
        }
    }

    fn record(&self, threshold: &Threshold) -> Option<&RouteRecord> {
        match &threshold.route {
            None => Some(self.total),
            Some(route) => self.routes.iter().find(|(name, _)| **name == **route).map(|(_, record)| *record),
        }
    }

    fn series<'a>(&'a self, record: &'a RouteRecord, series: Series) -> &'a Observed {
        match series {
            Series::Response => &record.response,
            Series::Service => &record.service,
            Series::DispatchLag => &self.measured.tally.lag,
            Series::AdmissionWait => &self.measured.tally.wait,
            Series::FirstByte => &self.measured.tally.first_byte,
        }
    }
}

fn times(threshold: &Threshold, statistic: Statistic, observed: &Observed, limit: Duration) -> Finding {
    let seen = &observed.seen;
    let measured = match statistic {
        Statistic::Quantile(thousandths) => {
            let q = f64::from(thousandths) / 100_000.0;
            let (have, need) = (seen.count(), min_samples(q));
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
        Some(Quantile::Needs(need)) => return Finding::TooFew { have: seen.count(), need },
    };
    finding(holds, measured.map_or_else(String::new, text::quantile))
}

fn percent(threshold: &Threshold, measured: Option<f64>, limit: f64) -> Finding {
    let Some(measured) = measured else { return Finding::Broken("no data".into()) };
    finding(threshold.comparison.holds(measured, limit), format!("{measured:.3}%"))
}

fn count(threshold: &Threshold, measured: u64, limit: u64) -> Finding {
    finding(threshold.comparison.holds(measured, limit), measured.to_string())
}

fn ratio(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| as_f64(part) * 100.0 / as_f64(whole))
}

fn finding(holds: bool, measured: String) -> Finding {
    if holds { Finding::Met(measured) } else { Finding::Broken(measured) }
}

fn result(threshold: &Threshold, finding: Finding, judged: bool) -> ThresholdResult {
    let (status, measured) = match finding {
        Finding::Met(measured) => (ThresholdStatus::Met, measured),
        Finding::Broken(measured) | Finding::BrokenByLag(measured) => (ThresholdStatus::Broken, measured),
        Finding::TooFew { have, need } => {
            (ThresholdStatus::NotJudged, format!("{have} of the {need} operations it needs"))
        }
    };
    let status = if judged { status } else { ThresholdStatus::NotJudged };
    ThresholdResult { threshold: threshold.to_string(), status, measured }
}
