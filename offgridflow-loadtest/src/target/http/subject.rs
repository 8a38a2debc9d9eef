//! What can be looked at in an answer: `status`, `header.NAME`, `json.items[0].id`.

#[cfg(feature = "serde")]
use std::cell::OnceCell;
use std::{borrow::Cow, fmt};

use http::{HeaderName, header};

use super::connection::{Answer, Wanted};

/// As far as a body is kept for those who read it.
const KEPT: usize = 1 << 20;

#[derive(Debug, Clone)]
pub(super) enum Subject {
    Status,
    Size,
    Body,
    Header(HeaderName),
    /// One that the answer sets.
    Cookie(String),
    #[cfg(feature = "serde")]
    Json(Vec<Step>),
}

/// A step into JSON.
#[cfg(feature = "serde")]
#[derive(Debug, Clone)]
pub(super) enum Step {
    Field(String),
    Item(usize),
}

/// What was found.
#[cfg_attr(not(feature = "serde"), expect(dead_code, reason = "only JSON has all of them"))]
pub(super) enum Found<'a> {
    Nothing(&'static str), // why
    Null,
    Truth(bool),
    Number(f64),
    Whole(i128),
    Text(Cow<'a, str>),
    Many,
}

impl Subject {
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        parse_subject(text)
    }

    /// What has to be kept of an answer for it.
    pub(super) fn looks(&self) -> Wanted {
        match self {
            Self::Status | Self::Size => Wanted::default(),
            Self::Header(_) | Self::Cookie(_) => Wanted { headers: true, body: 0 },
            _ => Wanted { headers: false, body: KEPT },
        }
    }
}

/// An answer, its JSON parsed once where somebody asks for it.
pub(super) struct Reading<'a> {
    answer: &'a Answer,
    #[cfg(feature = "serde")]
    json: OnceCell<Option<serde_json::Value>>,
}

impl<'a> Reading<'a> {
    pub(super) fn of(answer: &'a Answer) -> Self {
        Self {
            answer,
            #[cfg(feature = "serde")]
            json: OnceCell::new(),
        }
    }

    pub(super) fn status(&self) -> u16 {
        self.answer.status
    }

    /// Text that is not UTF-8 is owned, with other characters in place of what is wrong in it; other text is borrowed.
    pub(super) fn find(&self, subject: &Subject) -> Found<'_> {
        match subject {
            Subject::Status => Found::Number(self.answer.status.into()),
            Subject::Size => Found::Number(crate::histogram::as_f64(self.answer.bytes)),
            Subject::Header(name) => match self.answer.headers.get(name) {
                Some(value) => Found::Text(String::from_utf8_lossy(value.as_bytes())),
                None => Found::Nothing("there is no such header"),
            },
            Subject::Cookie(name) => self.cookie(name),
            Subject::Body if !self.answer.is_whole() => Found::Nothing(CUT),
            Subject::Body => Found::Text(String::from_utf8_lossy(&self.answer.body)),
            #[cfg(feature = "serde")]
            Subject::Json(steps) => self.walk(steps).into(),
        }
    }

    /// The value of the last cookie of this name that the answer sets.
    fn cookie(&self, name: &str) -> Found<'_> {
        let set = self.answer.headers.get_all(header::SET_COOKIE).iter();
        let mut pairs = set.filter_map(|value| {
            let pair = value.as_bytes().split(|&byte| byte == b';').next()?;
            let at = pair.iter().position(|&byte| byte == b'=')?;
            Some((pair[..at].trim_ascii(), pair[at + 1..].trim_ascii()))
        });
        let found = pairs.rfind(|(set, _)| *set == name.as_bytes());
        found.map_or(Found::Nothing("the answer sets no such cookie"), |(_, value)| {
            Found::Text(String::from_utf8_lossy(value))
        })
    }

    /// What lies at a path into the body's JSON.
    #[cfg(feature = "serde")]
    pub(super) fn walk(&self, steps: &[Step]) -> Walked<'_> {
        if !self.answer.is_whole() {
            return Walked::Nothing(CUT);
        }
        let json = self.json.get_or_init(|| serde_json::from_slice(&self.answer.body).ok());
        let is_gzip = self.answer.body.starts_with(&[0x1f, 0x8b]);
        let none = if is_gzip { COMPRESSED } else { "the answer is not JSON" };
        json.as_ref().map_or(Walked::Nothing(none), |json| Walked::within(json, steps))
    }
}

