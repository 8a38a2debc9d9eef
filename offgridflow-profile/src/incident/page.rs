//! The page of an incident: one file, no scripts, nothing loaded.

use std::fmt::{Display, Write};
use std::time::UNIX_EPOCH;

use super::attribution::{OWN, by_function};
use super::{Evidence, Incident, svg};
use crate::Counting;
use crate::trend::{Bytes, Rate, Spoken};
use crate::{Observation, Profile};

/// Rows of a table.
const ROWS: usize = 15;
const STYLE: &str = ":root{color-scheme:light dark;--paper:#fff;--ink:#222;--soft:#666;--line:#ccc;--band:#f5f5f5;--why:#fff3e0;--course:#06c;--limit:#b00}\
@media(prefers-color-scheme:dark){:root{--paper:#12161c;--ink:#e6e6e6;--soft:#a0a7b0;--line:#3d444d;--band:#1b2028;--why:#3a2b12;--course:#5aa9ff;--limit:#ff7b72}}\
body{font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:var(--ink);background:var(--paper)}\
h1{font-size:1.4rem}h2{font-size:1.1rem;margin-top:2rem;border-bottom:1px solid var(--line)}table{border-collapse:collapse;width:100%}\
td,th{padding:.15rem .5rem;text-align:left;vertical-align:top;overflow-wrap:anywhere}td.n,th.n{text-align:right;white-space:nowrap}\
tr:nth-child(even){background:var(--band)}.why{font-size:1.1rem;background:var(--why);padding:.5rem 1rem}svg{width:100%;font:11px sans-serif}svg text{fill:var(--soft)}\
.axis{stroke:var(--line)}.limit{stroke:var(--limit);stroke-dasharray:4}.course{fill:none;stroke:var(--course);stroke-width:1.5}small{color:var(--soft)}";

pub(super) fn draw(incident: &Incident) -> String {
    let mut page = Page::default();
    page.head(incident);
    page.suspects(incident);
    page.memory(incident);
    page.profile(incident, "heap", "What grew in the heap", "inuse_space", |value| Bytes(value).to_string());
    page.cpu(incident);
    page.profile(incident, "tasks", "Tasks by the place that started them", "goroutine", |value| {
        format!("{value:.0}")
    });
    page.profile(incident, "waits", "Waits by place, since the start", "delay", |value| {
        format!("{:.2} s", value / 1e9)
    });
    page.before(incident);
    page.notes(incident);
    page.text.push_str("</body></html>\n");
    page.text
}

#[derive(Default)]
struct Page {
    text: String,
}

impl Page {
    fn put(&mut self, html: impl Display) {
        let _ = write!(self.text, "{html}");
    }

    fn head(&mut self, incident: &Incident) {
        let since = incident.at.duration_since(UNIX_EPOCH).unwrap_or_default();
        self.put(format_args!(
            "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"><title>{0}</title><style>{STYLE}</style></head><body><h1>Incident {0}</h1>\
             <p class=\"why\">{1}</p><p><small>{2} ({3} s since 1970)</small></p>",
            text(&incident.id),
            text(&incident.why),
            utc(since.as_secs()),
            since.as_secs()
        ));
    }

    fn suspects(&mut self, incident: &Incident) {
        self.put("<h2>Who may be to blame</h2>");
        if incident.suspects.is_empty() {
            self.put("<p>Nothing in the evidence grew.</p>");
            return;
        }
        self.put("<table><tr><th>suspect</th><th>evidence</th><th>what grew</th><th class=\"n\">of what grew</th></tr>");
        for suspect in &incident.suspects {
            self.put(format_args!(
                "<tr><td>{}</td><td>{}</td><td>{}</td><td class=\"n\">{:.0} %</td></tr>",
                text(&suspect.name),
                text(&suspect.what),
                text(&suspect.grew),
                suspect.share * 100.0
            ));
        }
        self.put("</table>");
    }

    #[expect(clippy::cast_precision_loss, reason = "memory below 2^53 bytes is exact")]
    fn memory(&mut self, incident: &Incident) {
        self.put("<h2>Memory</h2>");
        if let Some(verdict) = &incident.verdict {
            self.put(format_args!("<p>{}</p>", text(&verdict.why)));
            if let Some(slope) = verdict.slope {
                self.put(format_args!(
                    "<p>Grows by {} (99 %: {} to {}).",
                    Rate(slope.estimate),
                    Rate(slope.low),
                    Rate(slope.high)
                ));
                if let Some((soon, late)) = verdict.time_to_limit {
                    self.put(format_args!(" The limit is {} to {} away.", Spoken(soon), Spoken(late)));
                }
                self.put("</p>");
            }
        }
        let points = incident.memory.iter().map(|sample| (sample.at.as_secs_f64(), sample.bytes as f64));
        let limit: Vec<(f64, &str)> =
            incident.limit.iter().map(|limit| (limit.bytes as f64, "limit")).collect();
        self.put(svg::line(&points.collect::<Vec<_>>(), &limit, |value| Bytes(value).to_string()));
        if let Some(limit) = incident.limit {
            self.put(format_args!("<p><small>The limit is {}.</small></p>", Bytes(limit.bytes as f64)));
        }
    }

