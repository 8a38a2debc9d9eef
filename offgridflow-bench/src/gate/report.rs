use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::judge::{Evidence, figures, null_alarms, verdicts};
use super::round::base_first;
use super::settings::MOST_LAYOUTS;
use super::{Allocations, Figures, GateError, Instructions, Round, Rule, Statistic, Verdict};
use crate::stats::hodges_lehmann;

/// What the reader of a `report.json` should find in `schema`.
pub const SCHEMA: &str = "offgridflow-bench/gate/1";

/// One benchmark in a report.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Judged {
    /// `package/target: benchmark`.
    pub bench: String,
    /// What is said of it.
    pub verdict: Verdict,
    /// Which number stood for a process.
    pub statistic: Option<Statistic>,
    /// Rounds that count.
    pub rounds: usize,
    /// The figures, where there were rounds.
    pub figures: Option<Figures>,
    /// Slow-downs up to this share do not matter here; absent, the rule's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allowed: Option<f64>,
    /// Link orders that the rounds go through in turn.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub layouts: usize,
    /// What an iteration executes, where that was counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instructions: Option<Instructions>,
    /// What an iteration asks of the allocator, where that was counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allocations: Option<Allocations>,
    /// What went wrong, or what the reader should know.
    #[serde(default)]
    pub note: String,
}

fn one() -> usize {
    1
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
fn is_one(layouts: &usize) -> bool {
    *layouts == 1
}

impl Judged {
    /// Told without rounds.
    pub(crate) fn told(bench: String, verdict: Verdict, note: String) -> Self {
        Self {
            bench,
            verdict,
            statistic: None,
            rounds: 0,
            figures: None,
            allowed: None,
            layouts: 1,
            instructions: None,
            allocations: None,
            note,
        }
    }
}

/// All that a gate measured and said; the verdicts follow from the rounds in it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GateReport {
    /// [`SCHEMA`].
    pub schema: String,
    /// Commit of the base.
    pub base: String,
    /// Commit of the head.
    pub head: String,
    /// What it was judged by.
    pub rule: Rule,
    /// Whether the head holds changes that are not committed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub dirty: bool,
    /// What kind of machine it was.
    #[serde(default)]
    pub machine: String,
    /// When, in seconds since 1970.
    #[serde(default)]
    pub at: u64,
    /// Whether base against base differed: then nothing is red.
    pub environment_suspect: bool,
    /// The benchmarks, by name.
    pub benches: Vec<Judged>,
    /// What the reader should know.
    pub notes: Vec<String>,
    /// Every round, in the order they were measured.
    pub raw: Vec<Round>,
}

