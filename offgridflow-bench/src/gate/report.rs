use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::judge::{Evidence, figures, null_alarms, verdicts};
use super::round::base_first;
use super::{Figures, GateError, Round, Rule, Statistic, Verdict};

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
    /// What went wrong, or what the reader should know.
    #[serde(default)]
    pub note: String,
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
            () if any(Verdict::Undecided) || self.environment_suspect => 3,
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
        for round in &self.raw {
            if round.base_first != base_first(self.rule.seed, &round.bench, round.round, round.control) {
                return Err(GateError::Invalid(format!(
                    "{}, round {}: the order is not the seed's",
                    round.bench, round.round
                )));
            }
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

    /// Fills in what follows from the rounds: of every benchmark that has a statistic, and of the null control.
    pub(crate) fn judge(&mut self) {
        let mut suite: Vec<Evidence> = Vec::new();
        let mut controls: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
        let measured: Vec<usize> =
            (0..self.benches.len()).filter(|nth| self.benches[*nth].statistic.is_some()).collect();
        for nth in &measured {
            let one = &self.benches[*nth];
            let statistic = one.statistic.unwrap_or(Statistic::Median);
            let mut evidence = Evidence::new(self.rule.slowdown);
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
            }
        }
    }

    fn word(&self) -> &'static str {
        match self.exit_code() {
            0 => "pass",
            1 => "regressed",
            3 if self.environment_suspect => "environment suspect: base against base differs",
            3 => "undecided",
            _ => "not judged: a benchmark is missing or broken, or there is none",
        }
    }
}

/// Markdown, the weightiest first: for a terminal and for a pull request.
impl fmt::Display for GateReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "<!-- offgridflow-bench -->\n**Benchmarks: {}** ({:.12} over {:.12}, seed {})\n",
            self.word(),
            self.head,
            self.base,
            self.rule.seed
        )?;
        writeln!(
            f,
            "| benchmark | verdict | ratio | 95 % interval | rounds | p | note |\n|---|---|---|---|---|---|---|"
        )?;
        let weight = |one: &Judged| match one.verdict {
            Verdict::Regressed => 0,
            Verdict::Broken | Verdict::Missing => 1,
            Verdict::Undecided => 2,
            Verdict::Improved => 3,
            Verdict::New => 4,
            Verdict::NoRegression => 5,
            Verdict::Identical => 6,
        };
        let mut benches: Vec<&Judged> = self.benches.iter().collect();
        benches.sort_by_key(|one| weight(one));
        for one in benches {
            row(one, f)?;
        }
        writeln!(
            f,
            "\nRed on identical programs at most {} % of the time; slow-downs up to {} % do not matter.",
            100.0 * self.rule.alpha,
            100.0 * self.rule.slowdown
        )?;
        self.notes.iter().try_for_each(|note| writeln!(f, "- {note}"))
    }
}

fn row(one: &Judged, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let verdict = serde_json::to_value(one.verdict).ok();
    let verdict = verdict.as_ref().and_then(serde_json::Value::as_str).unwrap_or_default();
    let figures = one.figures.as_ref();
    let ratio =
        figures.and_then(|figures| figures.centre).map_or(String::new(), |centre| format!("{centre:.3}"));
    let interval = figures
        .and_then(|figures| figures.ratio)
        .map_or(String::new(), |ratio| format!("{:.3} to {:.3}", ratio.low, ratio.high));
    let p = figures.map_or(String::new(), |figures| format!("{:.1e}", figures.p));
    let unseen = match figures.and_then(|figures| figures.detectable) {
        Some(ratio) => format!("less than {:+.1} % may go unseen; ", 100.0 * (ratio - 1.0)),
        None => String::new(),
    };
    let safe = |text: &str| text.replace('|', "\\|").replace('\n', " ");
    writeln!(
        f,
        "| {} | {verdict} | {ratio} | {interval} | {} | {p} | {unseen}{} |",
        safe(&one.bench),
        one.rounds,
        safe(&one.note)
    )
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
                    waited_ms: 0,
                });
            }
        }
        let bench = Judged {
            bench: "p/t: b|x".to_owned(),
            verdict: Verdict::Undecided,
            statistic: Some(Statistic::Median),
            rounds: 0,
            figures: None,
            note: String::new(),
        };
        let rule = Rule { seed: 9, ..Rule::default() };
        let mut report = GateReport {
            schema: SCHEMA.to_owned(),
            base: "b".repeat(40),
            head: "h".repeat(40),
            rule,
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
}
