use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer as _, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::{Draft, Intake, Rejection};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Row<'a> {
    id: Option<String>,
    category: String,
    #[serde(borrow)]
    quantity: &'a RawValue,
    unit: Option<String>,
    #[serde(borrow)]
    period: &'a RawValue,
    #[serde(default)]
    adjustment: bool,
}

/// One array of objects. A fault in the syntax ends it: what stands before is kept.
pub(super) fn read_array(body: &[u8]) -> Intake {
    let mut elements = Vec::new();
    let mut deserializer = serde_json::Deserializer::from_slice(body);
    let read = deserializer.deserialize_seq(Elements(&mut elements)).and_then(|()| deserializer.end());
    let mut intake = Intake::default();
    let mut place = Place::start(body);
    for element in elements {
        place.advance_to(element.get());
        take(&mut intake, element.get(), place.line, place.column);
    }
    if let Err(error) = read {
        intake.rejections.push(rejection(&error, 1, 1));
    }
    intake
}

/// An object a line; blank lines are passed over.
pub(super) fn read_lines(body: &[u8]) -> Intake {
    let mut intake = Intake::default();
    for (line, bytes) in (1..).zip(body.split(|byte| *byte == b'\n')) {
        match std::str::from_utf8(bytes) {
            Ok(text) if text.trim().is_empty() => {}
            Ok(text) => take(&mut intake, text, line, 1),
            Err(error) => intake.rejections.push(Rejection {
                line,
                column: Some(error.valid_up_to() as u64 + 1),
                field: None,
                reason: "the line is not UTF-8".to_owned(),
            }),
        }
    }
    intake
}

fn take(intake: &mut Intake, text: &str, line: u64, column: u64) {
    match serde_json::from_str::<Row<'_>>(text) {
        Ok(row) => intake.drafts.push(Draft {
            line,
            id: row.id,
            category: row.category,
            quantity: plain(row.quantity),
            unit: row.unit,
            period: plain(row.period),
            adjustment: row.adjustment,
        }),
        Err(error) => intake.rejections.push(rejection(&error, line, column)),
    }
}

/// A number as it is written, or a string's content: `12.50` never passes through a float.
fn plain(value: &RawValue) -> String {
    serde_json::from_str::<String>(value.get()).unwrap_or_else(|_| value.get().to_owned())
}

/// `error` speaks of a text that begins at `line` and `column` of the body.
fn rejection(error: &serde_json::Error, line: u64, column: u64) -> Rejection {
    let (error_line, error_column) = (error.line().max(1) as u64, error.column().max(1) as u64);
    let column = if error_line == 1 { column + error_column - 1 } else { error_column };
    let text = error.to_string();
    let reason = text.rsplit_once(" at line ").map_or(text.as_str(), |(reason, _)| reason).to_owned();
    Rejection { line: line + error_line - 1, column: Some(column), field: None, reason }
}

/// Keeps the elements read so far, whatever ends the array.
struct Elements<'v, 'de>(&'v mut Vec<&'de RawValue>);

impl<'de> Visitor<'de> for Elements<'_, 'de> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of activities")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut array: A) -> Result<(), A::Error> {
        while let Some(element) = array.next_element()? {
            self.0.push(element);
        }
        Ok(())
    }
}

/// A position in the body that only moves forward.
struct Place<'a> {
    body: &'a [u8],
    offset: usize,
    line: u64,
    column: u64,
}

impl<'a> Place<'a> {
    fn start(body: &'a [u8]) -> Self {
        Self { body, offset: 0, line: 1, column: 1 }
    }

    /// Moves to `part`, which is a slice of the body.
    fn advance_to(&mut self, part: &str) {
        let target = part.as_ptr().addr() - self.body.as_ptr().addr();
        for byte in &self.body[self.offset..target] {
            (self.line, self.column) =
                if *byte == b'\n' { (self.line + 1, 1) } else { (self.line, self.column + 1) };
        }
        self.offset = target;
    }
}
