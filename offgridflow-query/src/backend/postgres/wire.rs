//! How values travel: types, arrays of columns, and the binary form of one value.

use super::{literal, numeric};
use crate::chunk::{Items, Slice, Value};
use crate::shape::{Element, Kind};
use sqlx::encode::{Encode, IsNull};
use sqlx::error::BoxDynError;
use sqlx::postgres::types::Oid;
use sqlx::postgres::{PgArgumentBuffer, PgTypeInfo};
use sqlx::{Postgres, Type};

/// 2000-01-01 in microseconds and days since 1970-01-01: PostgreSQL's epoch.
const EPOCH_MICROS: i64 = 946_684_800_000_000;
const EPOCH_DAYS: i32 = 10_957;

const JSON: u32 = 114;
const JSONB: u32 = 3802;
const VARCHAR: u32 = 1043;
const NUMERIC: u32 = 1700;
/// Of types that take a kind besides the one it has: their arrays.
const JSON_ARRAY: u32 = 199;
const JSONB_ARRAY: u32 = 3807;
const VARCHAR_ARRAY: u32 = 1015;
const NUMERIC_ARRAY: u32 = 1231;

/// How a kind travels in an array: element and array type, the type's name in SQL, and a cast where it travels as text.
pub(super) struct Wire {
    pub(super) element: u32,
    pub(super) array: u32,
    pub(super) name: &'static str,
    pub(super) cast: &'static str,
}

pub(super) fn wire(kind: Kind) -> Wire {
    let plain = |element, array, name| Wire { element, array, name, cast: "" };
    match kind {
        Kind::Bool => plain(16, 1000, "bool"),
        Kind::Int2 => plain(21, 1005, "int2"),
        Kind::Int4 => plain(23, 1007, "int4"),
        Kind::Int8 => plain(20, 1016, "int8"),
        Kind::Float4 => plain(700, 1021, "float4"),
        Kind::Float8 => plain(701, 1022, "float8"),
        Kind::Text => plain(25, 1009, "text"),
        Kind::Bytes => plain(17, 1001, "bytea"),
        Kind::Uuid => plain(2950, 2951, "uuid"),
        Kind::Timestamp => plain(1114, 1115, "timestamp"),
        Kind::TimestampTz => plain(1184, 1185, "timestamptz"),
        Kind::Date => plain(1082, 1182, "date"),
        Kind::Numeric => Wire { cast: "::numeric", ..plain(25, 1009, "text") },
        Kind::Json => Wire { cast: "::json", ..plain(25, 1009, "text") },
        Kind::Array(element) => Wire { cast: array_cast(element), ..plain(25, 1009, "text") },
    }
}

fn array_cast(element: Element) -> &'static str {
    match element {
        Element::Bool => "::bool[]",
        Element::Int2 => "::int2[]",
        Element::Int4 => "::int4[]",
        Element::Int8 => "::int8[]",
        Element::Float4 => "::float4[]",
        Element::Float8 => "::float8[]",
        Element::Text => "::text[]",
        Element::Bytes => "::bytea[]",
        Element::Uuid => "::uuid[]",
        Element::Timestamp => "::timestamp[]",
        Element::TimestampTz => "::timestamptz[]",
        Element::Date => "::date[]",
        Element::Numeric => "::numeric[]",
        Element::Json => "::json[]",
    }
}

/// Whether COPY may fill a column of type `column` from values of `kind`: it converts nothing.
pub(super) fn copies_into(kind: Kind, column: u32) -> bool {
    match kind {
        Kind::Text => [wire(kind).element, VARCHAR].contains(&column),
        Kind::Numeric => column == NUMERIC,
        Kind::Json => [JSON, JSONB].contains(&column),
        Kind::Array(element) => element_of(column, element).is_some_and(|of| copies_into(element.kind(), of)),
        _ => column == wire(kind).element,
    }
}

/// What the array type `column` holds, if arrays of `element` may go there.
fn element_of(column: u32, element: Element) -> Option<u32> {
    match column {
        JSON_ARRAY => Some(JSON),
        JSONB_ARRAY => Some(JSONB),
        VARCHAR_ARRAY => Some(VARCHAR),
        NUMERIC_ARRAY => Some(NUMERIC),
        _ => {
            let wire = wire(element.kind());
            (column == wire.array).then_some(wire.element)
        }
    }
}

/// One column of a slice in PostgreSQL's binary array format, written straight from the chunk.
pub(super) struct ColumnArray<'a> {
    pub(super) slice: &'a Slice<'a>,
    pub(super) column: usize,
}

