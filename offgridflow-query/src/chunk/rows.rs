//! Rows of one shape.

use super::column::ColumnData;
use super::slice::Slice;
use super::value::Value;
use super::writer::ChunkWriter;
use crate::error::{Cause, Class};
use crate::shape::Shape;
use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

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
        let columns = shape.columns().iter().map(|column| ColumnData::of(column.kind())).collect();
        Self { shape, columns, rows: 0, bytes: 0 }
    }

    /// Encodes one row and returns its size in bytes (values, one byte a column and one an element).
    ///
    /// # Errors
    /// A [`Cause`] of class [`Class::Encoding`] if `put` wrote too few or too many columns, another kind than the
    /// shape has, a NULL where none is allowed, or a time out of range. The chunk is then as it was before.
    pub fn push(&mut self, put: impl FnOnce(&mut ChunkWriter<'_>)) -> Result<usize, Cause> {
        let mut writer = ChunkWriter::new(&self.shape, &mut self.columns);
        put(&mut writer);
        let (written, bytes, fault) = writer.end();
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
            column.truncate(rows);
        }
        self.rows = self.rows.min(rows);
        if self.rows == 0 {
            self.bytes = 0;
        }
    }

    /// Forgets what came since the chunk had `rows` rows of `bytes` bytes.
    pub(crate) fn rewind(&mut self, rows: usize, bytes: usize) {
        self.truncate(rows);
        self.bytes = bytes;
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

    /// As [`gather`](Self::gather), but `columns` of a row that `from` names are those of the row named there.
    #[must_use]
    pub(crate) fn gather_from(
        &self,
        order: &[usize],
        columns: &[usize],
        from: &HashMap<usize, usize>,
    ) -> Self {
        if columns.is_empty() || from.is_empty() {
            return self.gather(order);
        }
        let mut out = Self::new(Arc::clone(&self.shape));
        for &row in order {
            let other = from.get(&row).copied().unwrap_or(row);
            for (column, target) in out.columns.iter_mut().enumerate() {
                let row = if columns.contains(&column) { other } else { row };
                target.append(self.value(row, column));
            }
        }
        out.rows = order.len();
        out.bytes = self.bytes;
        out
    }

    pub(super) fn value(&self, row: usize, column: usize) -> Value<'_> {
        self.columns[column].value(row)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shape::{Column, Element, Kind};

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

    fn tags() -> Chunk {
        Chunk::new(Shape::new("t", [Column::nullable("tags", Kind::Array(Element::Text))]))
    }

    #[test]
    fn arrays_keep_their_elements_apart() {
        let mut chunk = tags();
        let bytes = chunk.push(|w| w.array(|w| ["a", "bc"].iter().for_each(|tag| w.text(tag)))).unwrap();
        assert_eq!(bytes, 3 + 2 + 1, "letters, elements, column");
        assert_eq!(chunk.push(|w| w.array(|_| ())).unwrap(), 1);
        assert!(chunk.push(|w| w.array(|w| w.i64(1))).is_err(), "an element of another kind");
        assert!(chunk.push(|w| w.array(|w| w.array(|_| ()))).is_err(), "an array within an array");
        assert!(chunk.push(|w| w.text("a")).is_err(), "no array at all");
        chunk
            .push(|w| {
                w.null();
            })
            .unwrap();
        assert_eq!(
            chunk
                .push(|w| w.array(|w| {
                    w.null();
                }))
                .unwrap(),
            2
        );
        let seen = |chunk: &Chunk, row| format!("{:?}", chunk.value(row, 0));
        let expected = ["Array([Text(\"a\"), Text(\"bc\")])", "Array([])", "Null", "Array([Null])"];
        assert_eq!([0, 1, 2, 3].map(|row| seen(&chunk, row)), expected);
        let turned = chunk.gather(&[3, 2, 1, 0]);
        assert_eq!([3, 2, 1, 0].map(|row| seen(&turned, row)), expected);
        chunk.truncate(1);
        chunk.push(|w| w.array(|w| w.text("d"))).unwrap();
        assert_eq!(seen(&chunk, 1), "Array([Text(\"d\")])");
    }

    #[test]
    fn keys_of_arrays_tell_them_apart() {
        let mut chunk = tags();
        let rows: [&[Option<&str>]; 6] =
            [&[], &[None], &[Some("")], &[Some("a"), Some("b")], &[Some("ab")], &[Some("a"), None]];
        for row in rows.iter().chain(&rows) {
            let put = |w: &mut ChunkWriter<'_>| {
                w.array(|w| {
                    for item in row.iter() {
                        match item {
                            Some(text) => w.text(text),
                            None => w.null(),
                        }
                    }
                });
            };
            chunk.push(put).unwrap();
        }
        let key = |row| {
            let mut out = Vec::new();
            assert!(chunk.slice(0..chunk.len()).key_bytes(row, &[0], &mut out));
            out
        };
        for (one, other) in (0..rows.len()).flat_map(|one| (0..rows.len()).map(move |other| (one, other))) {
            assert_eq!(key(one) == key(rows.len() + other), one == other, "{one} and {other}");
        }
    }
}
