//! What has to be true of an answer beside its status.

use std::{borrow::Cow, fmt};

use http::HeaderName;

use super::connection::Answer;
use crate::{
    error::ConfigError,
    outcome::{FailKind, TargetError},
    threshold::Comparison,
};

/// As far as a body is kept for checks that read it.
pub(super) const KEPT: usize = 1 << 20;

/// A condition on an answer, such as `json.items[0].id == 7`.
#[derive(Debug, Clone)]
pub(super) struct Check {
    text: String,
    subject: Subject,
    test: Test,
}

#[derive(Debug, Clone)]
enum Subject {
    Status,
    Size,
    Body,
    Header(HeaderName),
    #[cfg(feature = "serde")]
    Json(Vec<Step>),
}

/// A step into JSON.
#[cfg(feature = "serde")]
#[derive(Debug, Clone)]
enum Step {
    Field(String),
    Item(usize),
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
    quoted: bool,
}

/// What was found.
#[cfg_attr(not(feature = "serde"), expect(dead_code, reason = "only JSON has all of them"))]
enum Found<'a> {
    Nothing(&'static str), // why
    Null,
    Truth(bool),
    Number(f64),
    Text(Cow<'a, str>),
    Many,
}

impl Check {
    pub(super) fn parse(text: &str) -> Result<Self, ConfigError> {
        let text = text.trim();
        let parsed = parse(text).map_err(|hint| ConfigError::new("check", format!("`{text}`: {hint}")))?;
        Ok(Self { text: text.to_owned(), subject: parsed.0, test: parsed.1 })
    }

    /// Whether it reads the body.
    pub(super) fn reads_body(&self) -> bool {
        !matches!(self.subject, Subject::Status | Subject::Size | Subject::Header(_))
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
pub(super) fn first_unmet(checks: &[Check], answer: &Answer) -> Option<TargetError> {
    let reading = Reading::of(checks, answer);
    checks.iter().find_map(|check| {
        let found = reading.find(&check.subject);
        if check.test.holds(&found) {
            return None;
        }
        let message = found.to_string();
        Some(TargetError::answered(FailKind::Check(Cow::Owned(check.text.clone())), message))
    })
}

/// An answer, its JSON parsed once where somebody asks for it.
struct Reading<'a> {
    answer: &'a Answer,
    #[cfg(feature = "serde")]
    json: Option<serde_json::Value>,
}

impl<'a> Reading<'a> {
    fn of(checks: &[Check], answer: &'a Answer) -> Self {
        #[cfg(not(feature = "serde"))]
        let _ = checks;
        Self {
            answer,
            #[cfg(feature = "serde")]
            json: checks
                .iter()
                .any(|check| matches!(check.subject, Subject::Json(_)))
                .then(|| serde_json::from_slice(&answer.body).ok())
                .flatten(),
        }
    }

    fn find(&self, subject: &Subject) -> Found<'_> {
        const CUT: &str = "the answer is longer than 1 MiB, which is as far as checks read";
        match subject {
            Subject::Status => Found::Number(self.answer.status.into()),
            Subject::Size => Found::Number(crate::histogram::as_f64(self.answer.bytes)),
            Subject::Header(name) => match self.answer.headers.get(name) {
                Some(value) => Found::Text(String::from_utf8_lossy(value.as_bytes())),
                None => Found::Nothing("there is no such header"),
            },
            Subject::Body if !self.answer.is_whole() => Found::Nothing(CUT),
            Subject::Body => Found::Text(String::from_utf8_lossy(&self.answer.body)),
            #[cfg(feature = "serde")]
            Subject::Json(_) if !self.answer.is_whole() => Found::Nothing(CUT),
            #[cfg(feature = "serde")]
            Subject::Json(steps) => match &self.json {
                Some(json) => Found::within(json, steps),
                None => Found::Nothing("the answer is not JSON"),
            },
        }
    }
}

impl Found<'_> {
    #[cfg(feature = "serde")]
    fn within<'a>(json: &'a serde_json::Value, steps: &[Step]) -> Found<'a> {
        use serde_json::Value;
        let mut value = json;
        for (at, step) in steps.iter().enumerate() {
            let next = match step {
                Step::Field(name) => value.get(name),
                Step::Item(index) => value.get(index),
            };
            value = match (next, step) {
                (Some(next), _) => next,
                (None, Step::Field(name)) if name == "len" && at + 1 == steps.len() => {
                    return length(value).map_or(Found::Nothing("it has no length"), Found::Number);
                }
                (None, _) => return Found::Nothing("there is no such field"),
            };
        }
        match value {
            Value::Null => Found::Null,
            Value::Bool(truth) => Found::Truth(*truth),
            Value::Number(number) => number.as_f64().map_or(Found::Many, Found::Number),
            Value::String(text) => Found::Text(Cow::Borrowed(text)),
            Value::Array(_) | Value::Object(_) => Found::Many,
        }
    }
}

