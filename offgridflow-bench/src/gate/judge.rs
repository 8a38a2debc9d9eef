use serde::{Deserialize, Serialize};

use super::settings::MOST_ROUNDS;
use crate::stats::{
    Betting, Interval, Tail, benjamini_hochberg, benjamini_yekutieli, hierarchical, hodges_lehmann, holm,
    minimum_detectable, signed_rank_p,
};

/// What the suite is judged by.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Rule {
    /// Chance that any benchmark of identical programs is called regressed. Default: 0.01.
    pub alpha: f64,
    /// Chance, for each benchmark, that one at least `slowdown` slower is called not regressed. Default: 0.01.
    pub miss: f64,
    /// Slow-downs up to this share do not matter. Default: 0.02.
    pub slowdown: f64,
    /// Most rounds of a benchmark, at most 1 000. Default: 150, as far as the error rates are measured.
    pub rounds: usize,
    /// Whether a benchmark that is decided gets no more rounds. Default: true.
    pub stop_early: bool,
    /// Decides coins, resamples and the order of benchmarks.
    pub seed: u64,
}

impl Default for Rule {
    fn default() -> Self {
        Self { alpha: 0.01, miss: 0.01, slowdown: 0.02, rounds: 150, stop_early: true, seed: 1 }
    }
}

impl Rule {
    /// Whether it is one that can be judged by.
    ///
    /// # Errors
    /// What cannot, and what could, in words.
    pub(crate) fn check(&self) -> Result<(), String> {
        let chance = |name: &str, value: f64| {
            let sound = value > 0.0 && value < 0.5;
            if sound { Ok(()) } else { Err(format!("{name} = {value}: a chance above 0 and below 0.5")) }
        };
        chance("alpha", self.alpha)?;
        chance("miss", self.miss)?;
        if !(0.0..10.0).contains(&self.slowdown) {
            return Err(format!("slowdown = {}: a share from 0 to below 10", self.slowdown));
        }
        if !(1..=MOST_ROUNDS).contains(&self.rounds) {
            return Err(format!("rounds = {}: a whole number from 1 to {MOST_ROUNDS}", self.rounds));
        }
        Ok(())
    }
}

/// What is said of a benchmark.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// Slower by more than what does not matter.
    Regressed,
    /// Slower over all rounds, and not in each link order: where functions lie may be all there is to it.
    LayoutSensitive,
    /// Faster by more than what does not matter.
    Improved,
    /// Not slower by what matters.
    NoRegression,
    /// The rounds do not tell.
    Undecided,
    /// The programs are the same.
    Identical,
    /// Only the head has it.
    New,
    /// Only the base has it.
    Missing,
    /// Only the base has it, and that is allowed.
    Retired,
    /// It failed, on at least one side.
    Broken,
}

/// The rounds of one benchmark as evidence; it grows by one value a round and never forgets.
#[derive(Debug, Clone)]
pub(crate) struct Evidence {
    slowdown: f64,
    values: Vec<f64>,
    slower: Betting,
    not_slower: Betting,
    faster: Betting,
}

/// The figures of one benchmark.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Figures {
    /// Head over base: pseudomedian with a 95 % interval; the interval is absent below six rounds.
    pub ratio: Option<Interval>,
    /// Pseudomedian of head over base.
    pub centre: Option<f64>,
    /// Anytime-valid p of "not slower than what does not matter", Holm-adjusted over the suite: what the verdict rests on.
    pub p: f64,
    /// Exact signed-rank p of the same, adjusted by Benjamini and Hochberg: for the reader.
    pub bh: f64,
    /// The same by Benjamini and Yekutieli.
    pub by: f64,
    /// Smallest ratio that would have been found nine times in ten in all the rounds allowed; only where undecided.
    pub detectable: Option<f64>,
}

impl Evidence {
    pub(crate) fn new(slowdown: f64) -> Self {
        let boundary = slowdown.ln_1p();
        Self {
            slowdown,
            values: Vec::new(),
            slower: Betting::new(Tail::Above, boundary),
            not_slower: Betting::new(Tail::Below, boundary),
            faster: Betting::new(Tail::Below, -boundary),
        }
    }

