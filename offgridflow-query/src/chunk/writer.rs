//! Taking the values of one row.

use super::column::{ColumnData, Data};
use crate::calendar;
use crate::decimal::is_decimal;
use crate::shape::{Column, Kind, Shape};

/// Takes the values of one row, column by column in the shape's order.
///
/// Nothing here fails at once: the first fault is remembered and rejects the row when it is complete.
#[derive(Debug)]
pub struct ChunkWriter<'a> {
    shape: &'a Shape,
    columns: &'a mut [ColumnData], // one a shape column
    column: usize,
    in_array: bool, // values go into the array that stands in `column`
    bytes: usize,
    fault: Option<String>,
}

macro_rules! put_plain {
    ($($(#[$doc:meta])* $name:ident($ty:ty) => $data:ident;)*) => {$(
        $(#[$doc])*
        pub fn $name(&mut self, value: $ty) {
            let kind = self.next_kind();
            if kind == Some(Kind::$data) && let Some(Data::$data(values)) = self.data() {
                values.push(value);
                self.written(size_of::<$ty>());
            } else {
                self.misfit(stringify!($name));
            }
        }
    )*};
}

impl<'a> ChunkWriter<'a> {
    pub(super) fn new(shape: &'a Shape, columns: &'a mut [ColumnData]) -> Self {
        Self { shape, columns, column: 0, in_array: false, bytes: 0, fault: None }
    }

    /// Columns and bytes written, and what went wrong first.
    pub(super) fn end(self) -> (usize, usize, Option<String>) {
        (self.column, self.bytes, self.fault)
    }

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

    /// Writes a [`Kind::Numeric`]: digits with an optional sign, point and exponent, or `NaN`, `Infinity`, `-Infinity`, which PostgreSQL
    /// has from version 14 on (`NaN` always) and SQLite has not.
    pub fn numeric(&mut self, value: &str) {
        if !is_decimal(value) {
            self.fail(|name| format!("not a decimal number for column {name:?}"));
        }
        self.put_text(value, Kind::Numeric);
    }

    fn put_text(&mut self, value: &str, kind: Kind) {
        let next = self.next_kind();
        if next == Some(kind)
            && let Some(Data::Text { all, ends }) = self.data()
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
            && let Some(Data::Bytes { all, ends }) = self.data()
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
            self.fail(|name| format!("a time outside the years 1 to 9999 for column {name:?}"));
        }
        if let Some(Kind::Timestamp | Kind::TimestampTz) = kind
            && let Some(Data::Int8(values)) = self.data()
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
            self.fail(|name| format!("a date outside the years 1 to 9999 for column {name:?}"));
        }
        if kind == Some(Kind::Date)
            && let Some(Data::Int4(values)) = self.data()
        {
            values.push(value);
            self.written(4);
        } else {
            self.misfit("days");
        }
    }

    /// Writes a [`Kind::Array`]; `put` writes its elements in order, each by the method of the element's kind, or as NULL.
    pub fn array(&mut self, put: impl FnOnce(&mut Self)) {
        if self.in_array || !matches!(self.next_kind(), Some(Kind::Array(_))) {
            return self.misfit("array");
        }
        self.in_array = true;
        put(self);
        self.in_array = false;
        self.columns[self.column].data.push_blank(); // ends the array where its elements end
        self.written(0);
    }

    /// Writes a NULL.
    pub fn null(&mut self) {
        let column = self.shape.columns().get(self.column);
        if column.is_some_and(|column| !self.in_array && !column.is_nullable()) {
            self.fail(|name| format!("NULL for column {name:?}, which the shape says takes none"));
        }
        let in_array = self.in_array;
        match self.target() {
            Some(column) => column.push_null(),
            None => return self.misfit("null"),
        }
        self.column += usize::from(!in_array);
        self.bytes += usize::from(in_array);
    }

    /// Where the next value goes.
    fn target(&mut self) -> Option<&mut ColumnData> {
        let in_array = self.in_array;
        let column = self.columns.get_mut(self.column)?;
        if !in_array {
            return Some(column);
        }
        match &mut column.data {
            Data::Array { items, .. } => Some(items),
            _ => None,
        }
    }

    fn data(&mut self) -> Option<&mut Data> {
        self.target().map(|column| &mut column.data)
    }

    fn next_kind(&self) -> Option<Kind> {
        match self.shape.columns().get(self.column).map(Column::kind) {
            Some(Kind::Array(element)) if self.in_array => Some(element.kind()),
            kind => kind,
        }
    }

    fn written(&mut self, bytes: usize) {
        let in_array = self.in_array;
        if let Some(target) = self.target() {
            target.nulls.push(false);
        }
        self.column += usize::from(!in_array);
        self.bytes += bytes + usize::from(in_array);
    }

    fn misfit(&mut self, wrote: &'static str) {
        let kind = self.next_kind();
        self.fail(|name| format!("wrote {wrote} for column {name:?} of kind {kind:?}"));
        self.column += usize::from(!self.in_array);
    }

    fn fail(&mut self, what: impl FnOnce(&str) -> String) {
        if self.fault.is_none() {
            let name = self.shape.columns().get(self.column).map_or("(beyond the last)", Column::name);
            self.fault = Some(what(name));
        }
    }
}
