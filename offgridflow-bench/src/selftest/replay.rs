use super::mutants::t_of;
use super::rivals::{Rival, RivalRates, Seen};
use super::{Dice, Rate};
use crate::gate::{GateReport, Round, Statistic};
use crate::stats::{Betting, Interval, Tail, hierarchical, hodges_lehmann};

/// Rounds of identical programs that a gate recorded on a real machine, to be judged again and again with other coins: swapping the sides of a
/// round of identical programs gives a round that was as likely.
#[derive(Debug, Clone)]
pub struct Replay {
    benches: Vec<Recorded>,
}

/// A fault is tried on at least so many rounds, drawn from the recorded ones with replacement.
const LEAST_FAULTY: usize = 60;

/// The rounds of one benchmark.
#[derive(Debug, Clone)]
struct Recorded {
    ln_ratios: Vec<f64>,         // head over base
    second_over_first: Vec<f64>, // the same rounds, by which ran first
    seconds_a_round: f64,
    rivals: Vec<Seen>, // a round each
}

/// A slow-down that is put into recorded rounds, and what it has to be found within.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Injection {
    /// Benchmarks whose robust spread exceeds this are left out.
    pub spread: f64,
    /// How much slower the head is, as a share.
    pub slowdown: f64,
    /// The gate's δ.
    pub delta: f64,
    /// The gate's α, shared out over the benchmarks.
    pub alpha: f64,
    /// Rounds at most.
    pub rounds: usize,
}

/// A rule that some tool has, applied to rounds of identical programs: every alarm is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Base first, always. Shows only where the machine has an order effect.
    FixedOrder,
    /// Rounds in which the base looks slow are taken for disturbed and left out after they have been seen.
    DroppingAfterSeeing,
    /// "t ≥ 2 is significant" after all rounds, whatever n and however many benchmarks.
    FixedT,
    /// The same, looked at after every round.
    Peeking,
}

impl Fault {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::FixedOrder, Self::DroppingAfterSeeing, Self::FixedT, Self::Peeking];

    /// What it does, in words.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::FixedOrder => "fixed order",
            Self::DroppingAfterSeeing => "dropping after seeing",
            Self::FixedT => "fixed t",
            Self::Peeking => "peeking",
        }
    }
}

/// What the gate does about a slow-down that was put into recorded rounds.
#[derive(Debug, Clone, Default)]
pub struct Power {
    /// Slow-downs found.
    pub caught: Rate,
    /// Of those found, how many estimates are within one point of the truth.
    pub near: Rate,
    /// Seconds of measuring until found, ascending; of those found.
    pub seconds: Vec<f64>,
}

impl Replay {
    /// The counted rounds of `reports`, each benchmark of each report a series of its own; series of fewer than ten rounds are left out.
    #[must_use]
    pub fn of(reports: &[GateReport]) -> Self {
        let benches = reports.iter().flat_map(|report| {
            report.benches.iter().filter_map(|one| Some(recorded(report, &one.bench, one.statistic?)))
        });
        Self { benches: benches.filter(|one| one.ln_ratios.len() >= 10).collect() }
    }

    /// Benchmarks.
    #[must_use]
    pub fn benches(&self) -> usize {
        self.benches.len()
    }

    /// Rounds, over all benchmarks.
    #[must_use]
    pub fn rounds(&self) -> usize {
        self.benches.iter().map(|one| one.ln_ratios.len()).sum()
    }

    /// Judges the suite `times` with fresh coins; how often it is red.
    #[must_use]
    pub fn red(&self, times: u64, alpha: f64, slowdown: f64, seed: u64) -> Rate {
        let (mut dice, mut rate) = (Dice::new(seed), Rate::default());
        let level = alpha / self.benches.len() as f64;
        for _ in 0..times {
            let red = self.benches.iter().fold(false, |red, one| {
                let flipped = one.ln_ratios.iter().map(|ln| ln * dice.coin()).collect::<Vec<_>>();
                p_of(flipped, slowdown) <= level || red
            });
            rate.count(red);
        }
        rate
    }

    /// The same with a fault.
    #[must_use]
    pub fn red_with(&self, fault: Fault, times: u64, alpha: f64, seed: u64) -> Rate {
        let (mut dice, mut rate) = (Dice::new(seed), Rate::default());
        let level = alpha / self.benches.len() as f64;
        for _ in 0..times {
            rate.count(self.benches.iter().any(|one| one.is_red(fault, level, &mut dice)));
        }
        rate
    }

