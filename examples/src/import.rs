//! Importing the wide table of nations by year straight into the database.

use std::collections::BTreeSet;
use std::collections::btree_map::{BTreeMap, Entry};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use offgridflow_query::Outcome;

use crate::app::AppError;
use crate::carbon::assess;
use crate::config::Config;
use crate::intake::{Mismatch, Rejection, WideTable};
use crate::ledger::{Ledger, LedgerError};
use crate::store::Store;

/// Why a file was not imported.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImportError {
    /// The file cannot be opened.
    #[error("cannot read {}", .0.display())]
    Read(PathBuf, #[source] std::io::Error),
    /// The file is of another shape.
    #[error("{} is not a table of nations by year: {}", .0.display(), .1)]
    Shape(PathBuf, String),
    /// The file is of another format.
    #[error("cannot import {}: {}", .0.display(), .1)]
    Format(PathBuf, String),
    /// The database did not take it all.
    #[error("{0} activities were not stored: {1}")]
    NotStored(usize, String),
    /// A factor could not be had.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The server's parts.
    #[error(transparent)]
    App(#[from] AppError),
}

/// What was imported; `Display` says it in a few lines.
#[derive(Debug)]
pub struct Imported {
    /// Activities stored by this import.
    pub stored: usize,
    /// Activities that were there before.
    pub duplicates: usize,
    /// Nations.
    pub tenants: usize,
    /// Rows whose total is not the sum of their cells; listed, not corrected.
    pub mismatches: Vec<Mismatch>,
    /// Cells that cannot be read.
    pub rejections: Vec<Rejection>,
    /// Negative cells, marked as adjustments.
    pub adjustments: usize,
    /// How long it took to read, assess and store.
    pub took: Duration,
}

/// Imports `file` into the database of `config`.
///
/// # Errors
/// When the file cannot be read, is of another shape, or the database does not take it whole.
pub async fn run(file: &Path, config: &Config) -> Result<Imported, ImportError> {
    let bytes = std::fs::read(file).map_err(|error| ImportError::Read(file.to_owned(), error))?;
    let table = WideTable::read(&bytes).map_err(|reason| ImportError::Shape(file.to_owned(), reason))?;
    let say = |sentence: String| tracing::info!("{sentence}");
    let store =
        Store::open(&config.database_url, config.database_patience(), say).await.map_err(AppError::from)?;
    let ledger = Ledger::open(Arc::new(store), config.redis_url.as_deref()).map_err(AppError::from)?;
    let imported = store_table(&ledger, table).await?;
    ledger.store().close().await.map_err(AppError::from)?;
    Ok(imported)
}

/// Stores a table that was read, with each tenant's own factors, through the batch writer; then forgets cached totals.
///
/// # Errors
/// When the database does not take it whole; what it took stays.
pub async fn store_table(ledger: &Ledger, table: WideTable) -> Result<Imported, ImportError> {
    let began = Instant::now();
    let mut factors = BTreeMap::new();
    let mut rejections = table.rejections;
    let mut activities = Vec::with_capacity(table.activities.len());
    for (tenant, draft) in &table.activities {
        let key = (tenant.as_str(), draft.category.as_str());
        let factor = match factors.entry(key) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(unknown) => unknown.insert(ledger.factor(tenant, &draft.category).await?),
        };
        match assess(tenant, draft, factor.as_deref()) {
            Ok(activity) => activities.push(activity),
            Err(refusal) => rejections.push(Rejection::of(draft, refusal)),
        }
    }
    let (stored, duplicates) = write(ledger.store(), activities).await?;
    let tenants: BTreeSet<&str> = factors.keys().map(|(tenant, _)| *tenant).collect();
    for tenant in &tenants {
        ledger.forget_totals(tenant).await;
    }
    let adjustments = table.activities.iter().filter(|(_, draft)| draft.adjustment).count();
    let (tenants, took) = (tenants.len(), began.elapsed());
    Ok(Imported { stored, duplicates, tenants, mismatches: table.mismatches, rejections, adjustments, took })
}

async fn write(
    store: &Store,
    activities: Vec<crate::carbon::Activity>,
) -> Result<(usize, usize), ImportError> {
    let tickets = store.writer().push_many(activities).await;
    let tickets =
        tickets.map_err(|refused| ImportError::NotStored(refused.rows.len(), refused.error.to_string()))?;
    let (mut stored, mut duplicates, mut lost, mut why) = (0, 0, 0, String::new());
    for outcome in tickets.outcomes().await {
        match outcome {
            Outcome::Settled(receipt) if receipt.fate == offgridflow_query::Fate::Committed => stored += 1,
            Outcome::Settled(_) => duplicates += 1,
            Outcome::Rejected(rejected) => (lost, why) = (lost + 1, rejected.cause.to_string()),
            Outcome::Returned(returned) => (lost, why) = (lost + 1, returned.why.to_string()),
        }
    }
    if lost > 0 { Err(ImportError::NotStored(lost, why)) } else { Ok((stored, duplicates)) }
}

impl fmt::Display for Imported {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rate = self.stored as f64 / self.took.as_secs_f64();
        let (stored, tenants, duplicates) = (self.stored, self.tenants, self.duplicates);
        writeln!(
            f,
            "{stored} activities of {tenants} tenants stored ({rate:.0} a second), {duplicates} were there before"
        )?;
        writeln!(
            f,
            "{} negative cells stored as adjustments, {} cells not readable",
            self.adjustments,
            self.rejections.len()
        )?;
        write!(
            f,
            "{} rows whose total differs from their cells, listed and not corrected",
            self.mismatches.len()
        )?;
        for Mismatch { line, tenant, year, stated, summed } in self.mismatches.iter().take(3) {
            write!(f, "\n  line {line}: {tenant} {year} states {stated}, its cells add up to {summed}")?;
        }
        if self.mismatches.len() > 3 {
            write!(f, "\n  … and {} more", self.mismatches.len() - 3)?;
        }
        Ok(())
    }
}
