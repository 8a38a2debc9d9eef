use offgridflow_query::sqlx::Row as _;
use offgridflow_query::{ChunkWriter, Column, ConnectionPool, Kind, Row, Shape};

use super::{Store, StoreError, on};
use crate::carbon::{Activity, Grams, Period, Quantity, Scope};

impl Row for Activity {
    fn shape() -> Shape {
        let columns = [
            Column::new("tenant", Kind::Text),
            Column::new("id", Kind::Text),
            Column::new("category", Kind::Text),
            Column::new("unit", Kind::Text),
            Column::new("quantity_millionths", Kind::Int8),
            Column::new("year", Kind::Int2),
            Column::new("month", Kind::Int2),
            Column::new("adjustment", Kind::Bool),
            Column::new("scope", Kind::Int2),
            Column::new("in_totals", Kind::Bool),
            Column::new("co2e_grams", Kind::Int8),
            Column::new("factor_version", Kind::Int8),
        ];
        Shape::new("activities", columns).key(["tenant", "id"])
    }

    fn put(&self, to: &mut ChunkWriter<'_>) {
        to.text(&self.tenant);
        to.text(&self.id);
        to.text(&self.category);
        to.text(&self.unit);
        to.i64(self.quantity.millionths());
        to.i16(self.period.year());
        to.i16(self.period.month());
        to.bool(self.adjustment);
        to.i16(self.scope.number());
        to.bool(self.in_totals);
        to.i64(self.co2e.to_i64());
        to.i64(self.factor_version);
    }
}

const PAGE: &str = "SELECT id, category, unit, quantity_millionths, year, month, adjustment, scope, in_totals, co2e_grams, factor_version \
     FROM activities WHERE tenant = $1 AND id > $2 ORDER BY id LIMIT $3";

impl Store {
    /// At most `limit` activities of `tenant` in the order of their ids, from behind `after` on.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn activities(
        &self,
        tenant: &str,
        after: &str,
        limit: u32,
    ) -> Result<Vec<Activity>, StoreError> {
        on!(self, PAGE, connection => {
            let rows = super::statement(PAGE).bind(tenant).bind(after).bind(i64::from(limit)).fetch_all(connection).await?;
            rows.iter().map(|row| Ok(Activity {
                tenant: tenant.to_owned(),
                id: row.try_get(0)?,
                category: row.try_get(1)?,
                unit: row.try_get(2)?,
                quantity: Quantity::from_millionths(row.try_get(3)?),
                period: Period::new(row.try_get(4)?, row.try_get(5)?).ok_or(StoreError::Corrupt("period"))?,
                adjustment: row.try_get(6)?,
                scope: Scope::try_from(row.try_get::<i16, _>(7)?).map_err(|_| StoreError::Corrupt("scope"))?,
                in_totals: row.try_get(8)?,
                co2e: Grams::from(row.try_get::<i64, _>(9)?),
                factor_version: row.try_get(10)?,
            })).collect()
        })
    }
}
