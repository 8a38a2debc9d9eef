//! Reading activities from a request's body, row by row: a bad row costs only itself.

mod csv;
mod json;
mod portions;
mod wide;

use serde::Serialize;

use crate::carbon::Refusal;

pub use portions::Portions;
pub use wide::{Mismatch, WideTable};

/// An activity as somebody wrote it, not yet judged.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Draft {
    /// Line of the body that the row begins at, from 1.
    pub line: u64,
    /// Unique within the tenant; one is made up when absent.
    pub id: Option<String>,
    /// Category, which has the factor.
    pub category: String,
    /// A decimal, still as text.
    pub quantity: String,
    /// Must be the category's unit, when given.
    pub unit: Option<String>,
    /// `YYYY`, `YYYY-MM` or `YYYY-MM-DD`.
    pub period: String,
    /// Whether it corrects others, and so may be negative.
    pub adjustment: bool,
}

/// A row that is not stored: where it is and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Rejection {
    /// Line of the body, from 1.
    pub line: u64,
    /// Column in bytes from 1, where the fault has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub column: Option<u64>,
    /// The field at fault, where it is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub field: Option<&'static str>,
    /// One sentence.
    pub reason: String,
}

impl Rejection {
    /// A row that can be read and is refused.
    #[must_use]
    pub fn of(draft: &Draft, refusal: Refusal) -> Self {
        Self { line: draft.line, column: None, field: Some(refusal.field), reason: refusal.reason }
    }
}

/// The formats a body can have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// `application/json`: one array of objects.
    Json,
    /// `application/x-ndjson`: an object a line.
    Ndjson,
    /// `text/csv`: with a header line.
    Csv,
}

impl Format {
    /// The format a `Content-Type` names; JSON when it is absent.
    #[must_use]
    pub fn of(content_type: Option<&str>) -> Option<Self> {
        let Some(content_type) = content_type else { return Some(Self::Json) };
        match content_type.split(';').next()?.trim().to_ascii_lowercase().as_str() {
            "application/json" => Some(Self::Json),
            "application/x-ndjson" | "application/ndjson" | "application/jsonl" => Some(Self::Ndjson),
            "text/csv" => Some(Self::Csv),
            _ => None,
        }
    }
}

/// What a body held.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Intake {
    /// Rows that can be read, in order.
    pub drafts: Vec<Draft>,
    /// Rows, or the rest of the body, that cannot.
    pub rejections: Vec<Rejection>,
}

/// Reads `body` to its end, or to where nothing can be made of it any more.
#[must_use]
pub fn read(format: Format, body: &[u8]) -> Intake {
    match format {
        Format::Json => json::read_array(body),
        Format::Ndjson => json::read_lines(body),
        Format::Csv => csv::read(body, 0),
    }
}
