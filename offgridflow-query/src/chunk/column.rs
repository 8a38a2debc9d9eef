//! The values of one column.

use super::bitmap::Bitmap;
use super::value::{Items, Value};
use crate::shape::Kind;

#[derive(Debug, Clone)]
pub(super) enum Data {
    Bool(Vec<bool>),
    Int2(Vec<i16>),
    Int4(Vec<i32>), // days of a date, too
    Int8(Vec<i64>), // microseconds of a timestamp, too
    Float4(Vec<f32>),
    Float8(Vec<f64>),
    Text { all: String, ends: Vec<usize> },
    Bytes { all: Vec<u8>, ends: Vec<usize> },
    Uuid(Vec<[u8; 16]>),
    Array { items: Box<ColumnData>, ends: Vec<usize> }, // the elements of all arrays, one behind the other
}

impl Data {
    fn of(kind: Kind) -> Self {
        match kind {
            Kind::Bool => Self::Bool(Vec::new()),
            Kind::Int2 => Self::Int2(Vec::new()),
            Kind::Int4 | Kind::Date => Self::Int4(Vec::new()),
            Kind::Int8 | Kind::Timestamp | Kind::TimestampTz => Self::Int8(Vec::new()),
            Kind::Float4 => Self::Float4(Vec::new()),
            Kind::Float8 => Self::Float8(Vec::new()),
            Kind::Text | Kind::Numeric | Kind::Json => Self::Text { all: String::new(), ends: Vec::new() },
            Kind::Bytes => Self::Bytes { all: Vec::new(), ends: Vec::new() },
            Kind::Uuid => Self::Uuid(Vec::new()),
            Kind::Array(element) => {
                Self::Array { items: Box::new(ColumnData::of(element.kind())), ends: Vec::new() }
            }
        }
    }

    pub(super) fn push_blank(&mut self) {
        match self {
            Self::Bool(v) => v.push(false),
            Self::Int2(v) => v.push(0),
            Self::Int4(v) => v.push(0),
            Self::Int8(v) => v.push(0),
            Self::Float4(v) => v.push(0.0),
            Self::Float8(v) => v.push(0.0),
            Self::Text { all, ends } => ends.push(all.len()),
            Self::Bytes { all, ends } => ends.push(all.len()),
            Self::Uuid(v) => v.push([0; 16]),
            Self::Array { items, ends } => ends.push(items.len()),
        }
    }

    fn truncate(&mut self, rows: usize) {
        let start =
            |ends: &[usize]| if rows == 0 { 0 } else { ends.get(rows - 1).copied().unwrap_or(usize::MAX) };
        match self {
            Self::Bool(v) => v.truncate(rows),
            Self::Int2(v) => v.truncate(rows),
            Self::Int4(v) => v.truncate(rows),
            Self::Int8(v) => v.truncate(rows),
            Self::Float4(v) => v.truncate(rows),
            Self::Float8(v) => v.truncate(rows),
            Self::Text { all, ends } => {
                all.truncate(start(ends));
                ends.truncate(rows);
            }
            Self::Bytes { all, ends } => {
                all.truncate(start(ends));
                ends.truncate(rows);
            }
            Self::Uuid(v) => v.truncate(rows),
            Self::Array { items, ends } => {
                items.truncate(start(ends));
                ends.truncate(rows);
            }
        }
    }
}

/// Values of one kind, with their NULLs.
#[derive(Debug, Clone)]
pub(super) struct ColumnData {
    kind: Kind,
    pub(super) data: Data,
    pub(super) nulls: Bitmap,
}

impl ColumnData {
    pub(super) fn of(kind: Kind) -> Self {
        Self { kind, data: Data::of(kind), nulls: Bitmap::default() }
    }

    pub(super) fn kind(&self) -> Kind {
        self.kind
    }

    pub(super) fn len(&self) -> usize {
        self.nulls.len()
    }

    pub(super) fn truncate(&mut self, len: usize) {
        self.data.truncate(len);
        self.nulls.truncate(len);
    }

    pub(super) fn push_null(&mut self) {
        self.data.push_blank();
        self.nulls.push(true);
    }

    pub(super) fn value(&self, at: usize) -> Value<'_> {
        if self.nulls.get(at) {
            return Value::Null;
        }
        match &self.data {
            Data::Bool(v) => Value::Bool(v[at]),
            Data::Int2(v) => Value::Int2(v[at]),
            Data::Int4(v) if self.kind == Kind::Date => Value::Days(v[at]),
            Data::Int4(v) => Value::Int4(v[at]),
            Data::Int8(v) if self.kind == Kind::Int8 => Value::Int8(v[at]),
            Data::Int8(v) => Value::Micros(v[at]),
            Data::Float4(v) => Value::Float4(v[at]),
            Data::Float8(v) => Value::Float8(v[at]),
            Data::Text { all, ends } => Value::Text(&all[start_of(ends, at)..ends[at]]),
            Data::Bytes { all, ends } => Value::Bytes(&all[start_of(ends, at)..ends[at]]),
            Data::Uuid(v) => Value::Uuid(&v[at]),
            Data::Array { items, ends } => {
                Value::Array(Items { column: items, start: start_of(ends, at), end: ends[at] })
            }
        }
    }

    /// Appends a value that came out of a column of the same kind.
    pub(super) fn append(&mut self, value: Value<'_>) {
        self.nulls.push(value == Value::Null);
        match (&mut self.data, value) {
            (Data::Bool(v), Value::Bool(x)) => v.push(x),
            (Data::Int2(v), Value::Int2(x)) => v.push(x),
            (Data::Int4(v), Value::Int4(x) | Value::Days(x)) => v.push(x),
            (Data::Int8(v), Value::Int8(x) | Value::Micros(x)) => v.push(x),
            (Data::Float4(v), Value::Float4(x)) => v.push(x),
            (Data::Float8(v), Value::Float8(x)) => v.push(x),
            (Data::Text { all, ends }, Value::Text(x)) => {
                all.push_str(x);
                ends.push(all.len());
            }
            (Data::Bytes { all, ends }, Value::Bytes(x)) => {
                all.extend_from_slice(x);
                ends.push(all.len());
            }
            (Data::Uuid(v), Value::Uuid(x)) => v.push(*x),
            (Data::Array { items, ends }, Value::Array(x)) => {
                x.iter().for_each(|item| items.append(item));
                ends.push(items.len());
            }
            (data, _) => data.push_blank(),
        }
    }
}

fn start_of(ends: &[usize], at: usize) -> usize {
    if at == 0 { 0 } else { ends[at - 1] }
}