    /// Two-sided sign test of "head and base are exchangeable" over all rounds (as wrong as rounds of one moment are alike).
    #[must_use]
    pub fn sign_test(&self) -> f64 {
        use statrs::distribution::{Binomial, DiscreteCDF};
        let unequal = self.benches.iter().flat_map(|one| one.ln_ratios.iter().filter(|ln| **ln != 0.0));
        let signs: Vec<bool> = unequal.map(|ln| *ln > 0.0).collect();
        let (all, above) = (signs.len() as u64, signs.iter().filter(|sign| **sign).count() as u64);
        let fewer = above.min(all - above);
        Binomial::new(0.5, all).map_or(1.0, |binomial| (2.0 * binomial.cdf(fewer)).min(1.0))
    }

    /// Head over base, pooled over all rounds of the benchmarks whose robust spread is at most `spread`: the pseudomedian of the ln ratios with
    /// one-sided 99 % bounds. `None` when there are none.
    #[must_use]
    pub fn pooled_ln_ratio(&self, spread: f64, seed: u64) -> Option<Interval> {
        let quiet = self.benches.iter().filter(|one| one.spread() <= spread);
        let all: Vec<f64> = quiet.flat_map(|one| one.ln_ratios.iter().copied()).collect();
        hierarchical(&[&all], 0.98, seed)
    }

    /// Draws rounds of the quiet benchmarks, makes the head slower, and judges as the gate would, `times`. `None` when no benchmark is that
    /// quiet.
    #[must_use]
    pub fn power(&self, injection: &Injection, times: u64, seed: u64) -> Option<Power> {
        let quiet: Vec<&Recorded> =
            self.benches.iter().filter(|one| one.spread() <= injection.spread).collect();
        let (mut dice, mut power) = (Dice::new(seed), Power::default());
        let level = injection.alpha / self.benches.len() as f64;
        for one in quiet.iter().cycle().take(usize::try_from(times).unwrap_or(usize::MAX)) {
            power.count(one.search(injection, level, &mut dice), one, injection.slowdown);
        }
        power.seconds.sort_by(f64::total_cmp);
        (!quiet.is_empty()).then_some(power)
    }

    /// What `rival` says of the two processes of each round.
    #[must_use]
    pub fn rival(&self, rival: Rival) -> RivalRates {
        let (mut rates, longest) = (RivalRates::default(), self.benches.iter().map(|one| one.rivals.len()));
        for round in 0..longest.max().unwrap_or_default() {
            let seen = self.benches.iter().filter_map(|one| one.rivals.get(round));
            let seen: Vec<(bool, bool)> = seen.map(|seen| seen.of(rival)).collect();
            for (same, slower) in &seen {
                rates.wrong.count(*same);
                rates.caught.count(*slower);
            }
            rates.suites.count(seen.iter().any(|(same, _)| *same));
        }
        rates
    }

    /// Robust spread of each benchmark's ln ratios.
    #[must_use]
    pub fn spreads(&self) -> Vec<f64> {
        self.benches.iter().map(Recorded::spread).collect()
    }
}

impl Power {
    fn count(&mut self, found: Option<Vec<f64>>, one: &Recorded, slowdown: f64) {
        self.caught.count(found.is_some());
        if let Some(values) = found {
            let centre = hodges_lehmann(&values).unwrap_or(f64::NAN);
            self.near.count((centre.exp() - 1.0 - slowdown).abs() <= 0.01);
            self.seconds.push(one.seconds_a_round * values.len() as f64);
        }
    }

    /// Median of the seconds until found.
    #[must_use]
    pub fn median_seconds(&self) -> f64 {
        crate::stats::median(&self.seconds).unwrap_or(f64::NAN)
    }
}

impl Recorded {
    fn spread(&self) -> f64 {
        let both: Vec<f64> = self.ln_ratios.iter().flat_map(|ln| [*ln, -ln]).collect();
        crate::stats::robust_spread(&both).unwrap_or(f64::INFINITY)
    }

    fn is_red(&self, fault: Fault, level: f64, dice: &mut Dice) -> bool {
        let n = self.ln_ratios.len();
        let length = n.max(LEAST_FAULTY);
        let coins = |dice: &mut Dice| -> Vec<f64> {
            (0..length).map(|_| self.ln_ratios[dice.below(n)] * dice.coin()).collect()
        };
        match fault {
            Fault::FixedOrder => {
                let drawn = (0..length).map(|_| self.second_over_first[dice.below(n)]).collect::<Vec<_>>();
                p_of(drawn, 0.0) <= level
            }
            Fault::DroppingAfterSeeing => {
                let limit = -self.spread();
                let kept = coins(dice).into_iter().filter(|ln| *ln >= limit).collect::<Vec<_>>();
                p_of(kept, 0.0) <= level
            }
            Fault::FixedT => t_of(&coins(dice)) >= 2.0,
            Fault::Peeking => {
                let values = coins(dice);
                (5..=values.len()).any(|n| t_of(&values[..n]) >= 2.0)
            }
        }
    }

