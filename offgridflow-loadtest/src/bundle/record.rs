//! What was measured, with names in place of the ids of one process.

use std::{borrow::Cow, time::Duration};

use serde::{Deserialize, Serialize};

use crate::{
    abort::Aborted,
    course::Course,
    generator::Generator,
    ledger::Ledger,
    losses::{Fault, Stuck},
    outcome::{FailKind, TargetError},
    plan::Plan,
    recorder::{RouteRecord, Tally},
    report::{Began, Ending, Environment, Measured, nanos},
    route::{MAX_ROUTES, RouteId, RouteTable},
    silence::Silence,
};

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Record {
    pub(super) ending: Ending,
    pub(super) threads: usize,
    pub(super) notes: Vec<String>,
    pub(super) routes: Vec<(String, RouteRecord)>,
    pub(super) steps: Vec<(String, RouteRecord)>,
    errors: Vec<Failure>,
    rest: Tally,
    #[serde(with = "nanos")]
    elapsed: Duration,
    #[serde(with = "nanos")]
    measured_from: Duration,
    silence: Silence,
    offered: u64,
    stuck: Vec<Stuck>,
    fault: Option<Fault>,
    generator: Generator,
    settled: bool,
    trend: Option<bool>,
    pub(super) unreachable: Option<String>,
    aborted: Option<Aborted>,
    environment: Option<Environment>,
    course: Course,
}

/// One line of the error ledger.
#[derive(Debug, Serialize, Deserialize)]
struct Failure {
    cause: Cause,
    place: Place,
    count: u64,
    message: String,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Place {
    Route(String),
    Step(String),
}

/// [`FailKind`], as it is written down.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Cause {
    Connect,
    Reset,
    Protocol,
    Status(u16),
    Check(String),
    Extract(String),
    App,
    Timeout,
    Cap,
    Shed,
    Local(String),
    Panic,
    Stopped,
}

impl Record {
    pub(super) fn of(plan: &Plan, names: &RouteTable, measured: &Measured) -> Self {
        let tally = &measured.tally;
        let routes = tally.routes().map(|(index, record)| (names.name(index).to_string(), record.clone()));
        let steps = tally
            .steps()
            .filter_map(|(place, record)| Some((names.steps().get(place)?.to_string(), record.clone())));
        let failure = |line: &crate::ledger::Line| Failure {
            cause: (&line.kind).into(),
            place: match line.route.index().checked_sub(MAX_ROUTES) {
                Some(_) => Place::Step(names.name(line.route.index()).to_string()),
                None => Place::Route(names.name(line.route.index()).to_string()),
            },
            count: line.count,
            message: line.message.clone(),
        };
        Self {
            ending: measured.ending,
            threads: plan.shards,
            notes: plan.notes.clone(),
            routes: routes.collect(),
            steps: steps.collect(),
            errors: tally.ledger.lines().iter().map(failure).collect(),
            rest: tally.without_names(),
            elapsed: measured.elapsed,
            measured_from: measured.measured_from,
            silence: measured.silence,
            offered: measured.offered,
            stuck: measured.stuck.clone(),
            fault: measured.fault.clone(),
            generator: measured.generator,
            settled: measured.settled,
            trend: measured.trend,
            unreachable: measured.unreachable.clone(),
            aborted: measured.aborted.clone(),
            environment: measured.environment.clone(),
            course: measured.course.clone(),
        }
    }

    /// The same, by the names of a common table.
    pub(super) fn measured(self, names: &RouteTable, began: Began) -> Measured {
        let mut tally = self.rest;
        for (name, record) in &self.routes {
            tally.add_route(names.place_of(name), record);
        }
        for (name, record) in &self.steps {
            if let Some(place) = names.steps().iter().position(|step| **step == **name) {
                tally.add_step(place, record);
            }
        }
        tally.ledger = ledger(self.errors, names);
        Measured {
            tally,
            ending: self.ending,
            elapsed: self.elapsed,
            measured_from: self.measured_from,
            silence: self.silence,
            offered: self.offered,
            stuck: self.stuck,
            fault: self.fault,
            generator: self.generator,
            settled: self.settled,
            trend: self.trend,
            unreachable: self.unreachable,
            aborted: self.aborted,
            environment: self.environment,
            course: self.course,
            began,
            annotations: Vec::new(), // processes that run together are not steered
            paused: Duration::ZERO,
        }
    }
}

fn ledger(errors: Vec<Failure>, names: &RouteTable) -> Ledger {
    let mut ledger = Ledger::default();
    for Failure { cause, place, count, message } in errors {
        let route = match place {
            Place::Route(name) => names.place_of(&name),
            Place::Step(name) => {
                let place = names.steps().iter().position(|step| **step == *name);
                place.map_or(RouteId::UNNAMED, RouteTable::step)
            }
        };
        ledger.count(&TargetError::unanswered(cause.into(), message), route, count);
    }
    ledger
}

impl From<&FailKind> for Cause {
    fn from(kind: &FailKind) -> Self {
        match kind {
            FailKind::Connect => Self::Connect,
            FailKind::Reset => Self::Reset,
            FailKind::Protocol => Self::Protocol,
            FailKind::Status(status) => Self::Status(*status),
            FailKind::Check(name) => Self::Check(name.to_string()),
            FailKind::Extract(name) => Self::Extract(name.to_string()),
            FailKind::App => Self::App,
            FailKind::Timeout => Self::Timeout,
            FailKind::Cap => Self::Cap,
            FailKind::Shed => Self::Shed,
            FailKind::Local(what) => Self::Local((*what).into()),
            FailKind::Panic => Self::Panic,
            FailKind::Stopped => Self::Stopped,
        }
    }
}

/// What a machine runs out of.
const LOCAL: [&str; 3] = ["open files", "local ports", "rows"];

impl From<Cause> for FailKind {
    fn from(cause: Cause) -> Self {
        match cause {
            Cause::Connect => Self::Connect,
            Cause::Reset => Self::Reset,
            Cause::Protocol => Self::Protocol,
            Cause::Status(status) => Self::Status(status),
            Cause::Check(name) => Self::Check(Cow::Owned(name)),
            Cause::Extract(name) => Self::Extract(Cow::Owned(name)),
            Cause::App => Self::App,
            Cause::Timeout => Self::Timeout,
            Cause::Cap => Self::Cap,
            Cause::Shed => Self::Shed,
            Cause::Local(what) => {
                Self::Local(LOCAL.into_iter().find(|known| *known == what).unwrap_or("something"))
            }
            Cause::Panic => Self::Panic,
            Cause::Stopped => Self::Stopped,
        }
    }
}
