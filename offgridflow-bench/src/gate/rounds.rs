use std::time::{Duration, Instant};

use rand_pcg::Pcg64;
use rand_pcg::rand_core::Rng;

use super::contest::{Contest, Side};
use super::journal::{Journal, Past, milliseconds};
use super::judge::{Evidence, finished};
use super::round::{base_first, kept};
use super::schedule::{Open, Schedule};
use super::session::{Stage, Trouble};
use super::weather::Weather;
use super::{GateError, GateReport, Round, Rule};
use crate::fnv::fnv1a;

/// Benchmarks, the noisiest ones, that run base against base alongside.
const CONTROLS: usize = 3;

/// The measuring itself: rounds, ahead of the first of each benchmark a pilot, within one budget.
#[derive(Debug)]
pub(crate) struct Measuring<'a> {
    pub(crate) stage: &'a Stage,
    pub(crate) rule: &'a Rule,
    /// Time for all of it.
    pub(crate) budget: Duration,
    /// Longest a benchmark process may take.
    pub(crate) limit: Duration,
    pub(crate) journal: Journal,
    /// Time that an earlier, interrupted run took.
    pub(crate) before: Duration,
    pub(crate) began: Instant,
    pub(crate) weather: Weather,
}

impl Measuring<'_> {
    fn spent(&self) -> Duration {
        self.before + self.began.elapsed()
    }

    fn is_spent(&self) -> bool {
        self.spent() >= self.budget
    }

    /// Rounds until all is decided, all rounds are had, or the budget is spent. Each benchmark is tried out before its first round, unless an earlier run
    /// did that.
    pub(crate) fn rounds(
        &mut self,
        contests: &mut [Contest],
        past: Past,
        report: &mut GateReport,
        progress: &mut dyn FnMut(&str),
    ) -> Result<(), GateError> {
        for contest in contests.iter_mut() {
            contest.plan = past.plans.get(&contest.name).cloned();
            contest.broken = past.broken.get(&contest.name).cloned();
        }
        report.raw = past.rounds;
        let mut suite: Vec<Evidence> =
            contests.iter().map(|contest| evidence(contest, &report.raw, self.rule)).collect();
        let mut schedule = Schedule::new(contests.len());
        for sweep in 1.. {
            let open = self.open(contests, &suite);
            if open.is_empty() {
                break;
            }
            // All rounds of each are what is wanted where nothing is stopped early: none goes first.
            let left = if self.rule.stop_early { self.left() } else { Duration::MAX };
            let active = schedule.sweep(&open, left);
            for nth in active.iter().copied() {
                if self.is_spent() {
                    report.notes.push(self.spent_on(&schedule, &self.open(contests, &suite)));
                    return Ok(());
                }
                self.turn(nth, contests, &mut suite, &mut schedule, report, progress)?;
            }
            let (count, waiting) = (contests.len(), open.len() - active.len());
            let expected = expected(&schedule, &self.open(contests, &suite)).min(self.left()).as_secs();
            let wait =
                if waiting > 0 { format!("; {waiting} of them wait for their turn") } else { String::new() };
            progress(&format!(
                "round {sweep}: {} of {count} not decided; about {expected} s to go, at most {} s{wait}",
                open.len(),
                self.left().as_secs()
            ));
        }
        Ok(())
    }

    fn left(&self) -> Duration {
        self.budget.saturating_sub(self.spent())
    }

    /// What is not decided and can run.
    fn open(&self, contests: &[Contest], suite: &[Evidence]) -> Vec<Open> {
        let level = self.rule.alpha / suite.len().max(1) as f64;
        let done = finished(suite, self.rule);
        let open = |nth: usize| Open {
            nth,
            tried_out: contests[nth].plan.is_some(),
            rounds: suite[nth].rounds(),
            more: suite[nth].rounds_left(level, self.rule),
            lot: lot(self.rule.seed, &contests[nth].name),
        };
        (0..contests.len()).filter(|nth| !done[*nth] && contests[*nth].broken.is_none()).map(open).collect()
    }

    /// One benchmark's part of a sweep: its pilot, if that is not done, a round, and one of base against base where it is a control.
    fn turn(
        &mut self,
        nth: usize,
        contests: &mut [Contest],
        suite: &mut [Evidence],
        schedule: &mut Schedule,
        report: &mut GateReport,
        progress: &mut dyn FnMut(&str),
    ) -> Result<(), GateError> {
        if contests[nth].plan.is_none() {
            let began = Instant::now();
            self.try_out(&mut contests[nth], progress)?;
            schedule.piloted(began.elapsed());
        }
        // One revision against itself is its own control.
        let with_control = report.base != report.head && noisiest(contests).contains(&nth);
        let began = Instant::now();
        for control in std::iter::once(false).chain(with_control.then_some(true)) {
            if !contests[nth].can_run() {
                break;
            }
            let next = report.next_round(&contests[nth].name, control);
            if let Some(round) = self.round(&mut contests[nth], next, control)? {
                if !control {
                    suite[nth].add(contests[nth].ln_ratio(&round));
                }
                report.raw.push(round);
            }
        }
        schedule.measured(nth, began.elapsed());
        Ok(())
    }

    fn try_out(&mut self, contest: &mut Contest, progress: &mut dyn FnMut(&str)) -> Result<(), GateError> {
        progress(&format!("pilot: {}", contest.name));
        match contest.try_out(self.stage, self.limit) {
            Err(Trouble::Gate(error)) => return Err(error),
            Err(Trouble::Bench(what)) => self.give_up(contest, what)?,
            Ok(plan) => {
                self.journal.pilot(&contest.name, &plan, self.spent())?;
                contest.plan = Some(plan);
            }
        }
        Ok(())
    }

    /// What a budget was too small for, and what would have been enough.
    fn spent_on(&self, schedule: &Schedule, open: &[Open]) -> String {
        let none = open.iter().filter(|one| one.rounds == 0).count();
        format!(
            "the budget of {:?} was spent before all was decided: {} are open, {none} of them without a round; about {} s more would decide them",
            self.budget,
            open.len(),
            expected(schedule, open).as_secs().max(1)
        )
    }

    /// One round; `None` when the benchmark broke, which it then is for good.
    fn round(
        &mut self,
        contest: &mut Contest,
        round: usize,
        control: bool,
    ) -> Result<Option<Round>, GateError> {
        let waited_ms = self.weather.wait(self.stage.cancel());
        let began = Instant::now();
        let base_first = base_first(self.rule.seed, &contest.name, round, control);
        let other = if control { Side::Base } else { Side::Head };
        let order = if base_first { [Side::Base, other] } else { [other, Side::Base] };
        let layout = round % contest.layouts();
        let mut sides = Vec::new();
        for side in order {
            match contest.measure(self.stage, side, layout, self.limit) {
                Ok(samples) => sides.push(kept(&samples)),
                Err(Trouble::Gate(error)) => return Err(error),
                Err(Trouble::Bench(what)) => {
                    self.give_up(contest, format!("round {}, {what}", round + 1))?;
                    return Ok(None);
                }
            }
        }
        let (second, first) = (sides.pop().unwrap_or_default(), sides.pop().unwrap_or_default());
        let (base, head) = if base_first { (first, second) } else { (second, first) };
        let bench = contest.name.clone();
        let took_ms = milliseconds(began.elapsed());
        let round = Round { bench, round, control, base_first, layout, base, head, waited_ms, took_ms };
        self.journal.round(&round, self.spent())?;
        Ok(Some(round))
    }

    fn give_up(&mut self, contest: &mut Contest, why: String) -> Result<(), GateError> {
        self.journal.broken(&contest.name, &why, self.spent())?;
        contest.broken = Some(why);
        Ok(())
    }
}

