//! The report's data within its page.

use crate::report::{Report, width::fit};

const OPENS: &str = "<script type=\"application/json\" id=\"report\">";
const CLOSES: &str = "</script>";
/// How much room the data has: with it, no page is larger than 500 kB.
const ROOM: usize = 250_000;
/// What is left of names and messages where whole ones would take more, and how many failures.
const COLUMNS: usize = 60;
const ERRORS: usize = 100;

/// The data as a block that no browser runs; of a report with names or messages too long for a page, cut ones, and that is said.
pub(super) fn block(report: &Report) -> String {
    let whole = json(report).filter(|json| json.len() <= ROOM);
    let cut = || json(&cut(report)).filter(|json| json.len() <= ROOM);
    match whole.map(|json| (json, "")).or_else(|| Some((cut()?, CUT))) {
        Some((json, remark)) => format!("{remark}{OPENS}{json}{CLOSES}"),
        None => LEFT_OUT.into(),
    }
}

const CUT: &str =
    "<p class=\"small\">Names and messages in the data of this page are cut: they were too long for it.</p>";
const LEFT_OUT: &str =
    "<p class=\"small\">The data is too large for this page: ask for it with <code>--json</code>.</p>";

/// As JSON that ends no element, begins no comment and turns no text wherever it stands.
fn json(report: &Report) -> Option<String> {
    let mut safe = String::new();
    for c in serde_json::to_string(report).ok()?.chars() {
        match c {
            // Within strings only: nothing else in JSON has them.
            '<' | '>' | '&' | '\u{2028}'..='\u{202E}' | '\u{2066}'..='\u{2069}' => {
                safe.push_str(&format!("\\u{:04x}", u32::from(c)));
            }
            c => safe.push(c),
        }
    }
    Some(safe)
}

fn cut(report: &Report) -> Report {
    let mut report = report.clone();
    let shorten = |text: &mut String| *text = fit(text, COLUMNS);
    report.errors.truncate(ERRORS);
    shorten(&mut report.target);
    report.routes.iter_mut().for_each(|row| shorten(&mut row.route));
    for slow in &mut report.slowest {
        shorten(&mut slow.route);
        slow.trace.iter_mut().for_each(shorten);
    }
    for line in &mut report.errors {
        [&mut line.cause, &mut line.route, &mut line.message].into_iter().for_each(shorten);
    }
    for said in &mut report.annotations {
        [&mut said.by, &mut said.text].into_iter().for_each(shorten);
    }
    report.notes.truncate(ERRORS);
    report.notes.iter_mut().for_each(|note| *note = fit(note, 4 * COLUMNS));
    report
}

/// What stands in the block of a page.
pub(super) fn find(page: &str) -> Option<&str> {
    let (_, rest) = page.split_once(OPENS)?;
    rest.split_once(CLOSES).map(|(json, _)| json)
}