impl GateReport {
    /// Exit status: 1 regressed · 4 a benchmark is missing or broken, or there was none · 3 undecided or environment suspect · 0 pass.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        let any = |verdict| self.benches.iter().any(|one| one.verdict == verdict);
        match () {
            () if any(Verdict::Regressed) && !self.environment_suspect => 1,
            () if any(Verdict::Missing) || any(Verdict::Broken) || self.benches.is_empty() => 4,
            () if any(Verdict::Undecided) || any(Verdict::LayoutSensitive) || self.environment_suspect => 3,
            () => 0,
        }
    }

    /// Judges the rounds of this report again: verdicts, figures, and the coins that the seed gives.
    ///
    /// # Errors
    /// [`GateError::Invalid`] names the first thing that does not follow from the rounds.
    pub fn recompute(&self) -> Result<(), GateError> {
        if self.schema != SCHEMA {
            return Err(GateError::Invalid(format!(
                "the report's schema is `{}`; this version reads {SCHEMA}",
                self.schema
            )));
        }
        self.rule.check().map_err(|what| GateError::Invalid(format!("no gate judges by {what}")))?;
        if let Some(one) = self.benches.iter().find(|one| !(1..=MOST_LAYOUTS).contains(&one.layouts)) {
            return Err(GateError::Invalid(format!(
                "{}: no gate tries {} link orders",
                one.bench, one.layouts
            )));
        }
        for round in &self.raw {
            if round.base_first != base_first(self.rule.seed, &round.bench, round.round, round.control) {
                return Err(GateError::Invalid(format!(
                    "{}, round {}: the order is not the seed's",
                    round.bench, round.round
                )));
            }
        }
        let layouts: BTreeMap<&str, usize> =
            self.benches.iter().map(|one| (one.bench.as_str(), one.layouts)).collect();
        let order =
            |round: &Round| round.round % layouts.get(round.bench.as_str()).copied().unwrap_or(1).max(1);
        if let Some(round) = self.raw.iter().find(|round| round.layout != order(round)) {
            return Err(GateError::Invalid(format!(
                "{}, round {}: the link order is not its turn's",
                round.bench, round.round
            )));
        }
        let mut again = self.clone();
        again.judge();
        if again.environment_suspect != self.environment_suspect {
            return Err(GateError::Invalid(
                "the null control's verdict does not follow from its rounds".to_owned(),
            ));
        }
        match again.benches.iter().zip(&self.benches).find(|(again, said)| again != said) {
            Some((_, said)) => Err(GateError::Invalid(format!(
                "{}: verdict and figures do not follow from the rounds",
                said.bench
            ))),
            None => Ok(()),
        }
    }

    /// The number of the benchmark's next round, from 0.
    pub(crate) fn next_round(&self, bench: &str, control: bool) -> usize {
        self.raw.iter().filter(|round| round.bench == bench && round.control == control).count()
    }

    /// Fills in what follows from the rounds: of every benchmark that has a statistic, and of the null control.
    pub(crate) fn judge(&mut self) {
        let mut suite: Vec<Evidence> = Vec::new();
        let mut controls: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
        let measured: Vec<usize> =
            (0..self.benches.len()).filter(|nth| self.benches[*nth].statistic.is_some()).collect();
        for nth in &measured {
            let one = &self.benches[*nth];
            let statistic = one.statistic.unwrap_or(Statistic::Median);
            let mut evidence = Evidence::new(one.allowed.unwrap_or(self.rule.slowdown));
            for round in self.raw.iter().filter(|round| round.bench == one.bench) {
                let ln_ratio = round.ln_ratio(statistic);
                if round.control {
                    controls.entry(&round.bench).or_default().push(ln_ratio);
                } else {
                    evidence.add(ln_ratio);
                }
            }
            suite.push(evidence);
        }
        self.environment_suspect = null_alarms(&controls.into_values().collect::<Vec<_>>(), self.rule.alpha);
        let (verdicts, figures) = (verdicts(&suite, &self.rule), figures(&suite, &self.rule));
        for (((nth, evidence), verdict), figures) in
            measured.into_iter().zip(&suite).zip(verdicts).zip(figures)
        {
            let one = &mut self.benches[nth];
            one.rounds = evidence.rounds();
            one.figures = Some(figures);
            if one.verdict != Verdict::Broken {
                one.verdict = verdict;
                let slow_in_each =
                    |one: &Judged| slow_layouts(&self.raw, one, self.rule.slowdown) == one.layouts;
                if verdict == Verdict::Regressed && one.layouts > 1 && !slow_in_each(one) {
                    one.verdict = Verdict::LayoutSensitive;
                }
            }
        }
    }
}

