//! From the facts of a run to its verdict.

use std::time::Duration;

use crate::{
    generator::Generator,
    losses::{Fault, Stuck},
    report::{
        text::{operations, short},
        width::fit,
    },
    verdict::{Limit, MAX_INFLATION, MAX_LAG_P99, MIN_OPERATIONS, NEGLIGIBLE_LAG, Validity, Verdict},
};

/// The share of the run that a CPU quota may take before the numbers are the quota's.
const MAX_THROTTLED: f64 = 0.02;
/// The share of a core from which on a closed loop's rate is its own.
const SATURATED: f64 = 0.95;
/// The shortest standstill of the whole process that is told from a scheduler's slices.
const MIN_PAUSE: Duration = Duration::from_millis(100);
/// How far the books may be apart.
const MAX_RESIDUAL: f64 = 0.05;

/// How much of what a panic said goes into the cause, in columns.
const SAID: usize = 120;

/// The facts a verdict rests on.
#[derive(Debug, Clone, Default)]
pub(crate) struct Evidence {
    /// A closed loop: no schedule that lag could be measured against.
    pub(crate) closed: bool,
    /// How long it took.
    pub(crate) length: Duration,
    /// Somebody ended it early.
    pub(crate) interrupted: bool,
    /// Operations the plan wanted by the time the run ended; in a closed loop, those begun.
    pub(crate) offered: u64,
    pub(crate) dispatched: u64,
    pub(crate) capped: u64,
    pub(crate) shed: u64,
    /// Waited for the cap on operations in flight, which is `cap`.
    pub(crate) held: u64,
    pub(crate) cap: usize,
    /// By Little's law, how many the rate keeps in flight at the service time seen.
    pub(crate) wanted: Option<u64>,
    /// Due, and without a turn when the plan was given up.
    pub(crate) waiting: u64,
    /// Begun, and ended by the run, not by the target or a time-out.
    pub(crate) cut: u64,
    /// Failed without an answer, but no later than answers may come: neither late nor a backlog.
    pub(crate) broke: u64,
    /// Failed because this machine ran out of descriptors or ports.
    pub(crate) local: u64,
    /// Failed because the workload panicked.
    pub(crate) panicked: u64,
    pub(crate) ok: u64,
    pub(crate) answered: u64,
    /// Of which the answer began, whether or not it came to its end.
    pub(crate) begun_answers: u64,
    /// Answered no later than the fastest response and 1 % of the plan after its end (open loop).
    pub(crate) in_time: Option<u64>,
    pub(crate) lag_p95: Option<Duration>,
    pub(crate) lag_p99: Option<Duration>,
    /// Of all operations, at least: the lag's is of all too.
    pub(crate) p95: Option<Duration>,
    pub(crate) generator: Generator,
    pub(crate) stuck: Vec<Stuck>,
    pub(crate) fault: Option<Fault>,
    /// Why no session could be opened, if none could.
    pub(crate) unreachable: Option<String>,
    /// The commonest failure, for the cause.
    pub(crate) commonest: Option<String>,
    /// The most samples a threshold lacks: (threshold, have, need).
    pub(crate) lacking: Option<(String, u64, u64)>,
    /// How many operations were begun of those that were to be done, where time ran out.
    pub(crate) undone: Option<(u64, u64)>,
    /// A threshold that would have been met without the generator's own lag.
    pub(crate) blamed: Option<String>,
}

impl Evidence {
    /// The generator first, then what it was kept from sending, then the size of the sample.
    pub(crate) fn judge(&self) -> Verdict {
        let limit = self.limit();
        let down = matches!(limit, Limit::TargetDown(_));
        let generator = self.generator(down);
        let behind = matches!(limit, Limit::TargetBound(_));
        let validity = generator.unwrap_or_else(|| match down {
            true => Validity::Valid,
            false => self.queued(behind).unwrap_or_else(|| self.coverage()),
        });
        Verdict { validity, limit, altered: None }
    }