    /// Values of a kind before and after, by function, what grew most first.
    #[expect(clippy::cast_precision_loss, reason = "values below 2^53 are exact")]
    fn profile(
        &mut self,
        incident: &Incident,
        what: &str,
        title: &str,
        kind: &str,
        words: fn(f64) -> String,
    ) {
        let Some(Evidence { before, after: Some(after), .. }) = incident.evidence(what) else { return };
        let earlier =
            before.as_ref().map(|before| by_function(before, |one| one == kind)).unwrap_or_default();
        let mut rows: Vec<(String, i64, i64)> = by_function(after, |one| one == kind)
            .into_iter()
            .map(|(name, value)| {
                let was = earlier.get(&name).copied().unwrap_or(0);
                (name, was, value)
            })
            .collect();
        // What is not there says nothing; nor, where it is asked what grew, what stayed as it was.
        rows.retain(|(_, was, is)| if what == "heap" { was != is } else { (*was, *is) != (0, 0) });
        let more = |row: &(String, i64, i64)| row.2.saturating_sub(row.1);
        rows.sort_by(|a, b| more(b).cmp(&more(a)).then_with(|| a.0.cmp(&b.0)));
        let own = rows.iter().position(|(name, ..)| name == OWN).map(|own| rows.remove(own));
        rows.truncate(ROWS);
        rows.extend(own);
        self.put(format_args!("<h2>{title}</h2>{}<table><tr><th></th><th class=\"n\">before</th><th class=\"n\">after</th><th class=\"n\">change</th></tr>", when(before.as_ref(), after)));
        for (name, was, is) in &rows {
            self.put(format_args!(
                "<tr><td>{}</td><td class=\"n\">{}</td><td class=\"n\">{}</td><td class=\"n\">{}{}</td></tr>",
                text(name),
                words(*was as f64),
                words(*is as f64),
                if is >= was { "+" } else { "−" },
                words(is.abs_diff(*was) as f64)
            ));
        }
        self.put("</table>");
    }

    fn cpu(&mut self, incident: &Incident) {
        let Some(Evidence { before, after: Some(after), .. }) = incident.evidence("cpu") else { return };
        self.put(format_args!("<h2>Where the CPU time goes</h2>{}", when(before.as_ref(), after)));
        let changes = before.as_ref().and_then(|before| after.diff(before, Counting::Own).ok());
        match changes.map(|diff| diff.significant().take(ROWS).cloned().collect::<Vec<_>>()) {
            Some(changes) if !changes.is_empty() => {
                self.put("<p>Functions whose own share changed, at most 5 % of them by chance.</p><table><tr><th></th><th class=\"n\">samples before</th><th class=\"n\">after</th><th class=\"n\">share moved</th><th class=\"n\">p</th></tr>");
                for change in changes {
                    self.put(format_args!(
                        "<tr><td>{}</td><td class=\"n\">{}</td><td class=\"n\">{}</td><td class=\"n\">{:+.1} points</td><td class=\"n\">{:.1e}</td></tr>",
                        text(&change.function), change.before, change.after, change.moved * 100.0, change.p
                    ));
                }
                self.put("</table>");
            }
            _ => self.top(after),
        }
        self.comments(after);
    }

    fn top(&mut self, profile: &Profile) {
        self.put("<p>The functions with the most samples of their own.</p><table>");
        for (function, samples) in profile.top(0, ROWS) {
            self.put(format_args!("<tr><td>{}</td><td class=\"n\">{samples}</td></tr>", text(&function)));
        }
        self.put("</table>");
    }

    fn comments(&mut self, profile: &Profile) {
        for comment in &profile.comments {
            self.put(format_args!("<small>{}</small><br>", text(comment)));
        }
    }

