//! Values of statements and commands.

use serde::Deserialize;

#[cfg(any(feature = "sql", feature = "redis"))]
use super::{
    route::Around,
    template::{Place, Template},
};

/// A value: as it stands there, a text that is filled in for each operation, or a number that is.
#[derive(Debug, Clone, Deserialize)]
#[serde(
    untagged,
    expecting = "expected a value: 5, 2.5, true, \"text ${index}\", { int = \"${random(1, 100)}\" } or { real = \"${row.COLUMN}\" }"
)]
#[cfg_attr(not(feature = "sql"), expect(dead_code, reason = "read, so that a build without SQL can say so"))]
pub(super) enum Value {
    Int(i64),
    Real(f64),
    Bool(bool),
    Text(String),
    Made(Made),
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "snake_case")]
#[cfg_attr(not(feature = "sql"), expect(dead_code, reason = "read, so that a build without SQL can say so"))]
pub(super) enum Made {
    Int(String),
    Real(String),
}

impl Made {
    /// A template that is a number in every operation.
    #[cfg(feature = "sql")]
    pub(super) fn template(&self, around: &Around<'_>) -> Result<Template, String> {
        let (text, reads): (_, fn(&str) -> bool) = match self {
            Self::Int(text) => (text, |text| text.parse::<i64>().is_ok()),
            Self::Real(text) => (text, |text| text.parse::<f64>().is_ok()),
        };
        let template = text_of(text, around)?;
        if !template.is_one_value() {
            return Err("a number is one value and nothing else, such as `${random(1, 100)}`, `${index}` or `${row.COLUMN}`".into());
        }
        for (feed, column) in
            around.from.feed.iter().flat_map(|feed| template.columns().map(move |at| (feed, at)))
        {
            if let Some(row) = feed.column(column).position(|cell| !reads(cell)) {
                let column = &feed.columns()[column];
                return Err(format!("row {} of the feed has no such number in `{column}`", row + 1));
            }
        }
        Ok(template)
    }
}

/// A text that is filled in for each operation.
#[cfg(any(feature = "sql", feature = "redis"))]
pub(super) fn text_of(text: &str, around: &Around<'_>) -> Result<Template, String> {
    Template::parse(text, Place::Plain, &around.from)
}
