use std::time::Duration;

use offgridflow_query::sqlx::Row as _;
use offgridflow_query::{Acquire, ConnectionPool, Tx};

use super::{Gates, Store, StoreError, on};
use crate::carbon::{Quantity, Ratio};

/// Activities recalculated in one transaction.
const PORTION: i64 = 1_000;

/// The job's row stays locked until the transaction ends, so another worker passes it over; a worker that dies lets go.
const TAKE_POSTGRES: &str =
    "SELECT id, tenant, category, attempts FROM jobs ORDER BY attempts, id LIMIT 1 FOR UPDATE SKIP LOCKED";
/// SQLite has one writer: the transaction itself is the lock.
const TAKE_SQLITE: &str = "SELECT id, tenant, category, attempts FROM jobs ORDER BY attempts, id LIMIT 1";
const FACTOR: &str = "SELECT numerator, denominator, unit, scope, in_totals, version FROM factors \
     WHERE category = $2 AND tenant IN ('', $1) ORDER BY tenant DESC LIMIT 1";
const STALE: &str = "SELECT id, quantity_millionths FROM activities \
     WHERE tenant = $1 AND category = $2 AND factor_version <> $3 LIMIT $4";
const RECALCULATE: &str = "UPDATE activities SET co2e_grams = $3, unit = $4, scope = $5, in_totals = $6, factor_version = $7 \
     WHERE tenant = $1 AND id = $2";
const DONE: &str = "DELETE FROM jobs WHERE id = $1";
const FAILED: &str = "UPDATE jobs SET attempts = attempts + 1, error = $2 WHERE id = $1";
/// By the clock that the jobs were noted down by.
const QUEUE_POSTGRES: &str = "SELECT COUNT(*), COALESCE(CAST(EXTRACT(EPOCH FROM clock_timestamp()) AS BIGINT) - MIN(enqueued_at), 0) FROM jobs";
const QUEUE_SQLITE: &str = "SELECT COUNT(*), COALESCE(unixepoch() - MIN(enqueued_at), 0) FROM jobs";

/// A portion of a job that was done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job {
    /// Whose activities.
    pub tenant: String,
    /// Of which category.
    pub category: String,
    /// How often it had failed before.
    pub attempts: i64,
    /// Activities recalculated in this portion.
    pub recalculated: usize,
    /// Whether nothing is left to do.
    pub finished: bool,
}

/// The jobs that wait or are under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Queue {
    /// How many.
    pub depth: u64,
    /// How long ago the oldest was asked for.
    pub oldest: Duration,
}

/// Takes a job and does a portion of it in one transaction on a connection of either database.
macro_rules! work_on {
    ($gate:expr, $take:expr, $begun:expr) => {{
        let mut tx = Tx::begin($gate.acquire(Acquire::default()).await?).await?;
        let taken = super::statement($take).fetch_optional(&mut *tx).await?;
        let Some(row) = taken else {
            tx.rollback().await?;
            return Ok(None);
        };
        $begun();
        let (id, tenant, category, attempts): (i64, String, String, i64) =
            (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?, row.try_get(3)?);
        match portion!(tx, tenant, category) {
            Ok(recalculated) => {
                let finished = recalculated < usize::try_from(PORTION).unwrap_or(usize::MAX);
                if finished {
                    super::statement(DONE).bind(id).execute(&mut *tx).await?;
                }
                tx.commit().await?;
                Ok(Some(Job { tenant, category, attempts, recalculated, finished }))
            }
            Err(error) => {
                tx.rollback().await?;
                let mut lent = $gate.acquire(Acquire::default()).await?;
                super::statement(FAILED).bind(id).bind(error.to_string()).execute(&mut *lent).await?;
                Err(error)
            }
        }
    }};
}

/// Recalculates activities that carry another version of the factor; how many.
macro_rules! portion {
    ($tx:ident, $tenant:ident, $category:ident) => {
        async {
            let factor =
                super::statement(FACTOR).bind(&$tenant).bind(&$category).fetch_one(&mut *$tx).await?;
            let ratio =
                Ratio::new(factor.try_get(0)?, factor.try_get(1)?).ok_or(StoreError::Corrupt("factor"))?;
            let (unit, scope, in_totals): (String, i16, bool) =
                (factor.try_get(2)?, factor.try_get(3)?, factor.try_get(4)?);
            let version: i64 = factor.try_get(5)?;
            let stale = super::statement(STALE).bind(&$tenant).bind(&$category).bind(version).bind(PORTION);
            let stale = stale.fetch_all(&mut *$tx).await?;
            for row in &stale {
                let quantity = Quantity::from_millionths(row.try_get(1)?);
                let grams = quantity.emissions(ratio).ok_or(StoreError::Corrupt("quantity"))?;
                super::statement(RECALCULATE)
                    .bind(&$tenant)
                    .bind(row.try_get::<String, _>(0)?)
                    .bind(grams.to_i64())
                    .bind(&unit)
                    .bind(scope)
                    .bind(in_totals)
                    .bind(version)
                    .execute(&mut *$tx)
                    .await?;
            }
            Ok::<usize, StoreError>(stale.len())
        }
        .await
    };
}
impl Store {
    /// Takes the next job, if there is one, calls `begun`, and does a portion of it. Workers beside each other take different jobs.
    ///
    /// # Errors
    /// When the job or the database failed; the job then waits behind the others, and is tried again.
    ///
    /// # Cancel safety
    /// Dropped half-way, the portion is undone and the job is free again.
    pub async fn work(&self, begun: impl Fn()) -> Result<Option<Job>, StoreError> {
        match &self.gates {
            Gates::Sqlite(gate) => work_on!(gate, TAKE_SQLITE, begun),
            Gates::Postgres(gate) => work_on!(gate, TAKE_POSTGRES, begun),
        }
    }

    /// How many jobs there are, and how old the oldest is.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn queue(&self) -> Result<Queue, StoreError> {
        let statement = match self.gates {
            Gates::Sqlite(_) => QUEUE_SQLITE,
            Gates::Postgres(_) => QUEUE_POSTGRES,
        };
        let (depth, seconds) = on!(self, statement, connection => {
            let row = super::statement(statement).fetch_one(connection).await?;
            Ok::<(i64, i64), StoreError>((row.try_get(0)?, row.try_get(1)?))
        })?;
        let natural = |number: i64| u64::try_from(number).unwrap_or(0);
        Ok(Queue { depth: natural(depth), oldest: Duration::from_secs(natural(seconds)) })
    }
}
