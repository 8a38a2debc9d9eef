//! The rows that are measured: three columns, and sixteen.

use offgridflow_query::sqlx::encode::{Encode, IsNull};
use offgridflow_query::sqlx::error::BoxDynError;
use offgridflow_query::sqlx::postgres::types::Oid;
use offgridflow_query::sqlx::postgres::{PgArgumentBuffer, PgTypeInfo};
use offgridflow_query::sqlx::query_builder::Separated;
use offgridflow_query::sqlx::{Postgres, Type};
use offgridflow_query::{Date, Row, TimestampTz, row};

/// A kind of row, with the table it goes into.
pub(crate) trait Sample: Row + Sync {
    /// `narrow`, `wide`.
    const NAME: &'static str;
    const TABLE: &'static str;
    const COLUMNS: usize;
    fn nth(id: i64) -> Self;
    /// The values, for statements written by hand.
    fn bind(self, row: Separated<'_, Postgres, &'static str>);
}

/// A time or a day as a rival binds it, in PostgreSQL's binary form.
struct Plain<const OID: u32>(Vec<u8>);

impl<const OID: u32> Type<Postgres> for Plain<OID> {
    fn type_info() -> PgTypeInfo {
        PgTypeInfo::with_oid(Oid(OID))
    }
}

impl<const OID: u32> Encode<'_, Postgres> for Plain<OID> {
    fn encode_by_ref(&self, out: &mut PgArgumentBuffer) -> Result<IsNull, BoxDynError> {
        out.extend_from_slice(&self.0);
        Ok(IsNull::No)
    }
}

fn instant(at: TimestampTz) -> Plain<1184> {
    Plain((at.0 - 946_684_800_000_000).to_be_bytes().to_vec())
}

fn day(day: Date) -> Plain<1082> {
    Plain((day.0 - 10_957).to_be_bytes().to_vec())
}

pub(crate) struct Narrow {
    id: i64,
    at: TimestampTz,
    watts: f64,
}
row!(Narrow in "narrow" { id, at, watts } key { id });

/// A value that differs from row to row without a pattern that helps an index.
fn mixed(id: i64) -> i64 {
    id.wrapping_mul(0x5851_f42d_4c95_7f2d) >> 20
}

const START: i64 = 1_700_000_000_000_000;

impl Sample for Narrow {
    const NAME: &'static str = "narrow";
    const TABLE: &'static str =
        "CREATE TABLE narrow (id INT8 PRIMARY KEY, at TIMESTAMPTZ NOT NULL, watts FLOAT8 NOT NULL)";
    const COLUMNS: usize = 3;

    fn nth(id: i64) -> Self {
        Self { id, at: TimestampTz(START + id * 1_000), watts: mixed(id) as f64 / 7.0 }
    }

    fn bind(self, mut row: Separated<'_, Postgres, &'static str>) {
        row.push_bind(self.id).push_bind(instant(self.at)).push_bind(self.watts);
    }
}

pub(crate) struct Wide {
    id: i64,
    at: TimestampTz,
    day: Date,
    tenant: i32,
    site: i32,
    scope: i16,
    active: bool,
    a: f64,
    b: f64,
    c: f64,
    x: i64,
    y: i64,
    unit: &'static str,
    meter: String,
    note: Option<String>,
    source: String,
}
row!(Wide in "wide" { id, at, day, tenant, site, scope, active, a, b, c, x, y, unit, meter, note, source } key { id });

impl Sample for Wide {
    const NAME: &'static str = "wide";
    const TABLE: &'static str = "CREATE TABLE wide (id INT8 PRIMARY KEY, at TIMESTAMPTZ NOT NULL, day DATE NOT NULL, \
        tenant INT4 NOT NULL, site INT4 NOT NULL, scope INT2 NOT NULL, active BOOL NOT NULL, a FLOAT8, b FLOAT8, c FLOAT8, \
        x INT8, y INT8, unit TEXT NOT NULL, meter TEXT NOT NULL, note TEXT, source TEXT NOT NULL)";
    const COLUMNS: usize = 16;

    fn nth(id: i64) -> Self {
        let value = mixed(id);
        Self {
            id,
            at: TimestampTz(START + id * 1_000),
            day: Date(19_700 + i32::try_from(id % 365).unwrap_or(0)),
            tenant: i32::try_from(id % 97).unwrap_or(0),
            site: i32::try_from(id % 1_009).unwrap_or(0),
            scope: i16::try_from(1 + id % 3).unwrap_or(1),
            active: id % 5 != 0,
            a: value as f64 / 3.0,
            b: value as f64 / 5.0,
            c: value as f64 / 7.0,
            x: value,
            y: -value,
            unit: ["kWh", "l", "km", "t"][usize::try_from(id % 4).unwrap_or(0)],
            meter: format!("meter-{:06}", id % 20_000),
            note: (id % 10 == 0).then(|| format!("read by hand, entry {id}")),
            source: format!("import-{:03}.csv", id % 200),
        }
    }

    fn bind(self, mut row: Separated<'_, Postgres, &'static str>) {
        row.push_bind(self.id).push_bind(instant(self.at)).push_bind(day(self.day));
        row.push_bind(self.tenant).push_bind(self.site).push_bind(self.scope).push_bind(self.active);
        row.push_bind(self.a).push_bind(self.b).push_bind(self.c).push_bind(self.x).push_bind(self.y);
        row.push_bind(self.unit).push_bind(self.meter).push_bind(self.note).push_bind(self.source);
    }
}
