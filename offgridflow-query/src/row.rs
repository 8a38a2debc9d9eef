//! How a Rust value becomes a row.

use crate::chunk::ChunkWriter;
use crate::shape::{Column, Element, Kind, Shape};
use std::time::{Duration, SystemTime};

/// A type whose values are rows of one table. Usually written by [`row!`](crate::row).
///
/// ```
/// use offgridflow_query::{ChunkWriter, Column, Kind, Row, Shape};
/// struct Reading { id: i64, watts: f64 }
/// impl Row for Reading {
///     fn shape() -> Shape {
///         Shape::new("readings", [Column::new("id", Kind::Int8), Column::new("watts", Kind::Float8)]).key(["id"])
///     }
///     fn put(&self, to: &mut ChunkWriter<'_>) {
///         to.i64(self.id);
///         to.f64(self.watts);
///     }
/// }
/// ```
pub trait Row: Send + 'static {
    /// Table, columns and key. Asked once a writer.
    fn shape() -> Shape;

    /// Writes the values in the order of the shape's columns. Must not depend on anything but `self`.
    fn put(&self, to: &mut ChunkWriter<'_>);
}

/// Values without a table: tuples of up to sixteen [`Field`]s. The table comes from elsewhere.
pub trait Fields: Send + 'static {
    /// Kind and nullability of each value in order.
    fn kinds() -> Vec<(Kind, bool)>;

    /// Writes the values in order.
    fn put(&self, to: &mut ChunkWriter<'_>);
}

/// A type that fills one column.
pub trait Field {
    /// What it is stored as.
    const KIND: Kind;
    /// Whether it can be NULL.
    const NULLABLE: bool = false;

    /// Writes the value.
    fn put(&self, to: &mut ChunkWriter<'_>);
}

/// A UUID by its sixteen bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Uuid(pub [u8; 16]);

/// An instant in microseconds since 1970-01-01T00:00:00Z.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TimestampTz(pub i64);

/// A date and time without zone, in microseconds since 1970-01-01T00:00:00.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Timestamp(pub i64);

/// A day, counted from 1970-01-01.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Date(pub i32);

/// A decimal number as text, exact on PostgreSQL.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Numeric(pub String);

/// A JSON document as text.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Json(pub String);

macro_rules! field {
    ($($ty:ty => $kind:ident, |$value:ident, $to:ident| $put:expr;)*) => {$(
        impl Field for $ty {
            const KIND: Kind = Kind::$kind;
            fn put(&self, $to: &mut ChunkWriter<'_>) {
                let $value = self;
                $put;
            }
        }
    )*};
}

field! {
    bool => Bool, |v, to| to.bool(*v);
    i16 => Int2, |v, to| to.i16(*v);
    i32 => Int4, |v, to| to.i32(*v);
    u16 => Int4, |v, to| to.i32(i32::from(*v));
    i64 => Int8, |v, to| to.i64(*v);
    u32 => Int8, |v, to| to.i64(i64::from(*v));
    f32 => Float4, |v, to| to.f32(*v);
    f64 => Float8, |v, to| to.f64(*v);
    String => Text, |v, to| to.text(v);
    &'static str => Text, |v, to| to.text(v);
    Box<str> => Text, |v, to| to.text(v);
    std::sync::Arc<str> => Text, |v, to| to.text(v);
    Vec<u8> => Bytes, |v, to| to.bytes(v);
    Uuid => Uuid, |v, to| to.uuid(v.0);
    TimestampTz => TimestampTz, |v, to| to.micros(v.0);
    Timestamp => Timestamp, |v, to| to.micros(v.0);
    Date => Date, |v, to| to.days(v.0);
    Numeric => Numeric, |v, to| to.numeric(&v.0);
    Json => Json, |v, to| to.json(&v.0);
    SystemTime => TimestampTz, |v, to| to.micros(unix_micros(*v));
}

impl<F: Field> Field for Option<F> {
    const KIND: Kind = F::KIND;
    const NULLABLE: bool = true;

    fn put(&self, to: &mut ChunkWriter<'_>) {
        match self {
            Some(value) => value.put(to),
            None => to.null(),
        }
    }
}

/// An array; `Vec<Option<F>>` has NULLs among its elements. An array of arrays does not compile.
impl<F: Field> Field for Vec<F> {
    const KIND: Kind = match Element::of(F::KIND) {
        Some(element) => Kind::Array(element),
        None => panic!("an array of arrays fits no column"),
    };

