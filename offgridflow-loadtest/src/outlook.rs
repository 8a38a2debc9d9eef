//! What a run would probably be worth if it went on as it has gone so far: for those who watch it.

use std::{borrow::Cow, time::Duration};

use crate::{
    histogram::{Quantile, as_f64},
    recorder::{RouteRecord, Tally},
    report::text::{operations, short},
    verdict::{MAX_INFLATION, MAX_LAG_P99, MIN_OPERATIONS, NEGLIGIBLE_LAG},
    window::per_sec,
};

/// How a run looks so far. The [`Verdict`](crate::Verdict) at its end has more evidence, and may say something else.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Outlook {
    /// In one colour.
    pub light: Light,
    /// The verdict that it would be, and why.
    pub says: Cow<'static, str>,
}

/// What a colour says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Light {
    /// The numbers are the target's, which keeps up.
    Green,
    /// Look closer: the target does not keep up or fails, or there is too little yet.
    Amber,
    /// The numbers would not be believed, or the target does not answer.
    Red,
}

/// What is known of a run while it goes on.
pub(crate) struct SoFar<'a> {
    pub(crate) tally: &'a Tally,
    /// Wanted by the schedule in the measured part, up to now; `None` in a closed loop.
    pub(crate) offered: Option<u64>,
    /// How much of it is over.
    pub(crate) measured: Duration,
}

#[derive(Default)]
struct Counts {
    ended: u64,
    failed: u64,
    answered: u64,
}

impl SoFar<'_> {
    pub(crate) fn outlook(&self) -> Outlook {
        let all = self.counts();
        let ended = all.ended;
        let amber = |says: String| Outlook { light: Light::Amber, says: says.into() };
        let red = |says: String| Outlook { light: Light::Red, says: says.into() };
        if let Some(says) = self.late() {
            return red(format!("GeneratorBound: {says}"));
        }
        let capped = self.tally.capped + self.tally.held;
        if self.offered.is_some_and(|offered| capped * 100 > offered) {
            return red(format!("CapBound: {} met the cap on operations in flight", operations(capped)));
        }
        if ended >= MIN_OPERATIONS && all.answered * 2 < ended {
            return red(format!("TargetDown: {} of {ended} were answered", all.answered));
        }
        if let Some(behind) = self.behind(ended) {
            return amber(format!("TargetBound: it is {} behind the schedule", short(behind)));
        }
        if all.failed * 100 > ended {
            return amber(format!(
                "{:.1} % of operations failed",
                as_f64(all.failed) * 100.0 / as_f64(ended)
            ));
        }
        if ended < MIN_OPERATIONS {
            return amber(format!(
                "Inconclusive: {} of the {MIN_OPERATIONS} that are needed",
                operations(ended)
            ));
        }
        Outlook { light: Light::Green, says: "Valid so far".into() }
    }

    fn counts(&self) -> Counts {
        self.tally.routes().fold(Counts::default(), |all, (_, record)| Counts {
            ended: all.ended + record.ok + record.failed,
            failed: all.failed + record.failed,
            answered: all.answered + record.answered(),
        })
    }

    /// Of the slowest route, so that nothing has to be merged each second.
    fn slowest(&self, of: impl Fn(&RouteRecord) -> Option<Quantile>) -> Option<Duration> {
        self.tally.routes().filter_map(|(_, record)| of(record)?.least()).max()
    }

    /// What the generator is late by, if it is too much.
    fn late(&self) -> Option<String> {
        let lag = &self.tally.lag.seen;
        let p99 = lag.quantile(0.99).value().filter(|&p99| p99 > MAX_LAG_P99);
        if let Some(p99) = p99 {
            return Some(format!("its lag p99 is {}", short(p99)));
        }
        let response = self.slowest(|record| record.response.seen.empirical(0.95))?;
        let lag = lag.quantile(0.95).value()?;
        (lag > NEGLIGIBLE_LAG && lag.as_secs_f64() > MAX_INFLATION * response.as_secs_f64())
            .then(|| format!("its lag p95 is {}, of a response time of {}", short(lag), short(response)))
    }

    /// How far the target is behind the schedule, if that is more than its answers take.
    fn behind(&self, ended: u64) -> Option<Duration> {
        const SLACK: Duration = Duration::from_millis(100);
        let offered = self.offered?;
        let left = offered.saturating_sub(ended);
        let rate = per_sec(offered, self.measured);
        let behind = Duration::try_from_secs_f64(as_f64(left) / rate.max(1e-9)).ok()?;
        let usual = self.slowest(|record| record.service.seen.empirical(0.5)).unwrap_or_default();
        (behind > self.measured / 100 + usual * 2 + SLACK).then_some(behind)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        clock::OpTimes,
        executor::Executor,
        outcome::{FailKind, Outcome, TargetError},
        rate::Rate,
        recorder::{Begun, Recorder},
        route::RouteId,
        span::Span,
    };

    const SECOND: Duration = Duration::from_secs(1);

    /// How it looks after a second of a thousand offered, of which `n` ended so late and after so much, `failed` of them without an answer.
    fn outlook(n: u64, lag: Duration, service: Duration, failed: u64) -> Outlook {
        let executor = Executor::open(Rate::constant(1_000.0, SECOND * 10));
        let mut recorder = Recorder::new(Span::new(&executor, Duration::ZERO), None);
        for index in 0..n {
            let intended = Duration::from_millis(index);
            let (route, dispatched) = (RouteId::UNNAMED, intended + lag);
            let (admitted, done) = (dispatched, dispatched + service);
            let times = OpTimes { intended, dispatched, admitted, first_byte: None, done };
            let (cause, rested, began) = (route, Duration::ZERO, dispatched);
            let begun =
                Begun { index, route, cause, times, rested, began, admitted: true, within: true, bytes: 0 };
            let outcome = if index < failed {
                Outcome::Failed(TargetError::unanswered(FailKind::Reset, ""))
            } else {
                Outcome::ok()
            };
            recorder.record(&begun, &outcome);
        }
        SoFar { tally: &recorder.into_tally(), offered: Some(1_000), measured: SECOND }.outlook()
    }

    #[test]
    fn a_run_looks_as_its_verdict_would_be() {
        let (ms, us) = (Duration::from_millis, Duration::from_micros);
        for (seen, light, says) in [
            (outlook(1_000, us(40), ms(5), 0), Light::Green, "Valid so far"),
            (outlook(1_000, ms(12), ms(500), 0), Light::Red, "GeneratorBound: its lag p99 is 12.0ms"),
            (outlook(1_000, ms(3), ms(5), 0), Light::Red, "GeneratorBound: its lag p95"),
            (outlook(1_000, us(40), ms(5), 600), Light::Red, "TargetDown: 400 of 1000"),
            (outlook(1_000, us(40), ms(5), 20), Light::Amber, "2.0 % of operations failed"),
            (outlook(500, us(40), ms(5), 0), Light::Amber, "TargetBound: it is 500ms behind"),
            (outlook(990, us(40), ms(5), 0), Light::Green, "Valid so far"),
        ] {
            assert!(seen.light == light && seen.says.contains(says), "{seen:?}, not {says}");
        }
    }
}