    /// What makes some times longer, or a rate lower, does not bring a target down: beside that it is no reason.
    fn generator(&self, down: bool) -> Option<Validity> {
        let found = self
            .failed()
            .or_else(|| self.stuck())
            .or_else(|| self.lagging())
            .or_else(|| self.unsent())
            .or_else(|| self.throttled())
            .or_else(|| self.inflated().filter(|_| !down))
            .or_else(|| self.saturated().filter(|_| !down));
        found.map(|cause| Validity::GeneratorBound(cause + &self.failures_too()))
    }

    /// What the generator's fault must not hide.
    fn failures_too(&self) -> String {
        let (ended, mostly) = (self.ended(), self.mostly());
        let failed = ended.saturating_sub(self.ok);
        if ended == 0 || below(failed, ended, 10) {
            return String::new();
        }
        if self.ok == 0 {
            return format!("; and none of {} succeeded{mostly}", operations(ended));
        }
        format!("; and {failed} of {} failed{mostly}", operations(ended))
    }

    /// Begun, and not cut short by the run, which would say nothing of the target.
    fn ended(&self) -> u64 {
        self.dispatched.saturating_sub(self.cut)
    }

    /// Of which the target heard: what the workload made of it, and what this machine had no descriptor, port or row for, says
    /// nothing of it.
    fn asked(&self) -> u64 {
        self.ended().saturating_sub(self.panicked + self.local)
    }

    fn mostly(&self) -> String {
        self.commonest.as_deref().map(|kind| format!(", mostly: {kind}")).unwrap_or_default()
    }

    /// Neither the target nor an operation: the engine, an arrival process of the caller's own, a session as it was dropped.
    fn failed(&self) -> Option<String> {
        let Fault { shard, at, said } = self.fault.as_ref()?;
        Some(format!(
            "a task of the load generator panicked on shard {shard} after {}: {}; the run ends there",
            short(*at),
            fit(said, SAID)
        ))
    }

    fn stuck(&self) -> Option<String> {
        let (first, more) = self.stuck.split_first()?;
        let others = if more.is_empty() { String::new() } else { format!(" (and {} more)", more.len()) };
        let lost: u64 = self.stuck.iter().map(|stuck| stuck.in_flight).sum();
        Some(format!(
            "shard {}{others} stuck since {}: its figures end at {}, {} in flight counted as unfinished; \
             the workload blocks its thread, use non-blocking calls",
            first.shard,
            short(first.since),
            short(first.until),
            operations(lost)
        ))
    }

    fn lagging(&self) -> Option<String> {
        let lag = self.lag_p99.filter(|&lag| lag > MAX_LAG_P99)?;
        Some(format!("dispatch lag p99 {} exceeds {MAX_LAG_P99:?}: {}", short(lag), self.because()))
    }

    fn unsent(&self) -> Option<String> {
        let sent = self.dispatched + self.capped + self.shed + self.waiting;
        (self.unreachable.is_none() && below(sent, self.offered, 99))
            .then(|| format!("sent only {sent} of {} in time: {}", operations(self.offered), self.because()))
    }

    fn throttled(&self) -> Option<String> {
        let share = self.generator.throttled_share.filter(|&share| share > MAX_THROTTLED)?;
        Some(format!(
            "the CPU quota of its control group kept the generator from running {} of the time",
            percent(share)
        ))
    }

    fn inflated(&self) -> Option<String> {
        if let Some(threshold) = &self.blamed {
            return Some(format!(
                "`{threshold}` was broken by the generator's own lag alone: {}",
                self.because()
            ));
        }
        // Both measured on the way out; what the way back added is anybody's guess and decides nothing.
        let (lag, p95) = (self.lag_p95?, self.p95?);
        let much = self.dispatched >= MIN_OPERATIONS
            && lag > NEGLIGIBLE_LAG
            && lag.as_secs_f64() > MAX_INFLATION * p95.as_secs_f64();
        much.then(|| {
            format!(
                "dispatch lag p95 {} is more than a tenth of the response time's p95 of {}: {}",
                short(lag),
                short(p95),
                self.because()
            )
        })
    }

