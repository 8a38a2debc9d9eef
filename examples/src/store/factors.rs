use offgridflow_query::ConnectionPool;
use offgridflow_query::sqlx::Row as _;
use offgridflow_query::{Acquire, Tx};

use super::{Gates, Store, StoreError, on};
use crate::carbon::{Factor, Quantity, Ratio, Scope, default_factors};

const SEED: &str = "INSERT INTO factors (tenant, category, unit, numerator, denominator, scope, in_totals, source, version) \
     VALUES ('', $1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (tenant, category) DO NOTHING";
/// The tenant's own factor, else the published one: '' sorts first.
const CURRENT: &str = "SELECT unit, numerator, denominator, scope, in_totals, source, version FROM factors \
     WHERE category = $2 AND tenant IN ('', $1) ORDER BY tenant DESC LIMIT 1";
const CHANGE: &str = "INSERT INTO factors (tenant, category, unit, numerator, denominator, scope, in_totals, source, version) \
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT (tenant, category) DO UPDATE SET unit = excluded.unit, \
     numerator = excluded.numerator, denominator = excluded.denominator, scope = excluded.scope, \
     in_totals = excluded.in_totals, source = excluded.source, version = factors.version + 1 RETURNING version";
const EXTREMES: &str = "SELECT MIN(quantity_millionths), MAX(quantity_millionths) FROM activities WHERE tenant = $1 AND category = $2";
pub(super) const ENQUEUE: &str = "INSERT INTO jobs (tenant, category) VALUES ($1, $2)";

/// Reads a row of [`CURRENT`], of either database.
macro_rules! factor_of {
    ($row:expr, $category:expr) => {{
        let ratio = Ratio::new($row.try_get(1)?, $row.try_get(2)?).ok_or(StoreError::Corrupt("factor"))?;
        Factor {
            category: $category.to_owned(),
            unit: $row.try_get(0)?,
            kg_co2e_per_unit: ratio,
            scope: Scope::try_from($row.try_get::<i16, _>(3)?).map_err(|_| StoreError::Corrupt("scope"))?,
            in_totals: $row.try_get(4)?,
            source: $row.try_get(5)?,
            version: $row.try_get(6)?,
        }
    }};
}

/// The statements of [`Store::put_factor`], on a connection of either database; the new version.
macro_rules! change {
    ($connection:expr, $tenant:expr, $factor:expr) => {{
        let connection = $connection;
        let before = super::statement(CURRENT)
            .bind($tenant)
            .bind(&$factor.category)
            .fetch_optional(&mut *connection)
            .await?;
        let first: i64 = match before {
            None => 0,
            Some(row) => {
                let unit: String = row.try_get(0)?;
                if unit != $factor.unit {
                    return Err(StoreError::Unit { category: $factor.category, unit });
                }
                row.try_get(6)?
            }
        };
        let extremes = super::statement(EXTREMES)
            .bind($tenant)
            .bind(&$factor.category)
            .fetch_one(&mut *connection)
            .await?;
        let extremes: [Option<i64>; 2] = [extremes.try_get(0)?, extremes.try_get(1)?];
        if !bears(&extremes, $factor.kg_co2e_per_unit) {
            return Err(StoreError::TooLarge { category: $factor.category });
        }
        let row = super::statement(CHANGE)
            .bind($tenant)
            .bind(&$factor.category)
            .bind(&$factor.unit)
            .bind($factor.kg_co2e_per_unit.numerator())
            .bind($factor.kg_co2e_per_unit.denominator())
            .bind($factor.scope.number())
            .bind($factor.in_totals)
            .bind(&$factor.source)
            .bind(first + 1)
            .fetch_one(&mut *connection)
            .await?;
        super::statement(ENQUEUE).bind($tenant).bind(&$factor.category).execute(&mut *connection).await?;
        row.try_get::<i64, _>(0)?
    }};
}

/// Whether the emissions of what is stored can be held at `ratio`.
fn bears(extremes: &[Option<i64>], ratio: Ratio) -> bool {
    extremes
        .iter()
        .flatten()
        .all(|millionths| Quantity::from_millionths(*millionths).emissions(ratio).is_some())
}

impl Store {
    pub(super) async fn seed_factors(&self) -> Result<(), StoreError> {
        on!(self, SEED, connection => {
            for factor in default_factors() {
                super::statement(SEED)
                    .bind(&factor.category)
                    .bind(&factor.unit)
                    .bind(factor.kg_co2e_per_unit.numerator())
                    .bind(factor.kg_co2e_per_unit.denominator())
                    .bind(factor.scope.number())
                    .bind(factor.in_totals)
                    .bind(&factor.source)
                    .bind(factor.version)
                    .execute(&mut *connection)
                    .await?;
            }
            Ok(())
        })
    }

    /// The factor of `category` for `tenant`: its own, else the published one.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn factor(&self, tenant: &str, category: &str) -> Result<Option<Factor>, StoreError> {
        on!(self, CURRENT, connection => {
            let row = super::statement(CURRENT).bind(tenant).bind(category).fetch_optional(connection).await?;
            row.map(|row| Ok(factor_of!(row, category))).transpose()
        })
    }

    /// Gives `tenant` a factor of its own and, in the same transaction, a job that recalculates what was stored with the
    /// one before. `factor.version` is ignored; the version given back is one higher than any before.
    ///
    /// # Errors
    /// Another unit than the category's, a factor too large for what is stored, or a database that does not answer; nothing is
    /// changed then.
    ///
    /// # Cancel safety
    /// Dropped half-way, either all of it is stored or none.
    pub async fn put_factor(&self, tenant: &str, factor: Factor) -> Result<Factor, StoreError> {
        match &self.gates {
            Gates::Sqlite(gate) => {
                let mut tx = Tx::begin(gate.acquire(Acquire::default()).await?).await?;
                let version = change!(&mut *tx, tenant, factor);
                tx.commit().await?;
                Ok(Factor { version, ..factor })
            }
            Gates::Postgres(gate) => {
                let mut tx = Tx::begin(gate.acquire(Acquire::default()).await?).await?;
                let version = change!(&mut *tx, tenant, factor);
                tx.commit().await?;
                Ok(Factor { version, ..factor })
            }
        }
    }

    /// Asks for everything stored with another version of `category`'s factor to be recalculated.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn enqueue_recalculation(&self, tenant: &str, category: &str) -> Result<(), StoreError> {
        on!(self, ENQUEUE, connection => {
            super::statement(ENQUEUE).bind(tenant).bind(category).execute(connection).await?;
            Ok(())
        })
    }
}
