//! Importing a file of activities of any length, as the API takes them, straight into the database.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fmt;
use std::fs::File;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use offgridflow_query::{Fate, Outcome, Tickets};

use crate::app::AppError;
use crate::carbon::{Activity, Factor, assess};
use crate::config::Config;
use crate::import::ImportError;
use crate::intake::{Format, Intake, Portions, Rejection};
use crate::ledger::Ledger;
use crate::store::Store;

/// Refused rows that are listed; the others are counted.
const LISTED: usize = 100;

/// What was stored; `Display` says it in a few lines.
#[derive(Debug, Default)]
pub struct Uploaded {
    /// Activities stored by this import.
    pub stored: usize,
    /// Activities whose id was there before; what is stored stays.
    pub duplicates: usize,
    /// Rows that cannot be read or are refused.
    pub refused: usize,
    /// The first hundred of them.
    pub rejections: Vec<Rejection>,
    /// Rows with nothing wrong about them that were not stored, or nobody can say: import the file again.
    pub not_stored: usize,
    /// How long it took to read, assess and store.
    pub took: Duration,
}

/// Imports `file` (`.csv`, `.ndjson` or `.jsonl`) for `tenant` into the database of `config`.
///
/// Rows that bring their own ids are stored once, however often the file is imported.
///
/// # Errors
/// When the file cannot be read, is of another format, or the database did not take rows that it may take later.
pub async fn run(file: &Path, tenant: &str, config: &Config) -> Result<Uploaded, ImportError> {
    let format = match file.extension().and_then(|extension| extension.to_str()) {
        Some("csv") => Format::Csv,
        Some("ndjson" | "jsonl") => Format::Ndjson,
        _ => {
            let reason = "activities come as .csv, .ndjson or .jsonl".to_owned();
            return Err(ImportError::Format(file.to_owned(), reason));
        }
    };
    let read = |error| ImportError::Read(file.to_owned(), error);
    let portions = Portions::new(format, File::open(file).map_err(read)?);
    let say = |sentence: String| tracing::info!("{sentence}");
    let store =
        Store::open(&config.database_url, config.database_patience(), say).await.map_err(AppError::from)?;
    let ledger = Ledger::open(Arc::new(store), config.redis_url.as_deref()).map_err(AppError::from)?;
    let mut upload = Upload::new(&ledger, tenant);
    for portion in portions {
        upload.take(portion.map_err(read)?).await?;
    }
    let uploaded = upload.end().await;
    ledger.store().close().await.map_err(AppError::from)?;
    match uploaded.not_stored {
        0 => Ok(uploaded),
        lost => {
            Err(ImportError::NotStored(lost, "the database was not available; import the file again".into()))
        }
    }
}

/// An import under way: while the database writes one portion, the next is read and assessed.
#[derive(Debug)]
pub struct Upload<'a> {
    ledger: &'a Ledger,
    tenant: &'a str,
    factors: BTreeMap<String, Option<Arc<Factor>>>,
    writing: Option<(Tickets<Activity>, Vec<u64>)>, // with the line of each row
    uploaded: Uploaded,
    began: Instant,
}

impl<'a> Upload<'a> {
    /// Begins.
    #[must_use]
    pub fn new(ledger: &'a Ledger, tenant: &'a str) -> Self {
        let (factors, uploaded, began) = (BTreeMap::new(), Uploaded::default(), Instant::now());
        Self { ledger, tenant, factors, writing: None, uploaded, began }
    }

    /// Assesses a portion and hands it to the writer, then hears what became of the one before.
    ///
    /// # Errors
    /// When a factor cannot be had; nothing of this portion was stored then.
    pub async fn take(&mut self, intake: Intake) -> Result<(), ImportError> {
        intake.rejections.into_iter().for_each(|rejection| self.uploaded.refuse(rejection));
        let (mut activities, mut lines) = (Vec::with_capacity(intake.drafts.len()), Vec::new());
        for draft in &intake.drafts {
            let factor = match self.factors.entry(draft.category.clone()) {
                Entry::Occupied(known) => known.into_mut(),
                Entry::Vacant(unknown) => {
                    unknown.insert(self.ledger.factor(self.tenant, &draft.category).await?)
                }
            };
            match assess(self.tenant, draft, factor.as_deref()) {
                Ok(activity) => {
                    lines.push(draft.line);
                    activities.push(activity);
                }
                Err(refusal) => self.uploaded.refuse(Rejection::of(draft, refusal)),
            }
        }
        let tickets = match self.ledger.store().writer().push_many(activities).await {
            Ok(tickets) => tickets,
            Err(refused) => {
                self.uploaded.not_stored += refused.rows.len();
                refused.tickets
            }
        };
        self.hear(Some((tickets, lines))).await;
        Ok(())
    }

    /// Hears the rest, and makes old totals forgotten.
    pub async fn end(mut self) -> Uploaded {
        self.hear(None).await;
        if self.uploaded.stored > 0 {
            self.ledger.forget_totals(self.tenant).await;
        }
        self.uploaded.took = self.began.elapsed();
        self.uploaded
    }

    async fn hear(&mut self, next: Option<(Tickets<Activity>, Vec<u64>)>) {
        let Some((tickets, lines)) = std::mem::replace(&mut self.writing, next) else { return };
        for (outcome, line) in tickets.outcomes().await.into_iter().zip(lines) {
            match outcome {
                Outcome::Settled(receipt) if receipt.fate == Fate::Committed => self.uploaded.stored += 1,
                Outcome::Settled(_) => self.uploaded.duplicates += 1,
                Outcome::Rejected(rejected) => {
                    let reason = rejected.cause.to_string();
                    self.uploaded.refuse(Rejection { line, column: None, field: None, reason });
                }
                Outcome::Returned(_) => self.uploaded.not_stored += 1,
            }
        }
    }
}

impl Uploaded {
    fn refuse(&mut self, rejection: Rejection) {
        self.refused += 1;
        if self.rejections.len() < LISTED {
            self.rejections.push(rejection);
        }
    }
}

impl fmt::Display for Uploaded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { stored, duplicates, refused, .. } = self;
        let rate = (stored + duplicates) as f64 / self.took.as_secs_f64();
        write!(
            f,
            "{stored} activities stored, {duplicates} were there before, {refused} rows refused ({rate:.0} a second)"
        )?;
        for Rejection { line, reason, .. } in self.rejections.iter().take(3) {
            write!(f, "\n  line {line}: {reason}")?;
        }
        if *refused > 3 {
            write!(f, "\n  … and {} more", refused - 3)?;
        }
        Ok(())
    }
}
