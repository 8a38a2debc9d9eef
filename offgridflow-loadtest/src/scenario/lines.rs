//! Which line of a file a field stands on.

use std::ops::Range;

use toml::de::{DeTable, DeValue};

use super::words::plain;
use crate::error::ConfigError;

/// An error of the TOML reader, with its line and the field whose value it is about.
pub(super) fn located(text: &str, error: &toml::de::Error) -> ConfigError {
    let at = error.span().map(|span| span.start);
    let field = at.and_then(|at| field_at(text, at)).unwrap_or_default();
    let mut located = match single(&field) {
        Some(table) => {
            ConfigError::new(table, format!("there is one of it: write [{table}] in single brackets"))
        }
        None => ConfigError::new(field, plain(error.message())),
    };
    located.line = at.map(|at| line_at(text, at));
    located
}

/// The table of which there is one, where a list of it was written.
fn single(field: &str) -> Option<&str> {
    let list = field.find(".0").map(|at| &field[..at])?;
    ["target", "load", "feed"].into_iter().find(|table| *table == list)
}

fn line_at(text: &str, offset: usize) -> usize {
    1 + text.bytes().take(offset).filter(|&byte| byte == b'\n').count()
}

pub(super) fn line_of_field(text: &str, field: &str) -> Option<usize> {
    let found = Places::of(text)?.values.into_iter().find(|(path, _)| path == field);
    found.map(|(_, span)| line_at(text, span.start))
}

/// The field whose name stands at `offset`, else the innermost whose value covers it.
fn field_at(text: &str, offset: usize) -> Option<String> {
    let Places { names, values } = Places::of(text)?;
    let name = names.into_iter().find(|(_, span)| span.contains(&offset));
    let covering = values.into_iter().filter(|(_, span)| span.contains(&offset));
    name.or_else(|| covering.min_by_key(|(_, span)| span.len())).map(|(path, _)| path)
}

/// Where the name and the value of each field stand.
#[derive(Default)]
struct Places {
    names: Vec<(String, Range<usize>)>,
    values: Vec<(String, Range<usize>)>,
}

impl Places {
    /// `None` if the text is not TOML.
    fn of(text: &str) -> Option<Self> {
        let table = DeTable::parse(text).ok()?;
        let mut places = Self::default();
        places.walk(table.get_ref(), "");
        Some(places)
    }

    fn walk(&mut self, table: &DeTable<'_>, prefix: &str) {
        for (key, value) in table {
            let name = key.get_ref();
            let path = if prefix.is_empty() { name.to_string() } else { format!("{prefix}.{name}") };
            self.visit(value.get_ref(), &path);
            self.names.push((path.clone(), key.span()));
            self.values.push((path, value.span()));
        }
    }

    fn visit(&mut self, value: &DeValue<'_>, path: &str) {
        match value {
            DeValue::Table(table) => self.walk(table, path),
            DeValue::Array(array) => {
                for (index, item) in array.iter().enumerate() {
                    let path = format!("{path}.{index}");
                    self.visit(item.get_ref(), &path);
                    self.values.push((path, item.span()));
                }
            }
            _ => {}
        }
    }
}
