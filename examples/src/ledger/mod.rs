//! Activities in, totals out: what the server is for, composed of the store and its caches.

mod caches;
mod receipt;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use offgridflow_cache::{BackendError, Cache, Delivery, Error};
use offgridflow_profile::{Profiled, wait_site};

use crate::carbon::{Activity, Factor, assess};
use crate::intake::{self, Draft, Format, Intake, Rejection};
use crate::store::{Grouping, Store, StoreError, Total};
pub use caches::{CacheFigure, CacheFigures};
use caches::{FactorKey, FactorLoader, Shared, TotalsKey, TotalsLoader, cache, weigh_factor, weigh_totals};
use receipt::rejection;
pub use receipt::{Receipt, Standing};

/// The store with its caches. Clones share them.
#[derive(Debug, Clone)]
pub struct Ledger {
    store: Arc<Store>,
    factors: Cache<FactorKey, Factor, FactorLoader>,
    totals: Cache<TotalsKey, Vec<Total>, TotalsLoader>,
    redis: Option<Shared>,
}

/// Why the ledger could not be opened or asked.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum LedgerError {
    /// Redis' address.
    #[error("the cache cannot use its Redis: {0}")]
    Redis(String),
    /// The caches' settings.
    #[error("the cache's settings make no sense: {0}")]
    Config(#[from] offgridflow_cache::ConfigError),
    /// What is not cached could not be loaded.
    #[error("the database does not answer: {0}")]
    Load(String),
}

impl From<BackendError> for LedgerError {
    fn from(error: BackendError) -> Self {
        Self::Redis(error.to_string())
    }
}

impl From<Error<StoreError>> for LedgerError {
    fn from(error: Error<StoreError>) -> Self {
        Self::Load(match error {
            Error::Load(cause) => cause.to_string(),
            other => other.to_string(),
        })
    }
}

impl Ledger {
    /// A ledger over `store`; with a Redis address its caches are shared with other processes on the same database. A Redis that is
    /// down is done without.
    ///
    /// # Errors
    /// When the address cannot be used.
    pub fn open(store: Arc<Store>, redis_url: Option<&str>) -> Result<Self, LedgerError> {
        let redis = redis_url.map(Shared::connect).transpose()?;
        let space = store.space();
        let factors = cache("factors", space, weigh_factor, redis.as_ref());
        let totals = cache("totals", space, weigh_totals, redis.as_ref());
        let factors = factors.build(FactorLoader(Arc::clone(&store)))?;
        let totals = totals.build(TotalsLoader(Arc::clone(&store)))?;
        Ok(Self { store, factors, totals, redis })
    }

    /// The database.
    #[must_use]
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// What the caches did so far.
    #[must_use]
    pub fn figures(&self) -> CacheFigures {
        CacheFigures { totals: self.totals.stats().into(), factors: self.factors.stats().into() }
    }

    /// Hands the caches' figures to the metrics recorder.
    pub fn record_metrics(&self) {
        self.factors.record_metrics();
        self.totals.record_metrics();
        if let Some(redis) = &self.redis {
            redis.metered.record_metrics();
            redis.breaker.record_metrics();
        }
    }

    /// The factor of `category` for `tenant`; `None` when there is none, which is cached as well.
    ///
    /// # Errors
    /// When it is not cached and the database does not answer.
    pub async fn factor(&self, tenant: &str, category: &str) -> Result<Option<Arc<Factor>>, LedgerError> {
        let key = FactorKey(tenant.to_owned(), category.to_owned());
        Ok(wait_site!("flight of a factor", self.factors.get(&key)).await?)
    }

    /// Totals of `tenant`, as of its last ingestion.
    ///
    /// # Errors
    /// When they are not cached and the database does not answer.
    pub async fn totals(&self, tenant: &str, by: Grouping) -> Result<Arc<Vec<Total>>, LedgerError> {
        let key = TotalsKey(tenant.to_owned(), by);
        Ok(wait_site!("flight of totals", self.totals.get(&key)).await?.unwrap_or_default())
    }

    /// Gives `tenant` a factor of its own, and has what is stored recalculated.
    ///
    /// # Errors
    /// When the database does not answer; nothing is changed then.
    pub async fn put_factor(&self, tenant: &str, factor: Factor) -> Result<Factor, StoreError> {
        let factor = self.store.put_factor(tenant, factor).await?;
        self.forget_factor(tenant, &factor.category).await;
        Ok(factor)
    }

    /// Drops the cached totals of `tenant`, on every server that shares the Redis; whether they heard of it.
    pub async fn forget_totals(&self, tenant: &str) -> bool {
        let deferred = self.totals.invalidate_tag(tenant).await == Delivery::Deferred;
        if deferred {
            tracing::warn!("Redis does not answer: other servers hear of new totals when it does");
        }
        !deferred
    }

