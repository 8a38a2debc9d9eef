//! A value that a step of a flow takes from its answer for the steps after it.

use std::{borrow::Cow, sync::Arc};

use super::{
    connection::Wanted,
    subject::{Found, Reading, Subject},
};
use crate::{
    error::ConfigError,
    outcome::{FailKind, TargetError},
};

/// The longest value that is kept, in bytes.
const MAX_VALUE_BYTES: usize = 64 << 10;
/// What stands for other things in a template.
const RESERVED: [&str; 5] = ["row", "env", "index", "uuid", "random"];

/// What to take, such as `header.location after "/orders/"`, and the name that it has from then on.
#[derive(Debug, Clone)]
pub(super) struct Extract {
    pub(super) name: Arc<str>,
    text: String,
    subject: Subject,
    after: Option<String>,
    before: Option<String>,
}

impl Extract {
    pub(super) fn parse(name: &str, text: &str) -> Result<Self, ConfigError> {
        let wrong = |hint: String| ConfigError::new(format!("extract.{name}"), hint);
        if !is_name(name) {
            return Err(wrong(
                "a name begins with a letter and goes on with letters, digits, - and _".into(),
            ));
        }
        if RESERVED.contains(&name) {
            return Err(wrong(format!("`${{{name}}}` stands for something else: choose another name")));
        }
        let text = text.trim();
        let (subject, after, before) = parse(text).map_err(|hint| wrong(format!("`{text}`: {hint}")))?;
        Ok(Self { name: name.into(), text: text.to_owned(), subject, after, before })
    }

    pub(super) fn looks(&self) -> Wanted {
        self.subject.looks()
    }

    /// The value; a failure says what is wrong with it and never what it is.
    pub(super) fn take(&self, reading: &Reading<'_>) -> Result<String, TargetError> {
        self.value(reading).map_err(|why| {
            let what = Cow::Owned(format!("{} from {}", self.name, self.text));
            TargetError::answered(FailKind::Extract(what), why)
        })
    }

    fn value(&self, reading: &Reading<'_>) -> Result<String, &'static str> {
        let whole = written(&self.subject, reading)?;
        let part = self.part(&whole)?;
        match part.len() {
            0 => Err("it is empty"),
            1..=MAX_VALUE_BYTES => Ok(part.to_owned()),
            _ => Err("it is longer than 64 KiB"),
        }
    }

    fn part<'a>(&self, whole: &'a str) -> Result<&'a str, &'static str> {
        let rest = match &self.after {
            Some(after) => whole.split_once(&**after).ok_or("what it stands after is not there")?.1,
            None => whole,
        };
        match &self.before {
            Some(before) => Ok(rest.split_once(&**before).ok_or("what it stands before is not there")?.0),
            None => Ok(rest),
        }
    }
}

/// A part of an answer as text: numbers with all their digits.
fn written<'a>(subject: &Subject, reading: &'a Reading<'_>) -> Result<Cow<'a, str>, &'static str> {
    #[cfg(feature = "serde")]
    if let Subject::Json(steps) = subject {
        use {super::subject::Walked, serde_json::Value};
        return match reading.walk(steps) {
            Walked::Nothing(why) => Err(why),
            Walked::Length(length) => Ok(length.to_string().into()),
            Walked::Value(Value::Null) => Err("it is null"),
            Walked::Value(Value::String(text)) => Ok(text.as_str().into()),
            Walked::Value(Value::Array(_) | Value::Object(_)) => Err("it is a list or an object"),
            Walked::Value(value) => Ok(value.to_string().into()),
        };
    }
    match reading.find(subject) {
        Found::Nothing(why) => Err(why),
        Found::Text(Cow::Owned(_)) => Err("it is not UTF-8 text"),
        Found::Text(text) => Ok(text),
        Found::Number(number) => Ok(number.to_string().into()),
        Found::Whole(number) => Ok(number.to_string().into()),
        Found::Null | Found::Truth(_) | Found::Many => Err("it is no text"),
    }
}

fn is_name(name: &str) -> bool {
    let goes_on = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    name.starts_with(|c: char| c.is_ascii_alphabetic()) && name.chars().all(goes_on)
}

/// `SUBJECT`, then `after "TEXT"` and `before "TEXT"`, each or none.
fn parse(text: &str) -> Result<(Subject, Option<String>, Option<String>), String> {
    let (subject, rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
    let subject = Subject::parse(subject)?;
    let (after, rest) = bound("after", rest)?;
    let (before, rest) = bound("before", rest)?;
    if rest.is_empty() {
        return Ok((subject, after, before));
    }
    Err(format!("`{rest}` is not understood: write after \"…\", before \"…\", or both in this order"))
}

/// The text behind a word, in quotes of either kind, and what follows.
fn bound<'a>(word: &str, text: &'a str) -> Result<(Option<String>, &'a str), String> {
    let text = text.trim();
    let Some(rest) = text.strip_prefix(word).filter(|rest| rest.starts_with(char::is_whitespace)) else {
        return Ok((None, text));
    };
    let rest = rest.trim_start();
    let quoted = ['"', '\''].into_iter().find_map(|quote| rest.strip_prefix(quote)?.split_once(quote));
    let (bound, rest) = quoted.ok_or_else(|| format!("what it stands {word} belongs into quotes"))?;
    if bound.is_empty() {
        return Err(format!("what it stands {word} is empty"));
    }
    Ok((Some(bound.to_owned()), rest.trim_start()))
}