/// Of a list, an object or a text.
#[cfg(feature = "serde")]
fn length(value: &serde_json::Value) -> Option<f64> {
    use serde_json::Value;
    let length = match value {
        Value::Array(items) => items.len(),
        Value::Object(fields) => fields.len(),
        Value::String(text) => text.chars().count(),
        _ => return None,
    };
    Some(crate::histogram::as_f64(crate::shard::as_u64(length)))
}

/// Numbers as they were; texts may be somebody's.
impl fmt::Display for Found<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nothing(why) => f.write_str(why),
            Self::Null => f.write_str("it was null"),
            Self::Truth(truth) => write!(f, "it was {truth}"),
            Self::Number(number) => write!(f, "it was {number}"),
            Self::Text(text) => write!(f, "it was another text, of {} characters", text.chars().count()),
            Self::Many => f.write_str("it was a list or an object"),
        }
    }
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

impl Found<'_> {
    fn number(&self) -> Option<f64> {
        match self {
            Self::Number(number) => Some(*number),
            Self::Text(text) => text.trim().parse().ok(),
            _ => None,
        }
    }
}

impl Expected {
    fn is(&self, found: &Found<'_>) -> bool {
        match found {
            Found::Number(number) => !self.quoted && self.number == Some(*number),
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
    Ok((parse_subject(subject)?, parse_test(rest.trim())?))
}

fn parse_subject(text: &str) -> Result<Subject, String> {
    let unknown = || {
        format!(
            "`{text}` is not looked at: use status, size, body, header.NAME or json.PATH, for example json.items[0].id"
        )
    };
    match text {
        "status" => return Ok(Subject::Status),
        "size" => return Ok(Subject::Size),
        "body" => return Ok(Subject::Body),
        _ => {}
    }
    if let Some(name) = text.strip_prefix("header.") {
        let name = name.parse().map_err(|_| format!("`{name}` is not a header's name"))?;
        return Ok(Subject::Header(name));
    }
    let path = text.strip_prefix("json").filter(|path| path.is_empty() || path.starts_with(['.', '[']));
    parse_json(path.ok_or_else(unknown)?)
}

#[cfg(feature = "serde")]
fn parse_json(path: &str) -> Result<Subject, String> {
    let mut steps = Vec::new();
    let mut rest = path;
    while !rest.is_empty() {
        if let Some(bracket) = rest.strip_prefix('[') {
            let (index, after) = bracket.split_once(']').ok_or("a bracket is not closed")?;
            steps.push(Step::Item(index.parse().map_err(|_| format!("`{index}` is not an index, from 0"))?));
            rest = after;
            continue;
        }
        let name = rest.strip_prefix('.').ok_or_else(|| format!("a point is missing before `{rest}`"))?;
        let (name, after) = name.split_at(name.find(['.', '[']).unwrap_or(name.len()));
        if name.is_empty() {
            return Err("a field's name is missing after a point".into());
        }
        steps.push(Step::Field(name.to_owned()));
        rest = after;
    }
    Ok(Subject::Json(steps))
}

#[cfg(not(feature = "serde"))]
fn parse_json(_path: &str) -> Result<Subject, String> {
    Err("JSON is read with the feature `serde` only".into())
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
    let number = limit.parse().map_err(|_| format!("`{limit}` is not a number"))?;
    Ok(Test::Compares(comparison, number))
}

/// A value, in quotes of either kind or without.
fn expected(text: &str) -> Result<Expected, String> {
    let text = text.trim();
    if text.is_empty() {
        return Err("what to compare with is missing".into());
    }
    let inner = ['"', '\''].into_iter().find_map(|quote| text.strip_prefix(quote)?.strip_suffix(quote));
    match inner {
        Some(inner) => Ok(Expected { text: inner.to_owned(), number: None, quoted: true }),
        None if text.starts_with(['"', '\'']) => Err("a quote is not closed".into()),
        None => Ok(Expected { text: text.to_owned(), number: text.parse().ok(), quoted: false }),
    }
}

#[cfg(test)]
mod tests;
