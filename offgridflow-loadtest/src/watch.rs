//! What the rules that may end a run are held against, second by second.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use crate::{
    abort::{AbortRule, Aborted},
    histogram::Distribution,
    recorder::{RouteRecord, Tally},
    report::LastSeconds,
    route::RouteTable,
    schedule::ArrivalProcess,
    span::due,
    threshold::{Metric, Series, Threshold},
};

/// The rules of a run, and of its last seconds what they need. Memory: a few counts a second and rule; for times also a histogram, typically
/// 20 to 60 KiB, of each second that a rule looks back.
pub(crate) struct Watch {
    rules: Vec<Watched>,
    names: Arc<RouteTable>,
}

struct Watched {
    rule: AbortRule,
    seconds: VecDeque<Second>, // the latest last, no more than the rule looks back
}

/// What ended in one second.
#[derive(Default)]
struct Second {
    index: u64, // from 1
    ok: u64,
    failed: u64,
    late: u64,
    answered: u64,
    seen: Distribution, // of the rule's series; empty where it is about counts
}

impl Watch {
    pub(crate) fn new(rules: &[AbortRule], names: Arc<RouteTable>) -> Self {
        let watched = |rule: &AbortRule| Watched { rule: rule.clone(), seconds: VecDeque::new() };
        Self { rules: rules.iter().map(watched).collect(), names }
    }

    /// Takes what a shard saw in second `index` (from 1), in any order of the shards.
    pub(crate) fn take(&mut self, index: u64, tally: &Tally) {
        for Watched { rule, seconds } in &mut self.rules {
            let second = second(seconds, index, rule.over.as_secs());
            let Threshold { metric, route, .. } = &rule.condition;
            for (at, record) in tally.routes() {
                if route.as_ref().is_none_or(|route| **route == *self.names.name(at)) {
                    second.add(record, *metric);
                }
            }
            let steps = self.names.steps();
            for (place, record) in tally.steps() {
                if steps.get(place).is_some_and(|step| route.as_deref() == Some(step)) {
                    second.add(record, *metric);
                }
            }
            if let Metric::Time(_, series) = metric
                && let Some(seen) = tally.of_all_routes(*series)
            {
                second.seen.merge(seen);
            }
        }
    }

    /// The first rule that holds by `to`, a whole number of seconds, where measuring began at `from`.
    pub(crate) fn judge(
        &self,
        to: Duration,
        from: Duration,
        arrivals: Option<&Arc<dyn ArrivalProcess>>,
    ) -> Option<Aborted> {
        self.rules.iter().find_map(|watched| {
            let rule = &watched.rule;
            let begins = to.checked_sub(rule.over)?;
            if begins < rule.after || begins < from {
                return None;
            }
            let offered = arrivals.map_or(0, |arrivals| due(&**arrivals, to) - due(&**arrivals, begins));
            let measured = watched.last_seconds(to, offered).holds(&rule.condition)?;
            Some(Aborted { rule: rule.to_string(), measured, at: to })
        })
    }
}

impl Watched {
    fn last_seconds(&self, to: Duration, offered: u64) -> LastSeconds {
        let (last, over) = (to.as_secs(), self.rule.over);
        let mut sum = LastSeconds { over, offered, ..LastSeconds::default() };
        let looked_at = |second: &&Second| second.index <= last && second.index + over.as_secs() > last;
        for second in self.seconds.iter().filter(looked_at) {
            sum.ok += second.ok;
            sum.failed += second.failed;
            sum.late += second.late;
            sum.answered += second.answered;
            sum.seen.merge(&second.seen);
        }
        sum
    }
}

/// The one of this number; those that lie further back are forgotten.
fn second(seconds: &mut VecDeque<Second>, index: u64, back: u64) -> &mut Second {
    while seconds.front().is_some_and(|first| first.index + back < index) {
        seconds.pop_front();
    }
    let at = seconds.partition_point(|second| second.index < index);
    if seconds.get(at).is_none_or(|second| second.index != index) {
        seconds.insert(at, Second { index, ..Second::default() });
    }
    &mut seconds[at]
}

impl Second {
    fn add(&mut self, record: &RouteRecord, metric: Metric) {
        self.ok += record.ok;
        self.failed += record.failed;
        self.late += record.late;
        self.answered += record.answered();
        match metric {
            Metric::Time(_, Series::Response) => self.seen.merge(&record.response.seen),
            Metric::Time(_, Series::Service) => self.seen.merge(&record.service.seen),
            _ => {}
        }
    }
}