impl ColumnArray<'_> {
    fn wire(&self) -> Wire {
        wire(self.slice.shape().columns()[self.column].kind())
    }
}

impl Type<Postgres> for ColumnArray<'_> {
    fn type_info() -> PgTypeInfo {
        PgTypeInfo::with_oid(Oid(1009)) // never asked: `produces` knows better
    }
}

impl Encode<'_, Postgres> for ColumnArray<'_> {
    fn produces(&self) -> Option<PgTypeInfo> {
        Some(PgTypeInfo::with_oid(Oid(self.wire().array)))
    }

    fn encode_by_ref(&self, out: &mut PgArgumentBuffer) -> Result<IsNull, BoxDynError> {
        let rows = i32::try_from(self.slice.len())?;
        out.extend(1i32.to_be_bytes()); // dimensions
        out.extend(1i32.to_be_bytes()); // NULLs may occur
        out.extend(self.wire().element.to_be_bytes());
        out.extend(rows.to_be_bytes());
        out.extend(1i32.to_be_bytes()); // the first subscript
        for row in 0..self.slice.len() {
            put(out, self.slice.value(row, self.column)).ok_or("a value of more than 2 GiB")?;
        }
        Ok(IsNull::No)
    }
}

/// Appends a value with its length in front; numbers and arrays as text. `None` if it does not fit.
fn put(out: &mut Vec<u8>, value: Value<'_>) -> Option<()> {
    let mut sized = |bytes: &[u8]| {
        out.extend_from_slice(&i32::try_from(bytes.len()).ok()?.to_be_bytes());
        out.extend_from_slice(bytes);
        Some(())
    };
    match value {
        Value::Null => {
            out.extend_from_slice(&(-1i32).to_be_bytes());
            Some(())
        }
        Value::Bool(v) => sized(&[u8::from(v)]),
        Value::Int2(v) => sized(&v.to_be_bytes()),
        Value::Int4(v) => sized(&v.to_be_bytes()),
        Value::Int8(v) => sized(&v.to_be_bytes()),
        Value::Float4(v) => sized(&v.to_be_bytes()),
        Value::Float8(v) => sized(&v.to_be_bytes()),
        Value::Text(v) => sized(v.as_bytes()),
        Value::Bytes(v) => sized(v),
        Value::Uuid(v) => sized(v),
        Value::Micros(v) => sized(&(v - EPOCH_MICROS).to_be_bytes()), // years 1 to 9999: cannot overflow
        Value::Days(v) => sized(&(v - EPOCH_DAYS).to_be_bytes()),
        Value::Array(items) => literal::put(items, out),
    }
}

/// Appends a value as the binary form of COPY for a column of type `column`. `None` if it does not fit.
pub(super) fn put_copied(out: &mut Vec<u8>, value: Value<'_>, column: u32) -> Option<()> {
    match (value, column) {
        (Value::Text(text), NUMERIC) => put_sized(out, |out| numeric::put(text, out)),
        (Value::Text(text), JSONB) => put_sized(out, |out| {
            out.push(1); // the version of the format
            out.extend_from_slice(text.as_bytes());
            Some(())
        }),
        (Value::Array(items), _) => put_sized(out, |out| put_array(out, items, column)),
        _ => put(out, value),
    }
}

/// Appends the binary form of an array: dimensions, whether NULLs occur, the element's type, and the elements.
fn put_array(out: &mut Vec<u8>, items: Items<'_>, column: u32) -> Option<()> {
    let element = element_of(column, Element::of(items.kind())?)?;
    let nulls = items.iter().any(|item| item == Value::Null);
    out.extend(i32::from(!items.is_empty()).to_be_bytes());
    out.extend(i32::from(nulls).to_be_bytes());
    out.extend(element.to_be_bytes());
    if !items.is_empty() {
        out.extend(i32::try_from(items.len()).ok()?.to_be_bytes());
        out.extend(1i32.to_be_bytes()); // the first subscript
    }
    items.iter().try_for_each(|item| put_copied(out, item, element))
}

/// Appends what `body` appends, with its length in front.
pub(super) fn put_sized(out: &mut Vec<u8>, body: impl FnOnce(&mut Vec<u8>) -> Option<()>) -> Option<()> {
    let start = out.len();
    out.extend_from_slice(&[0; 4]);
    body(out)?;
    let length = i32::try_from(out.len() - start - 4).ok()?;
    out[start..start + 4].copy_from_slice(&length.to_be_bytes());
    Some(())
}
