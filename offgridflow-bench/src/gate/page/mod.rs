//! The report as one self-contained page: no script, nothing fetched, light and dark.

mod draw;
mod scale;

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::markdown::Cells;
use super::{GateReport, Judged, Verdict};
use crate::history::{Record, Series, series};
use draw::{forest, spark, trace};
use scale::Scale;

const STYLE: &str = include_str!("style.css");

impl GateReport {
    /// The report as a page: what is judged, a plot of the ratios with their intervals, each round, and, where `history` holds records of a
    /// benchmark, its course over the commits. Everything is in the text itself; nothing is fetched and nothing runs.
    #[must_use]
    pub fn html(&self, history: &[Record]) -> String {
        let (word, head, base) = (self.word(), &self.head, &self.base);
        let class = if self.exit_code() == 0 { "good" } else { "bad" };
        let mut page = String::new();
        let _ = write!(
            page,
            "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
             <title>Benchmarks: {word}</title><style>{STYLE}</style></head><body><main>\n\
             <h1>Benchmarks: <span class=\"{class}\">{word}</span></h1>\n\
             <p><code>{head:.12}</code> over <code>{base:.12}</code>, seed {}. {}</p>\n",
            self.rule.seed,
            self.promise()
        );
        self.rows(&mut page, &past(history));
        if !self.notes.is_empty() {
            let notes: String = self.notes.iter().map(|note| format!("<li>{}</li>", safe(note))).collect();
            let _ = writeln!(page, "<h2>Notes</h2><ul>{notes}</ul>");
        }
        page.push_str(LEGEND);
        page.push_str("</main></body></html>\n");
        page
    }

    fn rows(&self, page: &mut String, past: &BTreeMap<String, Series>) {
        let scale = Scale::of(self);
        let with_history = self.benches.iter().any(|one| past.contains_key(&one.bench));
        let history = if with_history { "<th>history</th>" } else { "" };
        let _ = writeln!(
            page,
            "<div class=\"wide\"><table><thead><tr><th>benchmark</th><th>verdict</th>\
             <th class=\"plot\">ratio, head over base{}</th><th>ratio</th><th>95 % interval</th><th>p</th><th>rounds</th>{history}\
             <th>note</th></tr></thead><tbody>",
            draw::axis(&scale)
        );
        for one in self.by_weight() {
            let course = past.get(&one.bench).map(spark).unwrap_or_default();
            self.row(page, one, &scale, with_history.then_some(course));
        }
        page.push_str("</tbody></table></div>\n");
    }

    fn row(&self, page: &mut String, one: &Judged, scale: &Scale, course: Option<String>) {
        let Cells { ratio, interval, p, note } = Cells::of(one, self.rule.slowdown);
        let allowed = one.allowed.unwrap_or(self.rule.slowdown);
        let plot = one.figures.as_ref().map(|figures| forest(figures, allowed, scale)).unwrap_or_default();
        let course = course.map(|course| format!("<td>{course}</td>")).unwrap_or_default();
        let (bench, note, verdict) = (safe(&one.bench), safe(&note), one.verdict.word());
        let (class, rounds) = (class_of(one.verdict), trace(self, one, allowed));
        let _ = writeln!(
            page,
            "<tr><th scope=\"row\">{bench}</th><td><span class=\"chip {class}\">{verdict}</span></td><td class=\"plot\">{plot}</td>\
             <td class=\"n\">{ratio}</td><td class=\"n\">{interval}</td><td class=\"n\">{p}</td>\
             <td class=\"n\">{rounds}{}</td>{course}<td>{note}</td></tr>",
            one.rounds
        );
    }
}

const LEGEND: &str = "<p class=\"small\">A ratio above 1 is slower. Shaded: what does not matter. Dots: one round each, the ratio of two fresh \
processes, filled where the base ran first. The interval is for the reader; the verdict rests on p, which may be looked at after every round.</p>\n";

fn class_of(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Regressed | Verdict::Broken | Verdict::Missing => "bad",
        Verdict::Undecided | Verdict::LayoutSensitive => "open",
        Verdict::Improved | Verdict::NoRegression | Verdict::Identical => "good",
        Verdict::New | Verdict::Retired => "plain",
    }
}

/// The series of each benchmark, in the order of the file.
fn past(history: &[Record]) -> BTreeMap<String, Series> {
    let mut commits: Vec<String> = Vec::new();
    for record in history {
        if !commits.contains(&record.commit) {
            commits.push(record.commit.clone());
        }
    }
    let (all, _) = series(history, &commits);
    let long = all.into_iter().filter(|series| series.values.len() > 1);
    long.map(|series| (series.bench.clone(), series)).collect()
}

/// Text that cannot be taken for markup.
fn safe(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gate::{Round, Rule, SCHEMA, Statistic};

    fn report() -> GateReport {
        let name = "p/t: <b>\"x\" & 100 %</b>".to_owned();
        let round = |round: usize| Round {
            bench: name.clone(),
            round,
            control: false,
            base_first: round.is_multiple_of(2),
            base: vec![100.0 + round as f64 % 3.0; 10],
            head: vec![110.0; 10],
            layout: 0,
            waited_ms: 0,
            took_ms: 0,
        };
        let judged = Judged {
            statistic: Some(Statistic::Median),
            ..Judged::told(name.clone(), Verdict::Undecided, "its own <settings>".to_owned())
        };
        let mut report = GateReport {
            schema: SCHEMA.to_owned(),
            base: "b".repeat(40),
            head: "h".repeat(40),
            rule: Rule::default(),
            dirty: false,
            machine: String::new(),
            at: 0,
            environment_suspect: false,
            benches: vec![judged, Judged::told("p/t: gone".to_owned(), Verdict::Missing, String::new())],
            notes: vec!["<note>".to_owned()],
            raw: (0..30).map(round).collect(),
        };
        report.judge();
        report
    }

    #[test]
    fn the_page_holds_everything_and_runs_nothing() {
        let report = report();
        let mut history = report.records();
        history.push(Record { commit: "next".to_owned(), ..history[0].clone() });
        let page = report.html(&history);
        assert!(page.contains("Benchmarks: <span class=\"bad\">regressed</span>"), "{page}");
        assert!(
            page.contains("p/t: &lt;b&gt;&quot;x&quot; &amp; 100 %&lt;/b&gt;") && !page.contains("<b>"),
            "{page}"
        );
        assert_eq!(
            page.matches("<circle").count(),
            30 + 1 + 1,
            "a dot a round, the estimate, the newest commit"
        );
        assert!(page.contains("<polyline") && page.contains("prefers-color-scheme"));
        for fetched in ["<script", "http:", "https:", "src=", "href=", "url(", "@import"] {
            assert!(!page.contains(fetched), "{fetched}");
        }
        assert_eq!(page.matches("<tr").count(), page.matches("</tr>").count());
        assert!(!page.contains("NaN") && !page.contains("inf"), "{page}");
    }

    #[test]
    fn a_report_without_rounds_is_a_page_too() {
        let mut report = report();
        report.raw.clear();
        report.judge();
        let page = report.html(&[]);
        assert!(
            page.contains("undecided") && !page.contains("<th>history</th>") && !page.contains("NaN"),
            "{page}"
        );
    }
}
