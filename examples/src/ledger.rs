//! Activities in, totals out: what the server is for, composed of the store and its caches.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use offgridflow_query::{Fate, Outcome, Tickets};
use serde::Serialize;

use crate::carbon::{Activity, Factor, assess};
use crate::intake::{self, Draft, Format, Intake, Rejection};
use crate::store::{Grouping, Store, StoreError, Total};

/// The store with its caches.
#[derive(Debug)]
pub struct Ledger {
    store: Arc<Store>,
}

/// Why the ledger could not be opened or asked.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum LedgerError {
    /// The database behind the cache failed.
    #[error("the database does not answer")]
    Store(#[source] Arc<StoreError>),
}

/// What became of a request's rows.
#[derive(Debug, Default, Serialize)]
pub struct Receipt {
    /// Rows that are stored.
    accepted: usize,
    /// Rows whose id was there before; what is stored stays.
    duplicates: usize,
    /// Rows that are refused, each with its line and a reason.
    rejected: Vec<Rejection>,
    /// Rows with nothing wrong about them that were not stored, or nobody can say: send them again, with the same ids.
    not_stored: Vec<Rejection>,
    #[serde(skip)]
    malformed: bool,
}

/// How a request as a whole is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Every row is stored.
    Stored,
    /// Some of the body cannot be read.
    Malformed,
    /// All of it can be read, and some rows are refused.
    Refused,
    /// The database did not take rows that it may take later.
    Unavailable,
}

impl Receipt {
    /// How the request as a whole is answered.
    #[must_use]
    pub fn standing(&self) -> Standing {
        match self {
            _ if !self.not_stored.is_empty() => Standing::Unavailable,
            _ if self.malformed => Standing::Malformed,
            _ if !self.rejected.is_empty() => Standing::Refused,
            _ => Standing::Stored,
        }
    }
}

/// What the caches did so far.
#[derive(Debug, Clone, Serialize)]
pub struct CacheFigures {
    /// Totals by tenant and grouping.
    pub totals: CacheFigure,
    /// Factors by tenant and category, missing ones included.
    pub factors: CacheFigure,
}

/// What one cache did so far.
#[derive(Debug, Clone, Serialize)]
pub struct CacheFigure {
    /// Reads.
    pub asked: u64,
    /// Share of reads that needed no load; `None` before the first read.
    pub hit_ratio: Option<f64>,
}

impl Ledger {
    /// A ledger over `store`; with a Redis address its caches are shared with other processes.
    ///
    /// # Errors
    /// When the address cannot be used.
    pub async fn open(store: Arc<Store>, _redis_url: Option<&str>) -> Result<Self, LedgerError> {
        Ok(Self { store })
    }

    /// The database.
    #[must_use]
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// What the caches did so far.
    #[must_use]
    pub fn figures(&self) -> CacheFigures {
        let none = CacheFigure { asked: 0, hit_ratio: None };
        CacheFigures { totals: none.clone(), factors: none }
    }

    /// The factor of `category` for `tenant`; `None` when there is none, which is cached as well.
    ///
    /// # Errors
    /// When it is not cached and the database does not answer.
    pub async fn factor(&self, tenant: &str, category: &str) -> Result<Option<Arc<Factor>>, LedgerError> {
        let factor =
            self.store.factor(tenant, category).await.map_err(|error| LedgerError::Store(Arc::new(error)))?;
        Ok(factor.map(Arc::new))
    }

    /// Totals of `tenant`, as of its last ingestion.
    ///
    /// # Errors
    /// When they are not cached and the database does not answer.
    pub async fn totals(&self, tenant: &str, by: Grouping) -> Result<Arc<Vec<Total>>, LedgerError> {
        let totals =
            self.store.totals(tenant, by).await.map_err(|error| LedgerError::Store(Arc::new(error)))?;
        Ok(Arc::new(totals))
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

    /// Drops the cached totals of `tenant`.
    pub async fn forget_totals(&self, _tenant: &str) {}

    async fn forget_factor(&self, _tenant: &str, _category: &str) {}

    /// Stores the rows of `body` and answers after commit. With `atomic` all rows are stored or none.
    ///
    /// # Errors
    /// When factors cannot be had; no row was stored then.
    ///
    /// # Cancel safety
    /// Dropped half-way, rows may be stored without anybody being told: sending them again with the same ids is harmless.
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
        self.write(activities, &lines, atomic, &mut receipt).await;
        if receipt.accepted > 0 {
            self.settle(tenant, &factors).await;
        }
        Ok(receipt)
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
            if let Err(error) = self.store.enqueue_recalculation(tenant, category).await {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "a recalculation could not be asked for"
                );
            }
        }
        self.forget_totals(tenant).await;
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

impl Receipt {
    async fn settle(&mut self, tickets: Tickets<Activity>, lines: &[u64]) {
        for (outcome, line) in tickets.outcomes().await.into_iter().zip(lines) {
            match outcome {
                Outcome::Settled(receipt) if receipt.fate == Fate::Committed => self.accepted += 1,
                Outcome::Settled(_) => self.duplicates += 1,
                Outcome::Rejected(rejected) => {
                    self.rejected.push(rejection(*line, rejected.cause.to_string()));
                }
                Outcome::Returned(returned) => {
                    self.not_stored.push(rejection(*line, returned.why.to_string()));
                }
            }
        }
    }
}

fn rejection(line: u64, reason: String) -> Rejection {
    Rejection { line, column: None, field: None, reason }
}

/// Whether a category could have a factor at all: anything else need not be looked up.
fn is_nameable(category: &str) -> bool {
    !category.is_empty() && category.len() <= 128 && !category.chars().any(char::is_control)
}
