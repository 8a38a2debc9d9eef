//! One value, borrowed.

use super::column::ColumnData;
use crate::shape::Kind;
use std::fmt;

/// One value of a [`Slice`](crate::Slice), borrowed from its chunk.
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
    /// [`Kind::Array`].
    Array(Items<'a>),
}

/// The elements of one array, in order; any of them can be NULL.
#[derive(Clone, Copy)]
pub struct Items<'a> {
    pub(super) column: &'a ColumnData,
    pub(super) start: usize,
    pub(super) end: usize,
}

impl<'a> Items<'a> {
    /// Elements, NULLs among them.
    #[must_use]
    pub fn len(&self) -> usize {
        self.end - self.start
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What an element holds; never an array.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.column.kind()
    }

    /// The elements in order.
    #[must_use]
    pub fn iter(&self) -> impl ExactSizeIterator<Item = Value<'a>> + use<'a> {
        let column = self.column;
        (self.start..self.end).map(move |at| column.value(at))
    }
}

impl PartialEq for Items<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.kind() == other.kind() && self.len() == other.len() && self.iter().eq(other.iter())
    }
}

impl fmt::Debug for Items<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}
