//! Which line of a file a field stands on.

use toml::de::{DeTable, DeValue};

use super::words::plain;
use crate::error::ConfigError;

/// An error of the TOML reader, with its line and the field whose value it is about.
pub(super) fn located(text: &str, error: &toml::de::Error) -> ConfigError {
    let at = error.span().map(|span| span.start);
    let field = at.and_then(|at| field_at(text, at)).unwrap_or_default();
    let mut located = ConfigError::new(field, plain(error.message()));
    located.line = at.map(|at| line_at(text, at));
    located
}

fn line_at(text: &str, offset: usize) -> usize {
    1 + text.bytes().take(offset).filter(|&byte| byte == b'\n').count()
}

pub(super) fn line_of_field(text: &str, field: &str) -> Option<usize> {
    let table = DeTable::parse(text).ok()?;
    let mut values = Vec::new();
    walk(table.get_ref(), "", &mut values);
    values.into_iter().find(|(path, _)| path == field).map(|(_, span)| line_at(text, span.start))
}

/// The innermost field whose value covers `offset`.
fn field_at(text: &str, offset: usize) -> Option<String> {
    let table = DeTable::parse(text).ok()?;
    let mut values = Vec::new();
    walk(table.get_ref(), "", &mut values);
    let covering = values.into_iter().filter(|(_, span)| span.contains(&offset));
    covering.min_by_key(|(_, span)| span.len()).map(|(path, _)| path)
}

type Values = Vec<(String, std::ops::Range<usize>)>;

fn walk(table: &DeTable<'_>, prefix: &str, values: &mut Values) {
    for (key, value) in table {
        let path =
            if prefix.is_empty() { key.get_ref().to_string() } else { format!("{prefix}.{}", key.get_ref()) };
        visit(value.get_ref(), &path, values);
        values.push((path, value.span()));
    }
}

fn visit(value: &DeValue<'_>, path: &str, values: &mut Values) {
    match value {
        DeValue::Table(table) => walk(table, path, values),
        DeValue::Array(array) => {
            for (index, item) in array.iter().enumerate() {
                let path = format!("{path}.{index}");
                visit(item.get_ref(), &path, values);
                values.push((path, item.span()));
            }
        }
        _ => {}
    }
}