    pub(crate) fn add(&mut self, ln_ratio: f64) {
        self.values.push(ln_ratio);
        self.slower.add(ln_ratio);
        self.not_slower.add(ln_ratio);
        self.faster.add(ln_ratio);
    }

    pub(crate) fn rounds(&self) -> usize {
        self.values.len()
    }

    /// About how many rounds more it takes to decide at `level`, should evidence grow as it did so far; never more than the rule allows.
    pub(crate) fn rounds_left(&self, level: f64, rule: &Rule) -> usize {
        let most = rule.rounds.saturating_sub(self.rounds());
        if !rule.stop_early {
            return most;
        }
        // How many times what was gained is needed.
        let share = |p: f64, level: f64| if p < 1.0 { level.ln() / p.ln() } else { f64::INFINITY };
        let needed = share(self.slower.p(), level)
            .min(share(self.faster.p(), level))
            .min(share(self.not_slower.p(), rule.miss));
        let more = (needed - 1.0) * self.rounds() as f64;
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to `most`")]
        let more = if more.is_nan() { most } else { more.ceil().clamp(0.0, most as f64) as usize };
        more
    }

    /// Whether it looks faster by what matters: worth more rounds although no regression is already shown.
    fn looks_faster(&self) -> bool {
        hodges_lehmann(&self.values).is_some_and(|centre| centre < -self.slowdown.ln_1p())
    }
}

/// The verdicts of a suite as it stands. Red outranks improved outranks no regression.
pub(crate) fn verdicts(suite: &[Evidence], rule: &Rule) -> Vec<Verdict> {
    let adjusted = |p: fn(&Evidence) -> f64| holm(&suite.iter().map(p).collect::<Vec<_>>());
    let (slower, faster) = (adjusted(|one| one.slower.p()), adjusted(|one| one.faster.p()));
    let of = |(nth, one): (usize, &Evidence)| match () {
        () if slower[nth] <= rule.alpha => Verdict::Regressed,
        () if faster[nth] <= rule.alpha => Verdict::Improved,
        () if one.not_slower.p() <= rule.miss => Verdict::NoRegression,
        () => Verdict::Undecided,
    };
    suite.iter().enumerate().map(of).collect()
}

/// Which benchmarks need no more rounds.
pub(crate) fn finished(suite: &[Evidence], rule: &Rule) -> Vec<bool> {
    let of = |(one, verdict): (&Evidence, Verdict)| {
        one.rounds() >= rule.rounds
            || rule.stop_early
                && match verdict {
                    Verdict::Undecided => false,
                    Verdict::NoRegression => !one.looks_faster(),
                    _ => true,
                }
    };
    suite.iter().zip(verdicts(suite, rule)).map(of).collect()
}

/// The figures beside the verdicts.
pub(crate) fn figures(suite: &[Evidence], rule: &Rule) -> Vec<Figures> {
    let p = holm(&suite.iter().map(|one| one.slower.p()).collect::<Vec<_>>());
    let exact: Vec<f64> = suite.iter().map(|one| signed_rank_p(&one.values, one.slowdown.ln_1p())).collect();
    let (bh, by) = (benjamini_hochberg(&exact), benjamini_yekutieli(&exact));
    let level = rule.alpha / suite.len().max(1) as f64;
    let undecided = verdicts(suite, rule);
    let of = |(nth, one): (usize, &Evidence)| Figures {
        ratio: hierarchical(&[&one.values], 0.95, rule.seed).map(exponentiated),
        centre: hodges_lehmann(&one.values).filter(|centre| centre.is_finite()).map(f64::exp),
        p: p[nth],
        bh: bh[nth],
        by: by[nth],
        detectable: (undecided[nth] == Verdict::Undecided)
            .then(|| {
                minimum_detectable(&one.values, one.slowdown.ln_1p(), level, rule.rounds, 3.0, rule.seed)
            })
            .flatten()
            .map(f64::exp),
    };
    suite.iter().enumerate().map(of).collect()
}