    fn put(&self, to: &mut ChunkWriter<'_>) {
        to.array(|to| self.iter().for_each(|item| item.put(to)));
    }
}

/// Microseconds since 1970, rounded down; saturates far outside the range that a chunk takes.
fn unix_micros(time: SystemTime) -> i64 {
    let whole = |d: Duration| i64::try_from(d.as_micros()).unwrap_or(i64::MAX);
    match time.duration_since(SystemTime::UNIX_EPOCH) {
        Ok(after) => whole(after),
        Err(before) => {
            let before = before.duration();
            let partial = !before.subsec_nanos().is_multiple_of(1_000);
            whole(before).saturating_neg().saturating_sub(i64::from(partial))
        }
    }
}

macro_rules! tuples {
    ($($name:ident . $index:tt),+) => {
        impl<$($name: Field + Send + 'static),+> Fields for ($($name,)+) {
            fn kinds() -> Vec<(Kind, bool)> {
                vec![$(($name::KIND, $name::NULLABLE)),+]
            }
            fn put(&self, to: &mut ChunkWriter<'_>) {
                $(self.$index.put(to);)+
            }
        }
    };
}

tuples!(A.0);
tuples!(A.0, B.1);
tuples!(A.0, B.1, C.2);
tuples!(A.0, B.1, C.2, D.3);
tuples!(A.0, B.1, C.2, D.3, E.4);
tuples!(A.0, B.1, C.2, D.3, E.4, F.5);
tuples!(A.0, B.1, C.2, D.3, E.4, F.5, G.6);
tuples!(A.0, B.1, C.2, D.3, E.4, F.5, G.6, H.7);
tuples!(A.0, B.1, C.2, D.3, E.4, F.5, G.6, H.7, I.8);
tuples!(A.0, B.1, C.2, D.3, E.4, F.5, G.6, H.7, I.8, J.9);
tuples!(A.0, B.1, C.2, D.3, E.4, F.5, G.6, H.7, I.8, J.9, K.10);
tuples!(A.0, B.1, C.2, D.3, E.4, F.5, G.6, H.7, I.8, J.9, K.10, L.11);
tuples!(A.0, B.1, C.2, D.3, E.4, F.5, G.6, H.7, I.8, J.9, K.10, L.11, M.12);
tuples!(A.0, B.1, C.2, D.3, E.4, F.5, G.6, H.7, I.8, J.9, K.10, L.11, M.12, N.13);
tuples!(A.0, B.1, C.2, D.3, E.4, F.5, G.6, H.7, I.8, J.9, K.10, L.11, M.12, N.13, O.14);
tuples!(A.0, B.1, C.2, D.3, E.4, F.5, G.6, H.7, I.8, J.9, K.10, L.11, M.12, N.13, O.14, P.15);

/// The shape of a tuple in `table`: names from `names`, kinds from the tuple.
pub(crate) fn tuple_shape<T: Fields>(table: &str, names: &[String]) -> Shape {
    let column = |(name, (kind, nullable)): (&String, (Kind, bool))| match nullable {
        true => Column::nullable(name, kind),
        false => Column::new(name, kind),
    };
    Shape::new(table, names.iter().zip(T::kinds()).map(column))
}

/// The column of a field as it is written.
#[doc(hidden)]
#[must_use]
pub fn __column_name(field: &'static str) -> &'static str {
    field.strip_prefix("r#").unwrap_or(field)
}

/// Makes a struct a [`Row`]: its table, the fields to store (each under the column of the same name), and its key.
///
/// ```
/// use offgridflow_query::{row, Row, TimestampTz};
/// struct Reading { id: i64, at: TimestampTz, watts: Option<f64> }
/// row!(Reading in "readings" { id, at, watts } key { id });
/// assert_eq!(Reading::shape().key_names(), ["id"]);
/// assert!(Reading::shape().columns()[2].is_nullable());
/// ```
///
/// A field called by a raw identifier names its column without the prefix: `r#type` is the column `type`.
#[macro_export]
macro_rules! row {
    ($row:ident in $table:literal { $($field:ident),+ $(,)? } $(key { $($key:ident),+ $(,)? })?) => {
        impl $crate::Row for $row {
            fn shape() -> $crate::Shape {
                $crate::Shape::new($table, [$($crate::Column::of($crate::__column_name(stringify!($field)), |row: &$row| &row.$field)),+])
                    $(.key([$($crate::__column_name(stringify!($key))),+]))?
            }
            fn put(&self, to: &mut $crate::ChunkWriter<'_>) {
                $($crate::Field::put(&self.$field, to);)+
            }
        }
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_before_the_epoch_round_down() {
        let before = SystemTime::UNIX_EPOCH - Duration::from_nanos(1_500);
        assert_eq!(unix_micros(before), -2);
        assert_eq!(unix_micros(SystemTime::UNIX_EPOCH + Duration::from_nanos(1_500)), 1);
    }
}