    /// Rounds drawn until the slow-down is found; `None` when it is not.
    fn search(&self, injection: &Injection, level: f64, dice: &mut Dice) -> Option<Vec<f64>> {
        let mut test = Betting::new(Tail::Above, injection.delta.ln_1p());
        let mut values = Vec::new();
        for _ in 0..injection.rounds {
            let noise = self.ln_ratios[dice.below(self.ln_ratios.len())] * dice.coin();
            values.push(injection.slowdown.ln_1p() + noise);
            test.extend(values.last().copied());
            if test.p() <= level {
                return Some(values);
            }
        }
        None
    }
}

fn recorded(report: &GateReport, bench: &str, statistic: Statistic) -> Recorded {
    let rounds: Vec<_> = report.raw.iter().filter(|round| round.bench == bench && !round.control).collect();
    let ln = |round: &Round| round.ln_ratio(statistic);
    let took: u64 = rounds.iter().map(|round| round.took_ms).sum();
    Recorded {
        ln_ratios: rounds.iter().map(|round| ln(round)).collect(),
        second_over_first: rounds
            .iter()
            .map(|round| if round.base_first { ln(round) } else { -ln(round) })
            .collect(),
        seconds_a_round: took as f64 / 1_000.0 / rounds.len().max(1) as f64,
        rivals: rounds.iter().map(|round| Seen::between(&round.base, &round.head)).collect(),
    }
}

fn p_of(values: Vec<f64>, slowdown: f64) -> f64 {
    let mut test = Betting::new(Tail::Above, slowdown.ln_1p());
    test.extend(values);
    test.p()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gate::{Judged, Rule, SCHEMA, Verdict};

    /// Five benchmarks of identical programs, sixty rounds each, in which the second process is `order` slower than the first.
    fn recorded(spread: f64, order: f64) -> Replay {
        let mut dice = Dice::new(4);
        let names: Vec<String> = (0..5).map(|nth| format!("p/t: b{nth}")).collect();
        let mut raw = Vec::new();
        for bench in &names {
            for round in 0..60 {
                let mut process = |later: bool| {
                    let centre =
                        100.0 * (1.0 + spread / 1.4 * dice.normal() + if later { order } else { 0.0 });
                    (0..20).map(|_| centre * (1.0 + 0.001 * dice.normal())).collect::<Vec<f64>>()
                };
                let base_first = round % 2 == 0;
                let (base, head) = (process(!base_first), process(base_first));
                let bench = bench.clone();
                raw.push(Round {
                    bench,
                    round,
                    control: false,
                    base_first,
                    base,
                    head,
                    layout: 0,
                    waited_ms: 0,
                    took_ms: 300,
                });
            }
        }
        let judged = |bench: String| Judged {
            statistic: Some(Statistic::Median),
            ..Judged::told(bench, Verdict::Undecided, String::new())
        };
        Replay::of(&[GateReport {
            schema: SCHEMA.to_owned(),
            base: "b".to_owned(),
            head: "b".to_owned(),
            rule: Rule::default(),
            dirty: false,
            machine: String::new(),
            at: 0,
            environment_suspect: false,
            benches: names.into_iter().map(judged).collect(),
            notes: Vec::new(),
            raw,
        }])
    }

    #[test]
    fn b1_other_coins_are_not_red_and_every_fault_is() {
        let replay = recorded(0.02, 0.02);
        assert_eq!((replay.benches(), replay.rounds()), (5, 300));
        assert!(replay.red(300, 0.01, 0.0, 1).at_least() <= 0.01);
        for fault in Fault::ALL {
            let rate = replay.red_with(fault, 60, 0.01, 1);
            assert!(rate.at_least() > 0.01, "{}: {rate:?}", fault.name());
        }
        assert!(replay.sign_test() > 0.001 && replay.pooled_ln_ratio(0.05, 1).unwrap().estimate.abs() < 0.01);
        let [criterion, critcmp] = [Rival::Criterion, Rival::Critcmp].map(|rival| replay.rival(rival));
        assert!(criterion.wrong.share() > 0.3 && critcmp.wrong.trials == 300, "{criterion:?} {critcmp:?}");
        assert!(criterion.suites.trials == 60 && criterion.suites.share() > criterion.wrong.share());
        assert!(criterion.caught.share() > criterion.wrong.share(), "{criterion:?}");
    }

    #[test]
    fn b2_a_slow_down_is_found_in_quiet_rounds_and_not_in_wild_ones() {
        let injection = Injection { spread: 0.03, slowdown: 0.05, delta: 0.02, alpha: 0.01, rounds: 100 };
        let power = recorded(0.01, 0.0).power(&injection, 100, 1).unwrap();
        assert!(power.caught.share() > 0.95 && power.near.share() > 0.9, "{power:?}");
        assert!((3.0..15.0).contains(&power.median_seconds()), "{}", power.median_seconds());
        assert!(recorded(0.2, 0.0).power(&injection, 10, 1).is_none(), "nothing is that quiet");
    }
}