    /// The observations, a plot for each thing that was observed.
    #[expect(clippy::cast_precision_loss, reason = "counts of tasks")]
    fn before(&mut self, incident: &Incident) {
        self.put("<h2>The minutes before</h2>");
        type Plot = (&'static str, fn(&Observation) -> Option<f64>, fn(f64) -> String);
        let plots: [Plot; 5] = [
            ("CPU", |seen| seen.cpu_cores, |value| format!("{value:.2} cores")),
            (
                "tasks of the largest place",
                |seen| seen.tasks.first().map(|task| task.live as f64),
                |value| format!("{value:.0}"),
            ),
            (
                "longest mean wait",
                |seen| seen.waits.first().map(|wait| wait.mean.as_secs_f64()),
                |value| format!("{value:.3} s"),
            ),
            (
                "latency p99",
                |seen| seen.latency_p99.map(|p99| p99.as_secs_f64()),
                |value| format!("{value:.3} s"),
            ),
            ("memory pressure", |seen| seen.pressure, |value| format!("{:.1} %", value * 100.0)),
        ];
        for (title, see, words) in plots {
            let point = |seen: &Observation| Some((seen.at.as_secs_f64(), see(seen)?));
            let points: Vec<(f64, f64)> = incident.observations.iter().filter_map(point).collect();
            if !points.is_empty() {
                self.put(format_args!("<p>{title}</p>{}", svg::line(&points, &[], words)));
            }
        }
    }

    fn notes(&mut self, incident: &Incident) {
        if incident.notes.is_empty() {
            return;
        }
        self.put("<h2>What is missing</h2><ul>");
        for note in &incident.notes {
            self.put(format_args!("<li>{}</li>", text(note)));
        }
        self.put("</ul>");
    }
}

/// From when the two are.
fn when(before: Option<&Profile>, after: &Profile) -> String {
    let Some(before) = before else {
        return "<p><small>No window was kept from before: everything counts as new.</small></p>".to_owned();
    };
    let gap = after.began.duration_since(before.began).unwrap_or_default();
    format!("<p><small>Compared with what was kept from {} earlier on.</small></p>", Spoken(gap))
}

/// Text that stands for itself in HTML.
pub(crate) fn text(raw: &str) -> String {
    let mut escaped = String::with_capacity(raw.len());
    for character in raw.chars() {
        match character {
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '&' => escaped.push_str("&amp;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            other => escaped.push(other),
        }
    }
    escaped
}

/// An instant as people write it (Hinnant, *chrono-compatible low-level date algorithms*).
fn utc(seconds: u64) -> String {
    let (days, second) = (seconds / 86_400, seconds % 86_400);
    let z = days + 719_468;
    let (era, day_of_era) = (z / 146_097, z % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    format!(
        "{year:04}-{month:02}-{day:02} {:02}:{:02}:{:02} UTC",
        second / 3_600,
        second / 60 % 60,
        second % 60
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::incident::example::{heap, incident};
    use crate::incident::is_id;
    use crate::{Frame, Stack};

    #[test]
    fn the_page_shows_all_of_it_and_loads_nothing() {
        let page = incident().to_html();
        for part in [
            "leak: grows &amp; &lt;grows&gt;",
            "shop::receipts",
            "+40.0 MiB",
            "<polyline",
            "no CPU profile",
            "0.50 cores",
            "2026-09-21 14:13:20 UTC",
            "shop::&lt;T as Keep&gt;::receipts",
            "prefers-color-scheme:dark",
        ] {
            assert!(page.contains(part), "{part}: {page}");
        }
        for never in ["<script", "http://", "https://", "<link", "<img", "url("] {
            assert!(!page.contains(never), "{never}");
        }
    }

    #[test]
    fn the_profiler_has_one_line_at_the_end_and_what_is_nothing_has_none() {
        let stack = |function: &str, bytes| Stack {
            frames: vec![Frame::named(function)],
            values: vec![bytes],
            labels: vec![],
        };
        let mut after = heap(41 << 20);
        after.stacks.push(stack("offgridflow_profile::symbols::read", 90 << 20));
        after.stacks.push(stack("offgridflow_profile::ring::store::push", 1 << 20));
        after.stacks.push(stack("shop::gone", 0));
        after.stacks.push(stack("shop::stays", 5 << 20));
        let mut before = heap(1 << 20);
        before.stacks.push(stack("shop::stays", 5 << 20));
        let evidence = Evidence { what: "heap".to_owned(), before: Some(before), after: Some(after) };
        let page = Incident { evidence: vec![evidence], ..incident() }.to_html();
        assert!(!page.contains("shop::gone") && !page.contains("shop::stays"), "{page}");
        assert_eq!(page.matches("the profiler itself").count(), 1);
        assert!(page.find("+91.0 MiB") > page.find("+40.0 MiB"), "{page}");
        assert!(!page.contains("offgridflow_profile::"));
    }

    #[test]
    fn the_largest_values_there_are_have_a_row() {
        let (before, after) = (heap(i64::MIN), heap(i64::MAX));
        let evidence = Evidence { what: "heap".to_owned(), before: Some(before), after: Some(after) };
        let page = Incident { evidence: vec![evidence], ..incident() }.to_html();
        assert!(page.contains("shop::&lt;T as Keep&gt;::receipts"), "{page}");
    }

    #[test]
    fn names_of_incidents_are_fit_for_files() {
        assert!(is_id(&incident().id));
        for wrong in [
            "",
            "01790000000000-",
            "1790000000000-leak",
            "01790000000000-../leak",
            "01790000000000-LEAK",
            "..-leak",
        ] {
            assert!(!is_id(wrong), "{wrong}");
        }
    }
}
