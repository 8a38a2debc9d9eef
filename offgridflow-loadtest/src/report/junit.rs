//! A report as JUnit XML, which every CI server shows.

use std::fmt::Write;

use super::{Ending, Report, ThresholdStatus, width::one_line};
use crate::verdict::Limit;

impl Report {
    /// The report as JUnit XML: one test case for the run itself and one for each threshold. A run that is not valid, was altered, was interrupted or
    /// was ended by a rule is an error, a target that is down a failure; thresholds that were not judged are skipped. Whatever does not exit
    /// with 0 holds an error or a failure.
    #[must_use]
    pub fn to_junit(&self) -> String {
        let cases: Vec<_> =
            [self.run_case()].into_iter().chain(self.thresholds.iter().map(threshold_case)).collect();
        let count = |kind: Kind| cases.iter().filter(|case| case.kind == kind).count();
        let counts = format!(
            r#"tests="{}" failures="{}" errors="{}" skipped="{}" time="{:.3}""#,
            cases.len(),
            count(Kind::Failure),
            count(Kind::Error),
            count(Kind::Skipped),
            self.elapsed.as_secs_f64()
        );
        let name = escaped(&self.target);
        let mut xml = format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites name=\"offgridflow-loadtest\" {counts}>\n  <testsuite name=\"{name}\" {counts}>\n"
        );
        for case in cases {
            case.write(&name, &mut xml);
        }
        let text = self.to_string().lines().map(escaped).collect::<Vec<_>>().join("\n");
        let _ = write!(xml, "    <system-out>{text}\n</system-out>\n  </testsuite>\n</testsuites>\n");
        xml
    }

    fn run_case(&self) -> Case {
        let said = match (self.ending, &self.aborted) {
            (Ending::Interrupted, _) => "interrupted: nothing was judged".into(),
            (_, Some(aborted)) => format!("ended by its rule: {aborted}"),
            _ => self.verdict.to_string(),
        };
        let unfinished = matches!(self.ending, Ending::Interrupted | Ending::Aborted);
        let down = self.ending == Ending::NotStarted || matches!(self.verdict.limit, Limit::TargetDown(_));
        let kind = match () {
            () if unfinished || !self.verdict.is_valid() => Kind::Error,
            () if down => Kind::Failure,
            () if self.verdict.altered.is_some() => Kind::Error,
            () => Kind::Passed,
        };
        Case { name: "the run is valid and its target up".into(), kind, said }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Passed,
    Failure,
    Error,
    Skipped,
}

struct Case {
    name: String,
    kind: Kind,
    said: String,
}

impl Case {
    fn write(&self, class: &str, xml: &mut String) {
        let (name, said) = (escaped(&self.name), escaped(&self.said));
        let head = format!("    <testcase classname=\"{class}\" name=\"{name}\"");
        let _ = match self.kind {
            Kind::Passed => writeln!(xml, "{head}/>"),
            Kind::Failure => writeln!(xml, "{head}><failure message=\"{said}\"/></testcase>"),
            Kind::Error => writeln!(xml, "{head}><error message=\"{said}\"/></testcase>"),
            Kind::Skipped => writeln!(xml, "{head}><skipped message=\"{said}\"/></testcase>"),
        };
    }
}

fn threshold_case(result: &super::ThresholdResult) -> Case {
    let (kind, word) = match result.status {
        ThresholdStatus::Met => (Kind::Passed, "met"),
        ThresholdStatus::Broken => (Kind::Failure, "broken"),
        ThresholdStatus::NotJudged => (Kind::Skipped, "not judged"),
    };
    Case { name: result.threshold.clone(), kind, said: format!("{word}: measured {}", result.measured) }
}

/// One line of text as XML 1.0 takes it, in an attribute too.
fn escaped(text: &str) -> String {
    let mut xml = String::with_capacity(text.len());
    for c in one_line(text).chars() {
        match c {
            '&' => xml.push_str("&amp;"),
            '<' => xml.push_str("&lt;"),
            '>' => xml.push_str("&gt;"),
            '"' => xml.push_str("&quot;"),
            '\u{FFFE}' | '\u{FFFF}' => xml.push('\u{FFFD}'),
            c => xml.push(c),
        }
    }
    xml
}
