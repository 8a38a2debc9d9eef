//! Rows by column: encoded once, looked at through slices.

use crate::calendar;
use crate::decimal::{is_decimal, put_canonical};
use crate::error::{Cause, Class};
use crate::shape::{Column, Kind, Shape};
use std::ops::Range;
use std::sync::Arc;

/// One value of a [`Slice`], borrowed from its chunk.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum Value<'a> {
    /// NULL.
    Null,
    /// [`Kind::Bool`].
    Bool(bool),
    /// [`Kind::Int2`].
    Int2(i16),
    /// [`Kind::Int4`].
    Int4(i32),
    /// [`Kind::Int8`].
    Int8(i64),
    /// [`Kind::Float4`].
    Float4(f32),
    /// [`Kind::Float8`].
    Float8(f64),
    /// [`Kind::Text`], [`Kind::Numeric`] and [`Kind::Json`].
    Text(&'a str),
    /// [`Kind::Bytes`].
    Bytes(&'a [u8]),
    /// [`Kind::Uuid`].
    Uuid(&'a [u8; 16]),
    /// [`Kind::Timestamp`] and [`Kind::TimestampTz`]: microseconds since 1970-01-01.
    Micros(i64),
    /// [`Kind::Date`]: days since 1970-01-01.
    Days(i32),
}

#[derive(Debug, Clone)]
enum Data {
    Bool(Vec<bool>),
    Int2(Vec<i16>),
    Int4(Vec<i32>), // days of a date, too
    Int8(Vec<i64>), // microseconds of a timestamp, too
    Float4(Vec<f32>),
    Float8(Vec<f64>),
    Text { all: String, ends: Vec<usize> },
    Bytes { all: Vec<u8>, ends: Vec<usize> },
    Uuid(Vec<[u8; 16]>),
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
        }
    }

    fn push_blank(&mut self) {
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
        }
    }
}

/// One bit a row: set where the value is NULL.
#[derive(Debug, Clone, Default)]
struct Bitmap {
    words: Vec<u64>,
    len: usize,
}

impl Bitmap {
    fn push(&mut self, set: bool) {
        if self.len.is_multiple_of(64) {
            self.words.push(0);
        }
        self.words[self.len / 64] |= u64::from(set) << (self.len % 64);
        self.len += 1;
    }

    fn get(&self, index: usize) -> bool {
        self.words[index / 64] >> (index % 64) & 1 == 1
    }

    fn truncate(&mut self, len: usize) {
        if len >= self.len {
            return;
        }
        self.words.truncate(len.div_ceil(64));
        if !len.is_multiple_of(64) {
            self.words[len / 64] &= (1 << (len % 64)) - 1;
        }
        self.len = len;
    }
}

#[derive(Debug, Clone)]
struct ColumnData {
    data: Data,
    nulls: Bitmap,
}

/// Rows of one [`Shape`], stored by column with null bitmaps.
///
/// Encoding a row costs one copy of its values; slicing and isolating rows costs nothing more.
///
/// ```
/// use offgridflow_query::{Chunk, Column, Kind, Shape, Value};
/// let shape = Shape::new("t", [Column::new("id", Kind::Int8), Column::nullable("name", Kind::Text)]);
/// let mut chunk = Chunk::new(shape);
/// chunk.push(|w| { w.i64(1); w.text("one"); })?;
/// chunk.push(|w| { w.i64(2); w.null(); })?;
/// assert!(chunk.push(|w| w.i64(3)).is_err(), "a column is missing: the row leaves no trace");
/// assert_eq!(chunk.len(), 2);
/// assert_eq!(chunk.slice(1..2).value(0, 1), Value::Null);
/// # Ok::<(), offgridflow_query::Cause>(())
/// ```
#[derive(Debug, Clone)]
pub struct Chunk {
    shape: Arc<Shape>,
    columns: Vec<ColumnData>, // one a shape column, each `rows` long
    rows: usize,
    bytes: usize,
}