    async fn forget_factor(&self, tenant: &str, category: &str) {
        let key = FactorKey(tenant.to_owned(), category.to_owned());
        if self.factors.invalidate(&key).await == Delivery::Deferred {
            tracing::warn!("Redis does not answer: other servers hear of the factor when it does");
        }
    }

    /// Stores the rows of `body` and answers after commit. With `atomic` all rows are stored or none.
    ///
    /// # Errors
    /// When factors cannot be had; no row was stored then.
    ///
    /// # Cancel safety
    /// Dropped once the rows were read, they are stored all the same, and totals follow; sending them again with the same ids is
    /// harmless.
    pub async fn ingest(
        &self,
        tenant: &str,
        format: Format,
        body: &[u8],
        atomic: bool,
    ) -> Result<Receipt, LedgerError> {
        let Intake { drafts, rejections } = intake::read(format, body);
        let mut receipt =
            Receipt { malformed: !rejections.is_empty(), rejected: rejections, ..Receipt::default() };
        let factors = self.factors_of(tenant, &drafts).await?;
        let (lines, activities) = assess_all(tenant, &drafts, &factors, &mut receipt.rejected);
        receipt.rejected.sort_by_key(|rejection| rejection.line);
        if activities.is_empty() || (atomic && !receipt.rejected.is_empty()) {
            return Ok(receipt);
        }
        // In a task of its own: a client that goes away after the commit must not leave old totals behind.
        let (ledger, tenant) = (self.clone(), tenant.to_owned());
        let store = async move {
            ledger.write(activities, &lines, atomic, &mut receipt).await;
            if receipt.accepted + receipt.duplicates > 0 {
                ledger.settle(&tenant, &factors).await; // for duplicates too: whoever stored them may have died before
            }
            receipt
        };
        let stored = tokio::spawn(store.profiled("store activities"));
        stored.await.map_err(|_| LedgerError::Load("the server is shutting down".to_owned()))
    }

    async fn factors_of(
        &self,
        tenant: &str,
        drafts: &[Draft],
    ) -> Result<BTreeMap<String, Arc<Factor>>, LedgerError> {
        let categories: BTreeSet<&str> = drafts.iter().map(|draft| draft.category.as_str()).collect();
        let mut factors = BTreeMap::new();
        for category in categories.into_iter().filter(|category| is_nameable(category)) {
            if let Some(factor) = self.factor(tenant, category).await? {
                factors.insert(category.to_owned(), factor);
            }
        }
        Ok(factors)
    }

    async fn write(&self, activities: Vec<Activity>, lines: &[u64], atomic: bool, receipt: &mut Receipt) {
        let writer = self.store.writer();
        let pushed =
            if atomic { writer.push_group(activities).await } else { writer.push_many(activities).await };
        let (tickets, error) = match pushed {
            Ok(tickets) => (tickets, None),
            Err(refused) => (refused.tickets, Some(refused.error.to_string())),
        };
        let taken = tickets.len();
        receipt.settle(tickets, lines).await;
        if let Some(reason) = error {
            let left = lines[taken..].iter();
            receipt.not_stored.extend(left.map(|line| rejection(*line, reason.clone())));
        }
    }

    /// After the commit: totals are out of date, and a factor may have changed between the look-up and the commit. Whoever
    /// changed it recalculates what was stored before; what was stored since is up to us.
    async fn settle(&self, tenant: &str, used: &BTreeMap<String, Arc<Factor>>) {
        for (category, factor) in used {
            let current = self.store.factor(tenant, category).await;
            if current.is_ok_and(|current| current.is_some_and(|current| current.version == factor.version)) {
                continue;
            }
            self.recalculate(tenant, category).await;
        }
        // Where this process alone is cut off from Redis, others would tell old totals until it is not: a job goes through the database, and whoever does it tells them.
        if !self.forget_totals(tenant).await
            && let Some(category) = used.keys().next()
        {
            self.recalculate(tenant, category).await;
        }
    }

    async fn recalculate(&self, tenant: &str, category: &str) {
        if let Err(error) = self.store.enqueue_recalculation(tenant, category).await {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "a recalculation could not be asked for"
            );
        }
    }
}

fn assess_all(
    tenant: &str,
    drafts: &[Draft],
    factors: &BTreeMap<String, Arc<Factor>>,
    rejected: &mut Vec<Rejection>,
) -> (Vec<u64>, Vec<Activity>) {
    let (mut lines, mut activities) = (Vec::new(), Vec::new());
    for draft in drafts {
        match assess(tenant, draft, factors.get(&draft.category).map(AsRef::as_ref)) {
            Ok(activity) => {
                lines.push(draft.line);
                activities.push(activity);
            }
            Err(refusal) => rejected.push(Rejection::of(draft, refusal)),
        }
    }
    (lines, activities)
}

/// Whether a category could have a factor at all: anything else need not be looked up.
fn is_nameable(category: &str) -> bool {
    !category.is_empty() && category.len() <= 128 && !category.chars().any(char::is_control)
}
