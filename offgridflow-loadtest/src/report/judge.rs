//! From what the shards recorded to a judged report.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use super::{
    Ending, ErrorLine, Report, SCHEMA,
    environment::Environment,
    gates::{Facts, Finding, result},
    notes::notes,
    seen::{Seen, turn},
    width::fit,
};
use crate::{
    abort::Aborted,
    control::{Annotation, altered},
    course::Course,
    evidence::Evidence,
    generator::Generator,
    histogram::{Distribution, Quantile, as_f64, min_samples, to_count},
    losses::{Fault, Stuck},
    outcome::FailKind,
    plan::Plan,
    recorder::{RouteRecord, Tally, slack},
    route::{RouteId, RouteTable},
    silence::Silence,
    threshold::Threshold,
    verdict::Verdict,
    window::per_sec,
};

/// When a run began by the wall clock, and how much later than agreed that was.
#[derive(Debug, Clone, Copy)]
#[cfg_attr(not(feature = "serde"), expect(dead_code, reason = "bundles tell it"))]
pub(crate) struct Began {
    pub(crate) at: SystemTime,
    pub(crate) late: Duration,
}

/// The merged records of a run, before judgement.
#[derive(Debug)]
pub(crate) struct Measured {
    pub(crate) tally: Tally,
    pub(crate) ending: Ending,
    pub(crate) elapsed: Duration,
    pub(crate) measured_from: Duration,
    pub(crate) silence: Silence,
    pub(crate) offered: u64,
    pub(crate) stuck: Vec<Stuck>,
    pub(crate) fault: Option<Fault>,
    pub(crate) generator: Generator,
    /// An automatic warm-up ended because the run was steady.
    pub(crate) settled: bool,
    pub(crate) trend: Option<bool>,
    pub(crate) unreachable: Option<String>,
    /// Ended by one of its rules.
    pub(crate) aborted: Option<Aborted>,
    pub(crate) environment: Option<Environment>,
    pub(crate) course: Course,
    #[cfg_attr(not(feature = "serde"), expect(dead_code, reason = "bundles tell it"))]
    pub(crate) began: Began,
    /// What was done and said while it went on.
    pub(crate) annotations: Vec<Annotation>,
    /// How much of the measured part was paused.
    pub(crate) paused: Duration,
}

impl Measured {
    /// Judges the run. Verdict first: thresholds of an invalid or interrupted run are not judged.
    pub(crate) fn report(mut self, plan: &Plan, names: &RouteTable) -> Report {
        (self.generator.inflation_p95, self.generator.unseen_p95) = self.inflation().unzip();
        let mut total = RouteRecord::default();
        self.tally.routes().for_each(|(_, record)| total.merge(record));
        let turn = turn(plan, &total);
        let routes: Vec<_> = self
            .tally
            .routes()
            .map(|(index, record)| Seen::new(names.name(index), record, turn, self.silence.length()))
            .collect();
        let total = Seen::all(&routes, total);
        let in_time = self.in_time(plan, &total.record);
        let window = plan.executor.duration().min(self.elapsed).saturating_sub(self.measured_from);
        let window = window.saturating_sub(self.paused);
        let steps: Vec<_> = self
            .tally
            .steps()
            .filter_map(|(place, record)| {
                Some(Seen::new(Arc::clone(names.steps().get(place)?), record, None, Duration::ZERO))
            })
            .collect();
        let facts = Facts { measured: &self, total: &total, routes: &routes, steps: &steps, in_time, window };
        let findings: Vec<_> =
            plan.thresholds.iter().map(|threshold| (threshold, facts.check(threshold))).collect();
        let evidence = self.evidence(plan, &total.record, in_time, &findings);
        let verdict = Verdict { altered: altered(&self.annotations, self.paused), ..evidence.judge() };
        let whole = verdict.is_valid() && verdict.altered.is_none();
        let judged = self.ending == Ending::Completed && whole || self.ending == Ending::NotStarted;
        let judged = judged && plan.part.is_whole(); // a part is not the run
        let thresholds = findings
            .into_iter()
            .map(|(threshold, finding)| result(threshold, finding, judged, facts.certain(threshold)))
            .collect();
        let named = routes.iter().any(|seen| &*seen.name != UNNAMED);
        let correction = total.correction(turn, self.silence.length());
        Report {
            schema: SCHEMA.into(),
            version: env!("CARGO_PKG_VERSION").into(),
            target: plan.target.clone(),
            load: plan.load(),
            model: plan.executor.model(),
            ending: self.ending,
            aborted: self.aborted.clone(),
            verdict,
            planned: plan.executor.duration(),
            elapsed: self.elapsed,
            measured_from: self.measured_from,
            paused: self.paused,
            warm_up: [self.tally.warm.operations, self.tally.warm.failed],
            offered: self.offered,
            dispatched: self.tally.dispatched,
            shed: self.tally.shed,
            unsent: self.tally.unsent,
            late: self.tally.late,
            held: self.tally.held,
            achieved_share: in_time
                .filter(|_| self.offered > 0)
                .map(|count| as_f64(count) / as_f64(self.offered)),
            total: total.row(window),
            routes: routes.iter().filter(|_| named).map(|seen| seen.row(window)).collect(),
            steps: steps.iter().map(Seen::step).collect(),
            dispatch_lag: (&self.tally.lag).into(),
            admission_wait: (&self.tally.wait).into(),
            first_byte: (&self.tally.first_byte).into(),
            errors: self.errors(names),
            slowest: self.slowest(plan.part, names),
            thresholds,
            max_in_flight: u64::try_from(plan.max_in_flight).unwrap_or(u64::MAX),
            deadline: plan.deadline.map(|(deadline, _)| deadline),
            timeout: plan.timeout,
            clock: plan.clock,
            shards: u64::try_from(plan.shards).unwrap_or(u64::MAX),
            seed: plan.seed,
            generator: self.generator,
            correction,
            trend: self.trend,
            notes: notes(&self, plan, &total, correction),
            percentiles: total.percentiles(),
            environment: self.environment,
            timeline: self.course.timeline(),
            annotations: self.annotations,
        }
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
            length: self.elapsed,
            closed: plan.executor.arrivals().is_none(),
            interrupted: matches!(self.ending, Ending::Interrupted | Ending::Aborted),
            panicked: self.panicked(),
            begun_answers: self.tally.first_byte.seen.count(),
            blamed: findings.iter().find_map(|(threshold, finding)| {
                matches!(finding, Finding::BrokenByLag(_)).then(|| threshold.to_string())
            }),
            p95: total.response.seen.empirical(0.95).and_then(Quantile::least),
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
            undone: self.undone(plan),
        }
    }

    /// How many operations were done of how many, where it was too few.
    fn undone(&self, plan: &Plan) -> Option<(u64, u64)> {
        let all = plan.executor.operations().filter(|_| plan.executor.ends_early())?;
        (self.ending == Ending::Completed && self.tally.dispatched < all)
            .then_some((self.tally.dispatched, all))
    }

    /// Rate × time each stays (Little 1961).
    fn wanted(&self, plan: &Plan, total: &RouteRecord) -> Option<u64> {
        let stays = total.service.seen.answered().mean()?;
        let over = plan.executor.duration().saturating_sub(self.measured_from + self.paused);
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