    /// In a closed loop a generator without a pause is the slower of the two.
    fn saturated(&self) -> Option<String> {
        let (cpu, waited) = (self.generator.cpu_share?, self.generator.waited_share?);
        if !self.closed || cpu + waited < SATURATED {
            return None;
        }
        Some(format!(
            "its busiest thread was at work {} of the time and waited for a core {}: the rate is the generator's own; add shards, or ask for a rate",
            percent(cpu),
            percent(waited)
        ))
    }

    /// What probably kept the generator from its schedule: of what could have, the first that accounts for the lag.
    fn because(&self) -> String {
        let above = |share: Option<f64>, limit: f64| share.filter(|&share| share > limit).map(percent);
        let used = &self.generator;
        if let Some(share) = above(used.throttled_share, MAX_THROTTLED / 2.0) {
            return format!(
                "the CPU quota of its control group kept it from running {share} of the time; raise the quota"
            );
        }
        let waited = self.length.mul_f64(used.waited_share.unwrap_or_default().clamp(0.0, 1.0));
        let paused = used.longest_pause.unwrap_or_default();
        if paused >= MIN_PAUSE && paused > waited {
            return format!(
                "the whole process stood still for at least {}: it was stopped, or the machine was",
                short(paused)
            );
        }
        if self.panicked > 0 && !below(self.panicked, self.ended(), 50) {
            return format!(
                "the workload panicked in {}, and what its panic hook does (a backtrace, by default) holds the thread",
                operations(self.panicked)
            );
        }
        // A lag beyond all the waiting there was had another reason.
        let explains = self.lag_p99.is_none_or(|lag| lag <= waited);
        if let Some(share) = above(used.waited_share, 0.1).filter(|_| explains) {
            return format!(
                "it was ready to run but without a core {share} of the time; other work shares its cores"
            );
        }
        if let Some(share) = above(used.stolen_share, 0.05) {
            return format!("the host took {share} of this machine's CPU time away");
        }
        if let Some(share) = above(used.cpu_share, 0.8) {
            return format!("its busiest thread used {share} of a core; add shards, or ask for less");
        }
        "the generator was paused, or the workload blocks or computes on its thread".into()
    }

    /// The cap made a part of the plan wait, and those that waited were still there at its end.
    fn queued(&self, behind: bool) -> Option<Validity> {
        if !behind || self.held == 0 || below(self.held, self.offered, 1) {
            return None;
        }
        let wanted = self.wanted.map_or_else(String::new, |wanted| {
            format!(" (at the service time seen, this rate keeps {wanted} in flight)")
        });
        Some(Validity::CapBound(format!(
            "{} of {} waited for the cap of {} in flight, and {} were answered by the end of the schedule{}: raise concurrent_workers{wanted}; if more in flight only make the service time longer, the target is too slow for this rate",
            self.held,
            operations(self.offered),
            self.cap,
            self.in_time.unwrap_or(0),
            self.shed_too()
        )))
    }

    fn coverage(&self) -> Validity {
        if let Some(broken) = self.broken_workload() {
            return broken;
        }
        let capped = self.capped + self.waiting;
        if self.offered > 0 && capped > 0 && !below(capped, self.offered, 1) {
            return Validity::CapBound(format!(
                "{capped} of {} found the cap on operations in flight reached; raise concurrent_workers, or the target is too slow for this rate",
                operations(self.offered)
            ));
        }
        if self.offered > 0 && self.local > 0 && !below(self.local, self.offered, 1) {
            let what = self.commonest.as_deref().unwrap_or("descriptors or ports");
            return Validity::CapBound(format!(
                "{} of {} failed for want of something on this machine: {what}",
                self.local,
                operations(self.offered)
            ));
        }
        self.sample()
    }

