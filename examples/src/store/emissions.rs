use offgridflow_query::ConnectionPool;
use offgridflow_query::sqlx::Row as _;
use serde::{Deserialize, Serialize};

use super::{Store, StoreError, on};
use crate::carbon::{Grams, Period};

/// What totals are grouped by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Grouping {
    /// Scope of the Greenhouse Gas Protocol.
    Scope,
    /// Category.
    Category,
    /// Year.
    Year,
    /// Month; what is known only by its year stands under the year.
    Month,
}

/// The sum of a group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Total {
    /// Scope, category, year or month.
    pub group: String,
    /// Activities in it.
    pub activities: i64,
    /// Billions of grams of CO₂ equivalent: a sum of many large activities does not fit 64 bits.
    billions: i64,
    /// What is left over, in grams.
    rest: i64,
    /// Whether it counts in the overall total; international bunker fuels do not.
    pub in_totals: bool,
}

const BY_SCOPE: &str = "SELECT CAST(scope AS TEXT), COUNT(*), CAST(SUM(co2e_grams / 1000000000) AS BIGINT), CAST(SUM(co2e_grams % 1000000000) AS BIGINT), in_totals \
     FROM activities WHERE tenant = $1 GROUP BY scope, in_totals ORDER BY scope, in_totals";
const BY_CATEGORY: &str = "SELECT category, COUNT(*), CAST(SUM(co2e_grams / 1000000000) AS BIGINT), CAST(SUM(co2e_grams % 1000000000) AS BIGINT), in_totals \
     FROM activities WHERE tenant = $1 GROUP BY category, in_totals ORDER BY category, in_totals";
const BY_YEAR: &str = "SELECT CAST(year AS TEXT), COUNT(*), CAST(SUM(co2e_grams / 1000000000) AS BIGINT), CAST(SUM(co2e_grams % 1000000000) AS BIGINT), in_totals \
     FROM activities WHERE tenant = $1 GROUP BY year, in_totals ORDER BY year, in_totals";
const BY_MONTH: &str = "SELECT year, month, COUNT(*), CAST(SUM(co2e_grams / 1000000000) AS BIGINT), CAST(SUM(co2e_grams % 1000000000) AS BIGINT), in_totals \
     FROM activities WHERE tenant = $1 GROUP BY year, month, in_totals ORDER BY year, month, in_totals";

impl Store {
    /// Totals of `tenant`. Reads every activity of the tenant: meant to be cached.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn totals(&self, tenant: &str, by: Grouping) -> Result<Vec<Total>, StoreError> {
        let statement = match by {
            Grouping::Scope => BY_SCOPE,
            Grouping::Category => BY_CATEGORY,
            Grouping::Year => BY_YEAR,
            Grouping::Month => return self.totals_by_month(tenant).await,
        };
        on!(self, statement, connection => {
            let rows = super::statement(statement).bind(tenant).fetch_all(connection).await?;
            rows.iter().map(|row| Ok(Total {
                group: row.try_get(0)?,
                activities: row.try_get(1)?,
                billions: row.try_get(2)?,
                rest: row.try_get(3)?,
                in_totals: row.try_get(4)?,
            })).collect()
        })
    }

    async fn totals_by_month(&self, tenant: &str) -> Result<Vec<Total>, StoreError> {
        on!(self, BY_MONTH, connection => {
            let rows = super::statement(BY_MONTH).bind(tenant).fetch_all(connection).await?;
            rows.iter().map(|row| {
                let period = Period::new(row.try_get(0)?, row.try_get(1)?).ok_or(StoreError::Corrupt("period"))?;
                Ok(Total {
                    group: period.to_string(),
                    activities: row.try_get(2)?,
                    billions: row.try_get(3)?,
                    rest: row.try_get(4)?,
                    in_totals: row.try_get(5)?,
                })
            }).collect()
        })
    }
}

impl Total {
    /// What the groups that count add up to.
    #[must_use]
    pub fn sum(totals: &[Self]) -> Grams {
        totals.iter().filter(|total| total.in_totals).map(Self::co2e).sum()
    }

    /// The group's emissions.
    #[must_use]
    pub fn co2e(&self) -> Grams {
        Grams::from_parts(self.billions, self.rest)
    }
}