/// Link orders in which the benchmark's pseudomedian is slower by what matters.
fn slow_layouts(raw: &[Round], one: &Judged, slowdown: f64) -> usize {
    let (statistic, boundary) =
        (one.statistic.unwrap_or(Statistic::Median), one.allowed.unwrap_or(slowdown).ln_1p());
    let is_slow = |layout: &usize| {
        let rounds =
            raw.iter().filter(|round| round.bench == one.bench && !round.control && round.layout == *layout);
        let values: Vec<f64> = rounds.map(|round| round.ln_ratio(statistic)).collect();
        hodges_lehmann(&values).is_some_and(|centre| centre > boundary)
    };
    (0..one.layouts).filter(is_slow).count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::selftest::Dice;

    fn report(ratio: f64) -> GateReport {
        let mut dice = Dice::new(1);
        let mut raw = Vec::new();
        for round in 0..40 {
            for control in [false, true] {
                let mut side = |centre: f64| -> Vec<f64> {
                    (0..10).map(|_| centre * (1.0 + 0.01 * dice.normal())).collect()
                };
                let (base, head) = (side(100.0), side(if control { 100.0 } else { 100.0 * ratio }));
                raw.push(Round {
                    bench: "p/t: b|x".to_owned(),
                    round,
                    control,
                    base_first: base_first(9, "p/t: b|x", round, control),
                    base,
                    head,
                    layout: 0,
                    waited_ms: 0,
                    took_ms: 0,
                });
            }
        }
        let bench = Judged {
            bench: "p/t: b|x".to_owned(),
            verdict: Verdict::Undecided,
            statistic: Some(Statistic::Median),
            rounds: 0,
            figures: None,
            allowed: None,
            layouts: 1,
            instructions: None,
            allocations: None,
            note: String::new(),
        };
        let rule = Rule { seed: 9, ..Rule::default() };
        let mut report = GateReport {
            schema: SCHEMA.to_owned(),
            base: "b".repeat(40),
            head: "h".repeat(40),
            rule,
            dirty: false,
            machine: String::new(),
            at: 0,
            environment_suspect: false,
            benches: vec![bench],
            notes: Vec::new(),
            raw,
        };
        report.judge();
        report
    }

    #[test]
    fn b6_a_report_is_recomputed_and_an_altered_one_is_not_believed() {
        let report = report(1.1);
        assert_eq!(report.exit_code(), 1);
        let text = serde_json::to_string(&report).unwrap();
        let read: GateReport = serde_json::from_str(&text).unwrap();
        assert_eq!(read, report, "not a bit is lost on the way");
        read.recompute().unwrap();
        let altered = |change: fn(&mut GateReport)| {
            let mut report = report.clone();
            change(&mut report);
            report.recompute().unwrap_err().exit_code()
        };
        assert_eq!(altered(|report| report.raw[4].head.iter_mut().for_each(|sample| *sample *= 0.5)), 3);
        assert_eq!(altered(|report| report.raw[4].base_first ^= true), 3);
        assert_eq!(altered(|report| report.benches[0].verdict = Verdict::NoRegression), 3);
        assert_eq!(altered(|report| drop(report.raw.drain(40..))), 3);
        assert!(report.to_string().contains("| p/t: b\\|x | regressed | 1.098"), "{report}");
    }

    /// Numbers that no gate writes would have it compute for years.
    #[test]
    fn a_report_with_settings_that_no_gate_takes_is_not_believed() {
        let refused = |change: fn(&mut GateReport)| {
            let mut report = report(1.1);
            change(&mut report);
            let error = report.recompute().unwrap_err();
            (error.exit_code(), error.to_string())
        };
        for (change, words) in [
            ((|report| report.rule.rounds = usize::MAX) as fn(&mut GateReport), "rounds"),
            (|report| report.rule.rounds = 0, "rounds"),
            (|report| report.rule.alpha = 0.5, "alpha"),
            (|report| report.rule.slowdown = -0.1, "slowdown"),
            (|report| report.rule.slowdown = 1e300, "slowdown"),
            (|report| report.benches[0].layouts = usize::MAX, "link orders"),
            (|report| report.benches[0].layouts = 0, "link orders"),
        ] {
            let (code, text) = refused(change);
            assert!(code == 3 && text.contains(words), "{words}: {code} {text}");
        }
    }

    #[test]
    fn nothing_is_green_by_accident() {
        let code = |verdicts: &[Verdict], suspect: bool| {
            let mut report = report(1.0);
            let one = report.benches[0].clone();
            report.environment_suspect = suspect;
            report.benches =
                verdicts.iter().map(|verdict| Judged { verdict: *verdict, ..one.clone() }).collect();
            report.exit_code()
        };
        assert_eq!(code(&[], false), 4);
        assert_eq!(code(&[Verdict::Identical, Verdict::Missing], false), 4);
        assert_eq!(code(&[Verdict::NoRegression, Verdict::Broken], false), 4);
        assert_eq!(code(&[Verdict::NoRegression, Verdict::Undecided], false), 3);
        assert_eq!(code(&[Verdict::Regressed, Verdict::Missing], false), 1);
        assert_eq!(code(&[Verdict::Regressed], true), 3, "a suspect environment is not red, nor green");
        assert_eq!(
            code(&[Verdict::Identical, Verdict::NoRegression, Verdict::Improved, Verdict::New], false),
            0
        );
    }

    /// Three link orders; in one of them the head is not slower.
    #[test]
    fn what_is_slow_in_one_link_order_only_is_not_red() {
        let with_layouts = |slow_everywhere: bool| {
            let mut report = report(1.1);
            report.benches[0].layouts = 3;
            for round in &mut report.raw {
                round.layout = round.round % 3;
                if round.layout == 1 && !slow_everywhere {
                    round.head = round.base.iter().map(|sample| sample * 1.001).collect();
                }
            }
            report.judge();
            report.recompute().unwrap();
            (report.benches[0].verdict, report.exit_code())
        };
        assert_eq!(with_layouts(true), (Verdict::Regressed, 1));
        assert_eq!(with_layouts(false), (Verdict::LayoutSensitive, 3));
        let mut altered = report(1.1);
        altered.benches[0].layouts = 3;
        assert_eq!(altered.recompute().unwrap_err().exit_code(), 3);
    }
}
