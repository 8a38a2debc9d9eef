//! One array as text in PostgreSQL's array syntax, for UNNEST: arrays of arrays are matrices there, so each row's array
//! travels as one text, which the statement casts to the array's type.

use super::wire::put_sized;
use crate::calendar::{date_text, timestamp_text};
use crate::chunk::{Items, Value};
use crate::shape::Kind;
use std::io::Write;

/// Bytes of text that an element can take for each byte that a chunk counts: an empty `bytea` is six characters long.
pub(super) const MAX_GROWTH: usize = 6;

/// Appends the text with its length in front. `None` if it does not fit.
pub(super) fn put(items: Items<'_>, out: &mut Vec<u8>) -> Option<()> {
    put_sized(out, |out| {
        out.push(b'{');
        for (at, item) in items.iter().enumerate() {
            if at > 0 {
                out.push(b',');
            }
            put_item(item, items.kind(), out)?;
        }
        out.push(b'}');
        Some(())
    })
}

fn put_item(item: Value<'_>, kind: Kind, out: &mut Vec<u8>) -> Option<()> {
    match item {
        Value::Null => out.extend(b"NULL"),
        Value::Bool(v) => out.push(if v { b't' } else { b'f' }),
        Value::Int2(v) => write!(out, "{v}").ok()?,
        Value::Int4(v) => write!(out, "{v}").ok()?,
        Value::Int8(v) => write!(out, "{v}").ok()?,
        // With an exponent, which is short for every number, and as many digits as tell it from its neighbours.
        Value::Float4(v) => write!(out, "{v:e}").ok()?,
        Value::Float8(v) => write!(out, "{v:e}").ok()?,
        Value::Text(v) => put_quoted(v, out),
        Value::Bytes(v) => {
            out.extend(b"\"\\\\x");
            v.iter().try_for_each(|byte| write!(out, "{byte:02x}").ok())?;
            out.push(b'"');
        }
        Value::Uuid(v) => v.iter().try_for_each(|byte| write!(out, "{byte:02x}").ok())?,
        Value::Micros(v) => out.extend(timestamp_text(v, kind == Kind::TimestampTz).bytes()),
        Value::Days(v) => out.extend(date_text(v).bytes()),
        Value::Array(_) => return None, // the kinds know none within another
    }
    Some(())
}

/// Quoted, so that an empty text, `NULL`, commas, braces and blanks are what they are.
fn put_quoted(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    for byte in text.bytes() {
        if matches!(byte, b'"' | b'\\') {
            out.push(b'\\');
        }
        out.push(byte);
    }
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chunk::{Chunk, ChunkWriter};
    use crate::shape::{Column, Element, Shape};

    fn literal(element: Element, write: impl FnOnce(&mut ChunkWriter<'_>)) -> String {
        let mut chunk = Chunk::new(Shape::new("t", [Column::new("a", Kind::Array(element))]));
        let counted = chunk.push(|to| to.array(write)).unwrap();
        let Value::Array(items) = chunk.slice(0..1).value(0, 0) else { panic!("it is an array") };
        let mut out = Vec::new();
        put(items, &mut out).unwrap();
        assert_eq!(out[..4], i32::try_from(out.len() - 4).unwrap().to_be_bytes());
        let text = String::from_utf8(out.split_off(4)).unwrap();
        assert!(text.len() <= 2 + counted * MAX_GROWTH, "{text} of {counted}");
        text
    }

    #[test]
    fn elements_are_written_as_postgresql_reads_them() {
        assert_eq!(literal(Element::Int8, |_| ()), "{}");
        assert_eq!(
            literal(Element::Bool, |to| {
                to.bool(true);
                to.null();
                to.bool(false);
            }),
            "{t,NULL,f}"
        );
        assert_eq!(
            literal(Element::Int2, |to| {
                to.i16(i16::MIN);
                to.i16(7);
            }),
            "{-32768,7}"
        );
        assert_eq!(
            literal(Element::Float8, |to| {
                to.f64(1e300);
                to.f64(f64::NEG_INFINITY);
            }),
            "{1e300,-inf}"
        );
        let texts = ["", "NULL", "a,b", "\"", "\\", "{}"];
        let expected = r#"{"","NULL","a,b","\"","\\","{}"}"#;
        assert_eq!(literal(Element::Text, |to| texts.iter().for_each(|text| to.text(text))), expected);
        assert_eq!(
            literal(Element::Bytes, |to| {
                to.bytes(&[]);
                to.bytes(&[0, 255]);
            }),
            r#"{"\\x","\\x00ff"}"#
        );
        assert_eq!(literal(Element::TimestampTz, |to| to.micros(0)), "{1970-01-01T00:00:00.000000Z}");
        assert_eq!(literal(Element::Date, |to| to.days(-1)), "{1969-12-31}");
        assert_eq!(literal(Element::Float4, |to| to.f32(-1.175_494_4e-38)), "{-1.1754944e-38}");
    }
}
