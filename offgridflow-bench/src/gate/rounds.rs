use std::time::{Duration, Instant};

use super::contest::{Contest, Side};
use super::journal::{Journal, Past, milliseconds};
use super::judge::{Evidence, finished};
use super::round::{base_first, kept};
use super::session::{Stage, Trouble};
use super::weather::Weather;
use super::{GateError, GateReport, Round, Rule};

/// Benchmarks, the noisiest ones, that run base against base alongside.
const CONTROLS: usize = 3;

/// The measuring itself: a pilot for each benchmark, then rounds, within one budget.
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

    /// Tries out every benchmark whose plan no earlier run knows; those that the budget does not reach stay without.
    pub(crate) fn pilot(
        &mut self,
        contests: &mut [Contest],
        past: &Past,
        progress: &mut dyn FnMut(&str),
    ) -> Result<(), GateError> {
        let count = contests.len();
        for (nth, contest) in contests.iter_mut().enumerate() {
            contest.plan = past.plans.get(&contest.name).cloned();
            contest.broken = past.broken.get(&contest.name).cloned();
            if contest.plan.is_some() || contest.broken.is_some() || self.is_spent() {
                continue;
            }
            progress(&format!("pilot {} of {count}: {}", nth + 1, contest.name));
            match contest.try_out(self.stage, self.limit) {
                Err(Trouble::Gate(error)) => return Err(error),
                Err(Trouble::Bench(what)) => self.give_up(contest, what)?,
                Ok(plan) => {
                    self.journal.pilot(&contest.name, &plan, self.spent())?;
                    contest.plan = Some(plan);
                }
            }
        }
        Ok(())
    }

    /// Rounds until all is decided, all rounds are had, or the budget is spent.
    pub(crate) fn rounds(
        &mut self,
        contests: &mut [Contest],
        past: Past,
        report: &mut GateReport,
        progress: &mut dyn FnMut(&str),
    ) -> Result<(), GateError> {
        report.raw = past.rounds;
        let mut suite: Vec<Evidence> =
            contests.iter().map(|contest| evidence(contest, &report.raw, self.rule)).collect();
        // One revision against itself is its own control.
        let controls = if report.base == report.head { Vec::new() } else { noisiest(contests) };
        for sweep in 1.. {
            let done = finished(&suite, self.rule);
            let mut active: Vec<usize> =
                (0..contests.len()).filter(|nth| !done[*nth] && contests[*nth].can_run()).collect();
            if active.is_empty() {
                break;
            }
            let began = Instant::now();
            active.sort_by(|a, b| suite[*a].nearest().total_cmp(&suite[*b].nearest()));
            for nth in active.iter().copied() {
                if self.is_spent() {
                    let budget = self.budget;
                    report.notes.push(format!("the budget of {budget:?} was spent before all was decided"));
                    return Ok(());
                }
                let with_control = controls.contains(&nth).then_some(true);
                for control in std::iter::once(false).chain(with_control) {
                    let next = report.next_round(&contests[nth].name, control);
                    if let Some(round) = self.round(&mut contests[nth], next, control)? {
                        if !control {
                            suite[nth].add(contests[nth].ln_ratio(&round));
                        }
                        report.raw.push(round);
                    }
                }
            }
            let expected = self.expected(&suite, &active, began.elapsed());
            let left = self.budget.saturating_sub(self.spent());
            let (active, count) = (active.len(), contests.len());
            let (expected, left) = (expected.min(left).as_secs(), left.as_secs());
            progress(&format!(
                "round {sweep}: {active} of {count} not decided; about {expected} s to go, at most {left} s"
            ));
        }
        Ok(())
    }

    /// About how long it takes until `active` are decided, when a sweep over them took `sweep`.
    fn expected(&self, suite: &[Evidence], active: &[usize], sweep: Duration) -> Duration {
        let level = self.rule.alpha / suite.len().max(1) as f64;
        let rounds: usize = active.iter().map(|nth| suite[*nth].rounds_left(level, self.rule)).sum();
        sweep.mul_f64(rounds as f64 / active.len().max(1) as f64)
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

fn noisiest(contests: &[Contest]) -> Vec<usize> {
    let spread = |nth: usize| contests[nth].plan.as_ref().map_or(0.0, |plan| plan.spread);
    let mut order: Vec<usize> = (0..contests.len()).filter(|nth| contests[*nth].can_run()).collect();
    order.sort_by(|a, b| spread(*b).total_cmp(&spread(*a)));
    order.truncate(CONTROLS);
    order
}