fn evidence(contest: &Contest, rounds: &[Round], rule: &Rule) -> Evidence {
    let slowdown = contest.allowed.as_ref().map_or(rule.slowdown, |(limit, _)| *limit);
    let mut evidence = Evidence::new(slowdown);
    let own = rounds.iter().filter(|round| round.bench == contest.name && !round.control);
    own.for_each(|round| evidence.add(contest.ln_ratio(round)));
    evidence
}

/// About how long it takes until all of them are decided.
fn expected(schedule: &Schedule, open: &[Open]) -> Duration {
    open.iter().map(|one| schedule.expected(one)).fold(Duration::ZERO, Duration::saturating_add)
}

/// Who goes first among those of which nothing is known: chance, so that none is always last.
fn lot(seed: u64, bench: &str) -> u64 {
    Pcg64::new(u128::from(seed), u128::from(fnv1a(bench.as_bytes()))).next_u64()
}

/// Of those that were tried out, the ones whose pilots varied most.
fn noisiest(contests: &[Contest]) -> Vec<usize> {
    let spread = |nth: usize| contests[nth].plan.as_ref().map_or(0.0, |plan| plan.spread);
    let mut order: Vec<usize> = (0..contests.len()).filter(|nth| contests[*nth].can_run()).collect();
    order.sort_by(|a, b| spread(*b).total_cmp(&spread(*a)));
    order.truncate(CONTROLS);
    order
}