impl Chunk {
    /// An empty chunk.
    #[must_use]
    pub fn new(shape: impl Into<Arc<Shape>>) -> Self {
        let shape = shape.into();
        let blank = |kind| ColumnData { data: Data::of(kind), nulls: Bitmap::default() };
        let columns = shape.columns().iter().map(|column| blank(column.kind())).collect();
        Self { shape, columns, rows: 0, bytes: 0 }
    }

    /// Encodes one row and returns its size in bytes (values and one byte a column).
    ///
    /// # Errors
    /// A [`Cause`] of class [`Class::Encoding`] if `put` wrote too few or too many columns, another kind than the
    /// shape has, a NULL where none is allowed, or a time out of range. The chunk is then as it was before.
    pub fn push(&mut self, put: impl FnOnce(&mut ChunkWriter<'_>)) -> Result<usize, Cause> {
        let mut writer = ChunkWriter { chunk: self, column: 0, bytes: 0, fault: None };
        put(&mut writer);
        let (written, bytes, fault) = (writer.column, writer.bytes, writer.fault.take());
        let expected = self.columns.len();
        let fault =
            fault.or_else(|| (written != expected).then(|| format!("wrote {written} of {expected} columns")));
        if let Some(what) = fault {
            self.truncate(self.rows);
            return Err(Cause::new(Class::Encoding, what));
        }
        self.rows += 1;
        self.bytes += bytes + expected;
        Ok(bytes + expected)
    }

    /// Forgets every row from `rows` on. The byte count is kept as an upper bound unless nothing is left.
    pub fn truncate(&mut self, rows: usize) {
        for column in &mut self.columns {
            column.data.truncate(rows);
            column.nulls.truncate(rows);
        }
        self.rows = self.rows.min(rows);
        if self.rows == 0 {
            self.bytes = 0;
        }
    }

    /// Rows held.
    #[must_use]
    pub fn len(&self) -> usize {
        self.rows
    }

    /// Whether it holds no row.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// Size of the values held, in bytes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// What the rows look like.
    #[must_use]
    pub fn shape(&self) -> &Shape {
        &self.shape
    }

    /// A view of some rows.
    ///
    /// # Panics
    /// If the range reaches beyond the rows held.
    #[must_use]
    pub fn slice(&self, rows: Range<usize>) -> Slice<'_> {
        assert!(rows.start <= rows.end && rows.end <= self.rows, "slice {rows:?} of {} rows", self.rows);
        Slice { chunk: self, rows }
    }

    /// A new chunk with these rows in this order. Costs one copy of the values.
    #[must_use]
    pub(crate) fn gather(&self, order: &[usize]) -> Self {
        let mut out = Self::new(Arc::clone(&self.shape));
        for &row in order {
            for (column, target) in out.columns.iter_mut().enumerate() {
                target.append(self.value(row, column));
            }
        }
        out.rows = order.len();
        out.bytes = self.bytes;
        out
    }

    fn value(&self, row: usize, column: usize) -> Value<'_> {
        let ColumnData { data, nulls } = &self.columns[column];
        if nulls.get(row) {
            return Value::Null;
        }
        let kind = self.shape.columns()[column].kind();
        match data {
            Data::Bool(v) => Value::Bool(v[row]),
            Data::Int2(v) => Value::Int2(v[row]),
            Data::Int4(v) if kind == Kind::Date => Value::Days(v[row]),
            Data::Int4(v) => Value::Int4(v[row]),
            Data::Int8(v) if kind == Kind::Int8 => Value::Int8(v[row]),
            Data::Int8(v) => Value::Micros(v[row]),
            Data::Float4(v) => Value::Float4(v[row]),
            Data::Float8(v) => Value::Float8(v[row]),
            Data::Text { all, ends } => Value::Text(&all[start_of(ends, row)..ends[row]]),
            Data::Bytes { all, ends } => Value::Bytes(&all[start_of(ends, row)..ends[row]]),
            Data::Uuid(v) => Value::Uuid(&v[row]),
        }
    }
}

fn start_of(ends: &[usize], row: usize) -> usize {
    if row == 0 { 0 } else { ends[row - 1] }
}

