use std::fmt;

use super::{GateReport, Judged, Verdict};

/// Rows before the rest is folded.
const ROWS: usize = 20;

impl GateReport {
    /// The outcome in a few words.
    pub(crate) fn word(&self) -> &'static str {
        match self.exit_code() {
            0 => "pass",
            1 => "regressed",
            3 if self.environment_suspect => "environment suspect: base against base differs",
            3 => "undecided",
            _ => "not judged: a benchmark is missing or broken, or there is none",
        }
    }

    /// The benchmarks, the weightiest first.
    pub(crate) fn by_weight(&self) -> Vec<&Judged> {
        let weight = |one: &Judged| match one.verdict {
            Verdict::Regressed => 0,
            Verdict::Broken | Verdict::Missing => 1,
            Verdict::Undecided | Verdict::LayoutSensitive => 2,
            Verdict::Improved => 3,
            Verdict::New | Verdict::Retired => 4,
            Verdict::NoRegression => 5,
            Verdict::Identical => 6,
        };
        let mut benches: Vec<&Judged> = self.benches.iter().collect();
        benches.sort_by_key(|one| weight(one));
        benches
    }

    /// What the suite is judged by, in a sentence.
    pub(crate) fn promise(&self) -> String {
        let percent = |share: f64| (share * 1e6).round() / 1e4;
        format!(
            "Red on identical programs at most {} % of the time; slow-downs up to {} % do not matter.",
            percent(self.rule.alpha),
            percent(self.rule.slowdown)
        )
    }
}

impl Verdict {
    /// As it stands in a report.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Regressed => "regressed",
            Self::LayoutSensitive => "layout-sensitive",
            Self::Improved => "improved",
            Self::NoRegression => "no-regression",
            Self::Undecided => "undecided",
            Self::Identical => "identical",
            Self::New => "new",
            Self::Missing => "missing",
            Self::Retired => "retired",
            Self::Broken => "broken",
        }
    }
}

/// Markdown, the weightiest first, what exceeds twenty rows folded: for a terminal and for a pull request. Its first line marks the comment, so
/// that the next run finds and replaces it.
impl fmt::Display for GateReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (word, head, base, seed) = (self.word(), &self.head, &self.base, self.rule.seed);
        writeln!(f, "<!-- offgridflow-bench -->")?;
        writeln!(f, "**Benchmarks: {word}** ({head:.12} over {base:.12}, seed {seed})\n")?;
        let benches = self.by_weight();
        let (shown, folded) = benches.split_at(benches.len().min(ROWS));
        table(shown, self.rule.slowdown, f)?;
        if !folded.is_empty() {
            writeln!(f, "\n<details><summary>{} more</summary>\n", folded.len())?;
            table(folded, self.rule.slowdown, f)?;
            writeln!(f, "\n</details>")?;
        }
        writeln!(f, "\n{}", self.promise())?;
        self.notes.iter().try_for_each(|note| writeln!(f, "- {note}"))
    }
}

fn table(benches: &[&Judged], slowdown: f64, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    writeln!(f, "| benchmark | verdict | ratio | 95 % interval | rounds | p | note |")?;
    writeln!(f, "|---|---|---|---|---|---|---|")?;
    benches.iter().try_for_each(|one| row(one, slowdown, f))
}

fn row(one: &Judged, slowdown: f64, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let Cells { ratio, interval, p, note } = Cells::of(one, slowdown);
    let safe = |text: &str| text.replace('|', "\\|").replace('\n', " ");
    let (bench, verdict, rounds) = (safe(&one.bench), one.verdict.word(), one.rounds);
    writeln!(f, "| {bench} | {verdict} | {ratio} | {interval} | {rounds} | {p} | {} |", safe(&note))
}

/// The figures of a row as text; empty where there are none.
pub(crate) struct Cells {
    pub(crate) ratio: String,
    pub(crate) interval: String,
    pub(crate) p: String,
    pub(crate) note: String,
}

impl Cells {
    pub(crate) fn of(one: &Judged, slowdown: f64) -> Self {
        let figures = one.figures.as_ref();
        let text = |figure: Option<String>| figure.unwrap_or_default();
        let unseen = |ratio: f64| format!("less than {:+.1} % may go unseen; ", 100.0 * (ratio - 1.0));
        let unseen = text(figures.and_then(|figures| figures.detectable).map(unseen));
        Self {
            ratio: text(figures.and_then(|figures| figures.centre).map(|centre| format!("{centre:.3}"))),
            interval: text(
                figures
                    .and_then(|figures| figures.ratio)
                    .map(|ratio| format!("{:.3} to {:.3}", ratio.low, ratio.high)),
            ),
            p: text(figures.map(|figures| format!("{:.1e}", figures.p))),
            note: format!("{}{unseen}{}", one.testimony(slowdown), one.note)
                .trim_end_matches("; ")
                .to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gate::{Rule, SCHEMA};

    #[test]
    fn what_exceeds_twenty_rows_is_folded_and_the_weightiest_is_not() {
        let one = |nth: usize| {
            let verdict = if nth == 29 { Verdict::Missing } else { Verdict::Identical };
            Judged::told(format!("p/t: b{nth:02}|x"), verdict, "two\nlines".to_owned())
        };
        let report = GateReport {
            schema: SCHEMA.to_owned(),
            base: "b".repeat(40),
            head: "h".repeat(40),
            rule: Rule { slowdown: 0.07, ..Rule::default() },
            dirty: false,
            machine: String::new(),
            at: 0,
            environment_suspect: false,
            benches: (0..30).map(one).collect(),
            notes: vec!["a note".to_owned()],
            raw: Vec::new(),
        };
        let text = report.to_string();
        let (shown, folded) = text.split_once("<details><summary>10 more</summary>").unwrap();
        assert!(shown.contains("| p/t: b29\\|x | missing |") && shown.contains("| two lines |"), "{text}");
        assert!(shown.starts_with("<!-- offgridflow-bench -->\n") && folded.contains("b28"), "{text}");
        assert!(
            text.contains("slow-downs up to 7 % do not matter") && text.ends_with("- a note\n"),
            "{text}"
        );
    }
}
