//! What has to be true of an answer beside its status.

use std::{borrow::Cow, fmt};

use super::{
    connection::Wanted,
    subject::{Found, Reading, Subject},
};
use crate::{
    error::ConfigError,
    outcome::{FailKind, TargetError},
    threshold::Comparison,
};

/// A condition on an answer, such as `json.items[0].id == 7`.
#[derive(Debug, Clone)]
pub(super) struct Check {
    text: String,
    subject: Subject,
    test: Test,
}

#[derive(Debug, Clone)]
enum Test {
    Exists,
    Equals(Expected),
    Differs(Expected),
    Contains(String),
    Compares(Comparison, f64),
}

/// What a value is compared with: as it was written, and what else it could be.
#[derive(Debug, Clone)]
struct Expected {
    text: String,
    number: Option<f64>,
    whole: Option<i128>, // exactly, where a number has more digits than a float
    quoted: bool,
}

impl Check {
    pub(super) fn parse(text: &str) -> Result<Self, ConfigError> {
        let text = text.trim();
        let parsed = parse(text).map_err(|hint| ConfigError::new("check", format!("`{text}`: {hint}")))?;
        Ok(Self { text: text.to_owned(), subject: parsed.0, test: parsed.1 })
    }

    /// What it looks at.
    pub(super) fn looks(&self) -> Wanted {
        self.subject.looks()
    }

    /// Whether it judges the status, so that nothing else should.
    pub(super) fn judges_status(&self) -> bool {
        matches!(self.subject, Subject::Status)
    }
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// The failure of the first check that an answer does not meet.
pub(super) fn first_unmet(checks: &[Check], reading: &Reading<'_>) -> Option<TargetError> {
    checks.iter().find_map(|check| {
        let found = reading.find(&check.subject);
        if check.test.holds(&found) {
            return None;
        }
        let message = found.to_string();
        Some(TargetError::answered(FailKind::Check(Cow::Owned(check.text.clone())), message))
    })
}

impl Test {
    fn holds(&self, found: &Found<'_>) -> bool {
        let exists = !matches!(found, Found::Nothing(_));
        match self {
            Self::Exists => exists,
            Self::Equals(expected) => expected.is(found),
            Self::Differs(expected) => exists && !expected.is(found),
            Self::Contains(part) => matches!(found, Found::Text(text) if text.contains(part)),
            Self::Compares(comparison, limit) => {
                found.number().is_some_and(|number| comparison.holds(number, *limit))
            }
        }
    }
}

impl Expected {
    fn is(&self, found: &Found<'_>) -> bool {
        match found {
            Found::Whole(number) if self.whole.is_some() => self.whole == Some(*number),
            Found::Number(_) | Found::Whole(_) => !self.quoted && self.number == found.number(),
            Found::Text(text) => *text == *self.text,
            Found::Truth(truth) => !self.quoted && self.text == truth.to_string(),
            Found::Null => !self.quoted && self.text == "null",
            Found::Nothing(_) | Found::Many => false,
        }
    }
}

fn parse(text: &str) -> Result<(Subject, Test), String> {
    let end = text.find(|c: char| c.is_whitespace() || "=!<>".contains(c)).unwrap_or(text.len());
    let (subject, rest) = text.split_at(end);
    Ok((Subject::parse(subject)?, parse_test(rest.trim())?))
}

fn parse_test(text: &str) -> Result<Test, String> {
    const MISSING: &str = "write a comparison (==, !=, <, <=, >, >=), `contains` and a text, or `exists`, for example \"status == 200\"";
    if text == "exists" {
        return Ok(Test::Exists);
    }
    if let Some(part) = text.strip_prefix("contains ") {
        return Ok(Test::Contains(expected(part)?.text));
    }
    if let Some(value) = text.strip_prefix("==") {
        return Ok(Test::Equals(expected(value)?));
    }
    if let Some(value) = text.strip_prefix("!=") {
        return Ok(Test::Differs(expected(value)?));
    }
    let (comparison, limit) = Comparison::read(text).ok_or(MISSING)?;
    let limit = limit.trim();
    let number = limit.parse().ok().filter(|number: &f64| number.is_finite());
    Ok(Test::Compares(comparison, number.ok_or_else(|| format!("`{limit}` is not a number"))?))
}

/// A value, in quotes of either kind or without.
fn expected(text: &str) -> Result<Expected, String> {
    let text = text.trim();
    if text.is_empty() {
        return Err("what to compare with is missing".into());
    }
    let inner = ['"', '\''].into_iter().find_map(|quote| text.strip_prefix(quote)?.strip_suffix(quote));
    match inner {
        Some(inner) => Ok(Expected { text: inner.to_owned(), number: None, whole: None, quoted: true }),
        None if text.starts_with(['"', '\'']) => Err("a quote is not closed".into()),
        None => Ok(Expected {
            text: text.to_owned(),
            number: text.parse().ok(),
            whole: text.parse().ok(),
            quoted: false,
        }),
    }
}

#[cfg(test)]
mod tests;
