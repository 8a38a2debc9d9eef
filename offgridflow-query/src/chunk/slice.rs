//! A view of neighbouring rows.

use super::rows::Chunk;
use super::value::Value;
use crate::decimal::put_canonical;
use crate::shape::{Kind, Shape};
use std::ops::Range;

/// A view of neighbouring rows of a [`Chunk`]; copying it copies no row.
#[derive(Debug, Clone)]
pub struct Slice<'a> {
    pub(super) chunk: &'a Chunk,
    pub(super) rows: Range<usize>,
}

impl<'a> Slice<'a> {
    /// Rows seen.
    #[must_use]
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether no row is seen.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Bytes of its values, or more: those of all rows that it is a view of.
    #[cfg(feature = "postgres")]
    pub(crate) fn bytes_at_most(&self) -> usize {
        self.chunk.bytes()
    }

    /// What the rows look like.
    #[must_use]
    pub fn shape(&self) -> &'a Shape {
        self.chunk.shape()
    }

    /// The rows `range` of this view.
    ///
    /// # Panics
    /// If the range reaches beyond the view.
    #[must_use]
    pub fn narrow(&self, range: Range<usize>) -> Slice<'a> {
        assert!(range.end <= self.len(), "narrowing {} rows to {range:?}", self.len());
        self.chunk.slice(self.rows.start + range.start..self.rows.start + range.end)
    }

    /// The value of a row of this view.
    ///
    /// # Panics
    /// If row or column are out of range.
    #[must_use]
    pub fn value(&self, row: usize, column: usize) -> Value<'a> {
        assert!(row < self.len(), "row {row} of {}", self.len());
        self.chunk.value(self.rows.start + row, column)
    }

    /// Whether two rows of this view have the same values.
    pub(crate) fn equal(&self, one: usize, other: usize) -> bool {
        (0..self.shape().columns().len()).all(|column| self.value(one, column) == self.value(other, column))
    }

    /// Appends bytes that are equal exactly when the columns `key` of two rows are; false if one of them is NULL.
    pub(crate) fn key_bytes(&self, row: usize, key: &[usize], out: &mut Vec<u8>) -> bool {
        key.iter().all(|&column| put_key(self.value(row, column), self.shape().columns()[column].kind(), out))
    }
}

/// False, and nothing appended, for NULL.
fn put_key(value: Value<'_>, kind: Kind, out: &mut Vec<u8>) -> bool {
    match value {
        Value::Null => return false,
        Value::Bool(v) => out.push(u8::from(v)),
        Value::Int2(v) => out.extend((v ^ i16::MIN).to_be_bytes()),
        Value::Int4(v) | Value::Days(v) => out.extend((v ^ i32::MIN).to_be_bytes()),
        Value::Int8(v) | Value::Micros(v) => out.extend((v ^ i64::MIN).to_be_bytes()),
        // Databases call both zeros equal, which + 0.0 folds into one, and all NaNs.
        Value::Float4(v) => out.extend(if v.is_nan() { f32::NAN } else { v + 0.0 }.to_bits().to_be_bytes()),
        Value::Float8(v) => out.extend(if v.is_nan() { f64::NAN } else { v + 0.0 }.to_bits().to_be_bytes()),
        Value::Text(v) if kind == Kind::Numeric => put_canonical(v, out),
        Value::Text(v) => push_prefixed(out, v.as_bytes()),
        Value::Bytes(v) => push_prefixed(out, v),
        Value::Uuid(v) => out.extend(v),
        // In arrays the databases call two NULLs equal.
        Value::Array(items) => {
            out.extend((items.len() as u64).to_be_bytes());
            for item in items.iter() {
                out.push(u8::from(item != Value::Null));
                put_key(item, items.kind(), out);
            }
        }
    }
    true
}

fn push_prefixed(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend((bytes.len() as u64).to_be_bytes());
    out.extend(bytes);
}
