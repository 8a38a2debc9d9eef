//! One JSON object a line.

use std::borrow::Cow;

use serde_json::Value;

use super::{
    format::{Fields, Parsed, TIME},
    timestamp::{self, short},
};

const METHOD: [&str; 2] = ["method", "request.method"];
const PATH: [&str; 4] = ["path", "uri", "request.path", "request.uri"];

pub(super) fn parse<'a>(line: &str, fields: &Fields) -> Result<Parsed<'a>, String> {
    let value: Value = serde_json::from_str(line).map_err(not_json)?;
    let time = field(&value, fields.time.as_deref(), &TIME).ok_or_else(|| match &fields.time {
        Some(name) => format!("has no field `{name}`"),
        None => format!("has none of the fields {}", TIME.join(", ")),
    })?;
    let at_ns = match time {
        Value::String(text) => timestamp::parse(text)?,
        Value::Number(number) => timestamp::parse(&number.to_string())?,
        other => return Err(format!("has `{}` for a time", short(&other.to_string()))),
    };
    let text = |name: &Option<String>, usual: &[&str]| {
        let value = field(&value, name.as_deref(), usual).and_then(Value::as_str);
        value.filter(|text| !text.is_empty()).map(|text| Cow::Owned(text.to_owned()))
    };
    let (method, path) = (text(&fields.method, &METHOD), text(&fields.path, &PATH));
    Ok(Parsed { at_ns, method, path, host: text(&fields.host, &[]), client: text(&fields.client, &[]) })
}

/// What the fields of a line are called, at most `most` of them.
pub(super) fn names(line: &str, most: usize) -> Vec<String> {
    let value: Value = serde_json::from_str(line).unwrap_or_default();
    let names = value.as_object().into_iter().flat_map(|fields| fields.keys());
    names.take(most).map(|name| short(name)).collect()
}

/// Without the place that the error ends with: its line is always the first.
fn not_json(error: serde_json::Error) -> String {
    let message = error.to_string();
    let reason = message.split(" at line ").next().unwrap_or_default();
    format!("is not JSON: {reason} at column {}", error.column())
}

/// The named field, else the first of the usual ones.
fn field<'a>(value: &'a Value, name: Option<&str>, usual: &[&str]) -> Option<&'a Value> {
    match name {
        Some(name) => lookup(value, name),
        None => usual.iter().find_map(|name| lookup(value, name)),
    }
}

/// A field of that name, else one within others, its name written with points.
fn lookup<'a>(value: &'a Value, name: &str) -> Option<&'a Value> {
    value.get(name).or_else(|| name.split('.').try_fold(value, |value, part| value.get(part)))
}