fn exponentiated(ln: Interval) -> Interval {
    Interval { estimate: ln.estimate.exp(), low: ln.low.exp(), high: ln.high.exp() }
}

/// Whether base against base shows a difference where there is none: then the rounds are not to be believed.
pub(crate) fn null_alarms(controls: &[Vec<f64>], alpha: f64) -> bool {
    let level = alpha / (2 * controls.len().max(1)) as f64;
    let alarms = |values: &Vec<f64>| {
        [Tail::Above, Tail::Below].into_iter().any(|tail| {
            let mut test = Betting::new(tail, 0.0);
            test.extend(values.iter().copied());
            test.p() <= level
        })
    };
    controls.iter().any(alarms)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::selftest::Dice;

    fn evidence(ratio: f64, rounds: usize, spread: f64, seed: u64) -> Evidence {
        let mut dice = Dice::new(seed);
        let mut one = Evidence::new(0.02);
        (0..rounds).for_each(|_| one.add(ratio.ln() + spread * dice.normal()));
        one
    }

    #[test]
    fn each_truth_gets_its_verdict() {
        let suite = [
            evidence(1.08, 40, 0.01, 1),
            evidence(1.0, 40, 0.01, 2),
            evidence(0.9, 40, 0.01, 3),
            evidence(1.02, 40, 0.05, 4),
        ];
        let rule = Rule::default();
        assert_eq!(
            verdicts(&suite, &rule),
            [Verdict::Regressed, Verdict::NoRegression, Verdict::Improved, Verdict::Undecided]
        );
        assert_eq!(finished(&suite, &rule), [true, true, true, false]);
        let figures = figures(&suite, &rule);
        let slow = figures[0].ratio.unwrap();
        assert!((slow.estimate - 1.08).abs() < 0.01 && slow.low < slow.estimate && slow.estimate < slow.high);
        assert!(figures[0].detectable.is_none() && figures[3].detectable.unwrap() > 1.03);
        assert!(figures[0].p < 0.01 && figures[0].bh <= figures[0].by && figures[1].p > 0.5);
    }

    #[test]
    fn how_long_it_takes_is_told_from_how_far_it_came() {
        let rule = Rule::default();
        let left = |rounds: usize| evidence(1.08, rounds, 0.01, 1).rounds_left(0.01, &rule);
        assert_eq!(left(0), 150, "nothing is known yet");
        let done = (1..60).find(|rounds| left(*rounds) == 0).unwrap();
        assert!((8..25).contains(&done), "{done}");
        let (early, late) = (left(done / 2), left(done - 2));
        assert!((2..=2 * done).contains(&early) && (1..=6).contains(&late), "{early} {late} of {done}");
        assert_eq!(
            evidence(1.02, 140, 0.05, 4).rounds_left(0.01, &rule),
            10,
            "the rule's rounds are the end"
        );
        let all = Rule { stop_early: false, ..rule };
        assert_eq!(evidence(1.08, 40, 0.01, 1).rounds_left(0.01, &all), 110);
    }

    #[test]
    fn a_faster_one_gets_rounds_until_that_is_shown() {
        let suite = [evidence(0.95, 14, 0.005, 1)];
        assert_eq!(verdicts(&suite, &Rule { alpha: 1e-9, ..Rule::default() }), [Verdict::NoRegression]);
        assert_eq!(finished(&suite, &Rule { alpha: 1e-9, ..Rule::default() }), [false]);
        assert_eq!(finished(&suite, &Rule { alpha: 1e-9, rounds: 14, ..Rule::default() }), [true]);
    }

    #[test]
    fn the_null_control_alarms_when_sides_differ_by_themselves() {
        let quiet: Vec<f64> = (0..60).map(|n| if n % 2 == 0 { 0.01 } else { -0.01 }).collect();
        assert!(!null_alarms(std::slice::from_ref(&quiet), 0.01));
        assert!(null_alarms(&[quiet, vec![-0.001; 40]], 0.01));
        assert!(!null_alarms(&[], 0.01));
    }
}