impl ColumnData {
    /// Appends a value that came out of a column of the same kind.
    fn append(&mut self, value: Value<'_>) {
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
            (data, _) => data.push_blank(),
        }
    }
}

/// A view of neighbouring rows of a [`Chunk`]; copying it copies no row.
#[derive(Debug, Clone)]
pub struct Slice<'a> {
    chunk: &'a Chunk,
    rows: Range<usize>,
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

    /// What the rows look like.
    #[must_use]
    pub fn shape(&self) -> &'a Shape {
        &self.chunk.shape
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

    /// Appends bytes that are equal exactly when the columns `key` of two rows are; false if one of them is NULL.
    pub(crate) fn key_bytes(&self, row: usize, key: &[usize], out: &mut Vec<u8>) -> bool {
        for &column in key {
            match self.value(row, column) {
                Value::Null => return false,
                Value::Bool(v) => out.push(u8::from(v)),
                Value::Int2(v) => out.extend((v ^ i16::MIN).to_be_bytes()),
                Value::Int4(v) | Value::Days(v) => out.extend((v ^ i32::MIN).to_be_bytes()),
                Value::Int8(v) | Value::Micros(v) => out.extend((v ^ i64::MIN).to_be_bytes()),
                Value::Float4(v) => out.extend((v + 0.0).to_bits().to_be_bytes()),
                // +0.0 folds both zeros into one; every database treats them as equal.
                Value::Float8(v) => out.extend((v + 0.0).to_bits().to_be_bytes()),
                Value::Text(v) if self.shape().columns()[column].kind() == Kind::Numeric => {
                    put_canonical(v, out);
                }
                Value::Text(v) => push_prefixed(out, v.as_bytes()),
                Value::Bytes(v) => push_prefixed(out, v),
                Value::Uuid(v) => out.extend(v),
            }
        }
        true
    }
}

fn push_prefixed(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend((bytes.len() as u64).to_be_bytes());
    out.extend(bytes);
}

/// Takes the values of one row, column by column in the shape's order.
///
/// Nothing here fails at once: the first fault is remembered and rejects the row when it is complete.
#[derive(Debug)]
pub struct ChunkWriter<'a> {
    chunk: &'a mut Chunk,
    column: usize,
    bytes: usize,
    fault: Option<String>,
}