#[cfg(test)]
mod tests {
    use super::{super::connection::Answer, *};

    fn answer(body: &[u8]) -> Answer {
        let mut headers = http::HeaderMap::new();
        for (name, value) in [
            ("location", &b"/orders/17?page=2"[..]),
            ("x-raw", b"caf\xe9"),
            ("set-cookie", b"sid=a=b; Path=/"),
            ("set-cookie", b"other=1"),
        ] {
            headers.append(name, http::HeaderValue::from_bytes(value).expect("a value"));
        }
        let bytes = body.len().try_into().expect("small");
        Answer { status: 200, bytes, keep: true, headers, body: body.to_vec() }
    }

    fn taken(text: &str, body: &[u8]) -> Result<String, String> {
        let extract = Extract::parse("it", text).unwrap_or_else(|error| panic!("{error}"));
        let answer = answer(body);
        extract.take(&Reading::of(&answer)).map_err(|error| error.to_string())
    }

    #[test]
    fn a_value_is_taken_from_headers_cookies_and_bodies() {
        for (text, expected) in [
            ("header.location", "/orders/17?page=2"),
            ("header.location after \"/orders/\"", "17?page=2"),
            ("header.location after '/orders/' before '?'", "17"),
            ("header.Location before \"?\"", "/orders/17"),
            ("cookie.sid", "a=b"),
            ("body after \"csrf=\" before \";\"", "t0k"),
            ("status", "200"),
        ] {
            assert_eq!(taken(text, b"<csrf=t0k;>").as_deref(), Ok(expected), "{text}");
        }
    }

    #[cfg(feature = "serde")]
    #[test]
    fn a_value_of_json_has_all_its_digits() {
        let body = br#"{"id":12345678901234567890,"ok":true,"items":[{"name":"a b"}]}"#;
        for (text, expected) in [
            ("json.id", "12345678901234567890"),
            ("json.ok", "true"),
            ("json.items[0].name after 'a '", "b"),
            ("json.items.len", "1"),
        ] {
            assert_eq!(taken(text, body).as_deref(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_cannot_be_taken_says_why_and_never_what_it_is() {
        let long = "x".repeat(MAX_VALUE_BYTES + 1);
        for (text, body, why) in [
            ("header.none", "", "extract it from header.none: there is no such header"),
            ("header.x-raw", "", "it is not UTF-8 text"),
            ("cookie.none", "", "the answer sets no such cookie"),
            ("header.location after '/sites/'", "", "what it stands after is not there"),
            ("header.location before '#'", "", "what it stands before is not there"),
            ("header.location after '=2'", "", "it is empty"),
            ("body", &*long, "it is longer than 64 KiB"),
            ("body", "", "it is empty"),
        ] {
            let said = taken(text, body.as_bytes()).expect_err(text);
            assert!(said.contains(why) && !said.contains("17") && !said.contains("xx"), "{text}: {said}");
        }
        assert!(taken("body", b"\xff").expect_err("no text").contains("it is not UTF-8 text"));
    }

    #[cfg(feature = "serde")]
    #[test]
    fn json_that_has_no_such_value_says_why() {
        let deep = "[".repeat(100_000);
        for (text, body, why) in [
            ("json.a", "{}", "there is no such field"),
            ("json.a", r#"{"a":null}"#, "it is null"),
            ("json.a", r#"{"a":[]}"#, "it is a list or an object"),
            ("json.a", "<html>", "the answer is not JSON"),
            ("json[0]", &*deep, "the answer is not JSON"),
        ] {
            let said = taken(text, body.as_bytes()).expect_err(text);
            assert!(said.contains(why), "{text}: {said}");
        }
    }

    #[test]
    fn what_is_no_extraction_is_refused() {
        for (name, text, hint) in [
            ("it", "jsn.a", "use status, size, body, header.NAME"),
            ("it", "body after x", "belongs into quotes"),
            ("it", "body after \"\"", "is empty"),
            ("it", "body before 'a' after 'b'", "in this order"),
            ("row", "body", "stands for something else"),
            ("a.b", "body", "a name begins with a letter"),
        ] {
            let error = Extract::parse(name, text).expect_err(text);
            assert!(error.hint.contains(hint) && error.field == format!("extract.{name}"), "{error}");
        }
    }
}