#[cfg(feature = "serde")]
const COMPRESSED: &str =
    "the answer is compressed (gzip), and read as it came: do not ask for it by `accept-encoding`";

const CUT: &str = "the answer is longer than 1 MiB, which is as far as it is read";

/// Where a path into JSON ends.
#[cfg(feature = "serde")]
pub(super) enum Walked<'a> {
    Value(&'a serde_json::Value),
    Length(usize),
    Nothing(&'static str), // why
}

#[cfg(feature = "serde")]
impl<'a> Walked<'a> {
    fn within(json: &'a serde_json::Value, steps: &[Step]) -> Self {
        let mut value = json;
        for (at, step) in steps.iter().enumerate() {
            let next = match step {
                Step::Field(name) => value.get(name),
                Step::Item(index) => value.get(index),
            };
            value = match (next, step) {
                (Some(next), _) => next,
                (None, Step::Field(name)) if name == "len" && at + 1 == steps.len() => {
                    return length(value).map_or(Self::Nothing("it has no length"), Self::Length);
                }
                (None, _) => return Self::Nothing("there is no such field"),
            };
        }
        Self::Value(value)
    }
}

#[cfg(feature = "serde")]
impl<'a> From<Walked<'a>> for Found<'a> {
    fn from(walked: Walked<'a>) -> Self {
        use serde_json::Value;
        match walked {
            Walked::Nothing(why) => Found::Nothing(why),
            Walked::Length(length) => Found::Number(crate::histogram::as_f64(crate::shard::as_u64(length))),
            Walked::Value(Value::Null) => Found::Null,
            Walked::Value(Value::Bool(truth)) => Found::Truth(*truth),
            Walked::Value(Value::Number(number)) => match number.as_i128() {
                Some(whole) => Found::Whole(whole),
                None => number.as_f64().map_or(Found::Many, Found::Number),
            },
            Walked::Value(Value::String(text)) => Found::Text(Cow::Borrowed(text)),
            Walked::Value(Value::Array(_) | Value::Object(_)) => Found::Many,
        }
    }
}

/// Of a list, an object or a text.
#[cfg(feature = "serde")]
fn length(value: &serde_json::Value) -> Option<usize> {
    use serde_json::Value;
    match value {
        Value::Array(items) => Some(items.len()),
        Value::Object(fields) => Some(fields.len()),
        Value::String(text) => Some(text.chars().count()),
        _ => None,
    }
}

/// Numbers as they were; texts may be somebody's.
impl fmt::Display for Found<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nothing(why) => f.write_str(why),
            Self::Null => f.write_str("it was null"),
            Self::Truth(truth) => write!(f, "it was {truth}"),
            Self::Number(number) => write!(f, "it was {number}"),
            Self::Whole(number) => write!(f, "it was {number}"),
            Self::Text(text) => write!(f, "it was another text, of {} characters", text.chars().count()),
            Self::Many => f.write_str("it was a list or an object"),
        }
    }
}

impl Found<'_> {
    pub(super) fn number(&self) -> Option<f64> {
        match self {
            Self::Number(number) => Some(*number),
            #[expect(clippy::cast_precision_loss, reason = "what it is compared with is as coarse")]
            Self::Whole(number) => Some(*number as f64),
            Self::Text(text) => text.trim().parse().ok(),
            _ => None,
        }
    }
}

fn parse_subject(text: &str) -> Result<Subject, String> {
    let unknown = || {
        format!(
            "`{text}` is not looked at: use status, size, body, header.NAME, cookie.NAME or json.PATH, for example json.items[0].id"
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
    if let Some(name) = text.strip_prefix("cookie.").filter(|name| !name.is_empty()) {
        return Ok(Subject::Cookie(name.to_owned()));
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