    fn sample(&self) -> Validity {
        if let Some(residual) = self.generator.littles_residual.filter(|&residual| residual > MAX_RESIDUAL) {
            return Validity::Inconclusive(format!(
                "the operations counted in flight and the times recorded differ by {}: the numbers contradict one another",
                percent(residual)
            ));
        }
        if let Some((done, all)) = self.undone {
            return Validity::Inconclusive(format!(
                "{done} of {} were begun in the time there was: allow more, or ask for fewer",
                operations(all)
            ));
        }
        if self.dispatched < MIN_OPERATIONS {
            return Validity::Inconclusive(format!(
                "{}, at least {MIN_OPERATIONS} are needed{}",
                operations(self.dispatched),
                self.no_answer()
            ));
        }
        if let Some((threshold, have, need)) = &self.lacking {
            return Validity::Inconclusive(format!(
                "`{threshold}` needs {}, there were {have}",
                operations(*need)
            ));
        }
        Validity::Valid
    }

    fn limit(&self) -> Limit {
        if let Some(why) = &self.unreachable {
            return Limit::TargetDown(format!("no session could be opened: {why}"));
        }
        let asked = self.asked();
        let enough = !self.interrupted || asked >= MIN_OPERATIONS;
        if asked > 0 && enough && below(self.answered, asked, 50) {
            return Limit::TargetDown(self.hardly_answered(asked));
        }
        let shed = self.shed_too();
        match self.in_time {
            Some(in_time) if below(in_time + self.broke, self.offered, 99) => Limit::TargetBound(format!(
                "{in_time} of {} were answered by the end of the schedule{shed}: {}, so percentiles depend on how long the run was",
                operations(self.offered),
                self.behind()
            )),
            _ => Limit::NotReached,
        }
    }

    fn hardly_answered(&self, asked: u64) -> String {
        let (asked, mostly) = (operations(asked), self.mostly());
        match (self.answered, self.begun_answers) {
            (0, 0) => format!("none of {asked} was answered{mostly}"),
            (0, begun) => {
                format!("none of {asked} was answered to the end, though {begun} answers began{mostly}")
            }
            (answered, _) => format!("{answered} of {asked} were answered{mostly}"),
        }
    }

    /// What a run that is too short to call the target down has to say of it.
    fn no_answer(&self) -> String {
        let asked = self.asked();
        let none = asked > 0 && self.answered == 0;
        if none { format!("; {}", self.hardly_answered(asked)) } else { String::new() }
    }

    /// The workload itself failed more often than not.
    fn broken_workload(&self) -> Option<Validity> {
        let many = self.panicked > 0 && self.panicked * 2 >= self.ended();
        many.then(|| {
            Validity::Inconclusive(format!(
                "the workload panicked in {} of {}, a fault of its own, so little is known of the target{}",
                self.panicked,
                operations(self.ended()),
                self.mostly()
            ))
        })
    }

    fn shed_too(&self) -> String {
        if self.shed > 0 { format!(" ({} were shed)", self.shed) } else { String::new() }
    }

    /// Who did not keep up. Behind a cap that is the target together with the cap, and which of the two the run cannot tell.
    fn behind(&self) -> String {
        if self.held == 0 || below(self.held, self.offered, 1) {
            return "the target did not keep up".into();
        }
        format!(
            "with {} in flight at most the target did not keep up: it is too slow for this rate, or concurrent_workers too few",
            self.cap
        )
    }
}

/// Whether `part` is less than `percent` of `whole`.
fn below(part: u64, whole: u64, percent: u64) -> bool {
    u128::from(part) * 100 < u128::from(whole) * u128::from(percent)
}

fn percent(share: f64) -> String {
    format!("{:.1} %", share * 100.0)
}

#[cfg(test)]
mod tests;