macro_rules! put_plain {
    ($($(#[$doc:meta])* $name:ident($ty:ty) => $data:ident;)*) => {$(
        $(#[$doc])*
        pub fn $name(&mut self, value: $ty) {
            let kind = self.next_kind();
            if kind == Some(Kind::$data) && let Data::$data(values) = &mut self.chunk.columns[self.column].data {
                values.push(value);
                self.written(size_of::<$ty>());
            } else {
                self.misfit(stringify!($name));
            }
        }
    )*};
}

impl ChunkWriter<'_> {
    put_plain! {
        /// Writes a [`Kind::Bool`].
        bool(bool) => Bool;
        /// Writes a [`Kind::Int2`].
        i16(i16) => Int2;
        /// Writes a [`Kind::Int4`].
        i32(i32) => Int4;
        /// Writes a [`Kind::Int8`].
        i64(i64) => Int8;
        /// Writes a [`Kind::Float4`].
        f32(f32) => Float4;
        /// Writes a [`Kind::Float8`].
        f64(f64) => Float8;
        /// Writes a [`Kind::Uuid`].
        uuid([u8; 16]) => Uuid;
    }

    /// Writes a [`Kind::Text`].
    pub fn text(&mut self, value: &str) {
        self.put_text(value, Kind::Text);
    }

    /// Writes a [`Kind::Json`]; the database checks the syntax.
    pub fn json(&mut self, value: &str) {
        self.put_text(value, Kind::Json);
    }

    /// Writes a [`Kind::Numeric`]: digits with an optional sign, point and exponent.
    pub fn numeric(&mut self, value: &str) {
        if !is_decimal(value) {
            self.fail(|_| "not a decimal number".to_owned());
        }
        self.put_text(value, Kind::Numeric);
    }

    fn put_text(&mut self, value: &str, kind: Kind) {
        let next = self.next_kind();
        if next == Some(kind)
            && let Data::Text { all, ends } = &mut self.chunk.columns[self.column].data
        {
            all.push_str(value);
            ends.push(all.len());
            self.written(value.len());
        } else {
            self.misfit("text");
        }
    }

    /// Writes a [`Kind::Bytes`].
    pub fn bytes(&mut self, value: &[u8]) {
        let kind = self.next_kind();
        if kind == Some(Kind::Bytes)
            && let Data::Bytes { all, ends } = &mut self.chunk.columns[self.column].data
        {
            all.extend_from_slice(value);
            ends.push(all.len());
            self.written(value.len());
        } else {
            self.misfit("bytes");
        }
    }

    /// Writes a [`Kind::Timestamp`] or [`Kind::TimestampTz`]: microseconds since 1970-01-01 (UTC for an instant).
    pub fn micros(&mut self, value: i64) {
        let kind = self.next_kind();
        if !(calendar::FIRST_MICRO..=calendar::LAST_MICRO).contains(&value) {
            self.fail(|_| "a time outside the years 1 to 9999".to_owned());
        }
        if let Some(Kind::Timestamp | Kind::TimestampTz) = kind
            && let Data::Int8(values) = &mut self.chunk.columns[self.column].data
        {
            values.push(value);
            self.written(8);
        } else {
            self.misfit("micros");
        }
    }

    /// Writes a [`Kind::Date`]: days since 1970-01-01.
    pub fn days(&mut self, value: i32) {
        let kind = self.next_kind();
        if !(calendar::FIRST_DAY..=calendar::LAST_DAY).contains(&value) {
            self.fail(|_| "a date outside the years 1 to 9999".to_owned());
        }
        if kind == Some(Kind::Date)
            && let Data::Int4(values) = &mut self.chunk.columns[self.column].data
        {
            values.push(value);
            self.written(4);
        } else {
            self.misfit("days");
        }
    }

    /// Writes a NULL.
    pub fn null(&mut self) {
        if self.column >= self.chunk.columns.len() {
            return self.misfit("null");
        }
        if !self.chunk.shape.columns()[self.column].is_nullable() {
            self.fail(|name| format!("NULL for column {name:?}, which the shape says takes none"));
        }
        let column = &mut self.chunk.columns[self.column];
        column.data.push_blank();
        column.nulls.push(true);
        self.column += 1;
    }

    fn next_kind(&self) -> Option<Kind> {
        self.chunk.shape.columns().get(self.column).map(Column::kind)
    }

    fn written(&mut self, bytes: usize) {
        self.chunk.columns[self.column].nulls.push(false);
        self.column += 1;
        self.bytes += bytes;
    }

    fn misfit(&mut self, wrote: &'static str) {
        let kind = self.next_kind();
        self.fail(|name| format!("wrote {wrote} for column {name:?} of kind {kind:?}"));
        self.column += 1;
    }

    fn fail(&mut self, what: impl FnOnce(&str) -> String) {
        if self.fault.is_none() {
            let name = self.chunk.shape.columns().get(self.column).map_or("(beyond the last)", Column::name);
            self.fault = Some(what(name));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_faulty_row_leaves_no_trace() {
        let shape = Shape::new("t", [Column::nullable("a", Kind::Text), Column::new("b", Kind::Int4)]);
        let mut chunk = Chunk::new(shape);
        for i in 0..130 {
            let put = |w: &mut ChunkWriter<'_>| {
                if i % 3 == 0 {
                    w.null();
                } else {
                    w.text("x");
                }
                if i % 2 == 0 { w.null() } else { w.i32(i) }
            };
            assert_eq!(chunk.push(put).is_err(), i % 2 == 0);
        }
        assert_eq!(chunk.len(), 65);
        let all = chunk.slice(0..65);
        let odd: Vec<i32> = (0..130).filter(|i| i % 2 == 1).collect();
        for (row, i) in odd.into_iter().enumerate() {
            assert_eq!(all.value(row, 0), if i % 3 == 0 { Value::Null } else { Value::Text("x") });
            assert_eq!(all.value(row, 1), Value::Int4(i));
        }
    }
}
