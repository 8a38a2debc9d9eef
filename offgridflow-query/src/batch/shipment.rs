//! One write on its way: looked up, sent by the cheaper strategy, tried again, and settled when COMMIT was not answered.

use crate::batch::crossover::Crossover;
use crate::batch::flush::Tally;
use crate::batch::retry::{Jitter, Retry};
use crate::chunk::Slice;
use crate::delivery::{Delivery, LedgerEntry, TxOutcome, TxToken};
use crate::error::{Cause, Class, Scope};
use crate::executor::BatchExecutor;
use crate::shape::Shape;
use crate::strategy::{Prepared, Strategy};
use crate::write::{Ending, WriteError, WritePlan, Wrote};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::time::{Instant, timeout};

/// Sends slices to the database, for several flushes at a time.
#[derive(Debug)]
pub(crate) struct Shipper<E> {
    executor: E,
    plan: WritePlan,
    retry: Retry,
    delivery: Delivery,
    forced: Option<Strategy>,
    ledger: Option<LedgerEntry>, // of no batch
    known: Mutex<Known>,
}

/// What has been learnt about table and database.
#[derive(Debug)]
struct Known {
    prepared: Option<Arc<Prepared>>,
    before: Arc<Prepared>, // what was known until it was doubted
    crossover: Crossover,
    used: BTreeMap<&'static str, StrategyUse>,
    jitter: Jitter,
}

/// How often a writer used one strategy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct StrategyUse {
    /// The strategy.
    pub strategy: Strategy,
    /// Committed writes that used it.
    pub writes: u64,
    /// Rows in them.
    pub rows: u64,
}

/// One write between its first try and its end.
struct Shipment<'a> {
    parts: &'a [Slice<'a>],
    plan: &'a WritePlan,
    started: Instant,
    failed: u32,
    looked_up_again: bool,
    exact: bool,                   // its rows are in the order of keys that are compared as values
    doubt: Option<(Cause, Wrote)>, // a COMMIT of this very write that nobody answered for
}

impl<E: BatchExecutor> Shipper<E> {
    pub(crate) fn new(executor: E, plan: WritePlan, retry: Retry, delivery: Delivery, seed: u64) -> Self {
        let known = Known {
            prepared: None,
            before: Arc::default(),
            crossover: Crossover::default(),
            used: BTreeMap::new(),
            jitter: Jitter::new(seed),
        };
        Self { executor, plan, retry, delivery, forced: None, ledger: None, known: Mutex::new(known) }
    }

    /// Uses `strategy` for every write instead of choosing.
    pub(crate) fn force(mut self, strategy: Option<Strategy>) -> Self {
        self.forced = strategy;
        self
    }

    /// Named batches have their rows in this ledger.
    pub(crate) fn with_ledger(mut self, ledger: Option<LedgerEntry>) -> Self {
        self.ledger = ledger;
        self
    }

    pub(crate) fn plan(&self) -> WritePlan {
        self.plan.clone()
    }

    /// Whether stored rows are overwritten.
    pub(crate) fn updates(&self) -> bool {
        self.plan.conflict.updates()
    }

    /// How often each strategy was used, and from how many rows on the second one measured cheaper.
    pub(crate) fn strategies(&self) -> (Vec<StrategyUse>, Option<usize>) {
        let known = self.known();
        (known.used.values().copied().collect(), known.crossover.rows())
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes `parts` in one transaction, again and again while the failure is transient and the budget lasts.
    pub(crate) async fn write(
        &self,
        parts: &[Slice<'_>],
        plan: &WritePlan,
        tally: &mut Tally,
    ) -> Result<Wrote, WriteError> {
        let mut shipment = Shipment {
            parts,
            plan,
            started: Instant::now(),
            failed: 0,
            looked_up_again: false,
            exact: tally.exact,
            doubt: None,
        };
        loop {
            tally.transactions += 1;
            let began = Instant::now();
            let attempt = self.attempt(&mut shipment).await;
            tally.writing += began.elapsed();
            let error = match attempt {
                Ok(wrote) => return Ok(shipment.done(wrote)),
                Err(error) => error,
            };
            let failed = Instant::now();
            let end = self.judge(&mut shipment, error, tally).await;
            tally.pausing += failed.elapsed();
            if let Some(end) = end {
                return end;
            }
            tally.retries += 1;
        }
    }

    /// One transaction.
    async fn attempt(&self, shipment: &mut Shipment<'_>) -> Result<Wrote, WriteError> {
        let Some(first) = shipment.parts.first() else { return Ok(Wrote::default()) };
        let (prepared, fresh) = self.prepared(first.shape()).await?;
        shipment.looked_up_again |= fresh;
        if shipment.exact && !prepared.exact_key {
            let what = "the database compares keys otherwise than when the rows were put in order";
            return Err(WriteError::failed(Cause::new(Class::Schema, what)));
        }
        let rows = shipment.parts.iter().map(Slice::len).sum();
        let strategy = self.strategy(rows, &prepared)?;
        let ledger = shipment.plan.ledger.clone().map(|entry| match &prepared.ledger {
            Some(found) => LedgerEntry { schema: found.schema.clone(), ..entry },
            None => entry,
        });
        let plan = WritePlan { strategy, prepared: Arc::clone(&prepared), ledger, ..shipment.plan.clone() };
        let started = Instant::now();
        let result = self.executor.write(shipment.parts, &plan).await;
        match &result {
            Ok(wrote) if plan.ending == Ending::Commit => {
                self.note(wrote, rows, shipment.parts.len(), started, &prepared);
            }
            Err(error) if error.broke_connection() => self.forget(), // perhaps another server now
            _ => {}
        }
        result
    }

    /// What the database said about the table, and whether it was asked just now.
    async fn prepared(&self, shape: &Shape) -> Result<(Arc<Prepared>, bool), WriteError> {
        if let Some(prepared) = self.known().prepared.clone() {
            return Ok((prepared, false));
        }
        let (prepared, ledger) = (Arc::clone(&self.known().before), self.ledger.clone());
        let plan = WritePlan { prepared, ledger, ..self.plan.clone() };
        let look = timeout(self.plan.answer_timeout, self.executor.prepare(shape, &plan));
        let silent = |_| Cause::new(Class::Connection, "no answer about the table in time");
        let prepared = Arc::new(look.await.map_err(silent).map_err(WriteError::failed)??);
        self.known().prepared = Some(Arc::clone(&prepared));
        Ok((prepared, true))
    }

    /// What is known of the table may no longer be so.
    fn forget(&self) {
        let mut known = self.known();
        if let Some(prepared) = known.prepared.take() {
            known.before = prepared;
        }
    }

    /// Whether the database calls two keys equal exactly when their values are; no where it cannot be asked.
    pub(crate) async fn has_exact_key(&self, shape: &Shape) -> bool {
        self.prepared(shape).await.is_ok_and(|(prepared, _)| prepared.exact_key)
    }

    /// Whether the database may drop a row without a word although its keys are exact, as far as is known.
    pub(crate) fn may_drop(&self) -> bool {
        self.known().prepared.as_ref().is_none_or(|prepared| prepared.sifted)
    }

    /// Whether it is known that the database compares keys otherwise than by their values.
    pub(crate) fn lost_exact_key(&self) -> bool {
        self.known().prepared.as_ref().is_some_and(|prepared| !prepared.exact_key)
    }

    /// As [`has_exact_key`](Self::has_exact_key), asked again while the failure is transient and the budget for retries lasts.
    pub(crate) async fn finds_exact_key(&self, shape: &Shape) -> bool {
        let started = Instant::now();
        for failed in 1.. {
            match self.prepared(shape).await {
                Ok((prepared, _)) => return prepared.exact_key,
                Err(error) if !error.is_transient() => return false,
                Err(_) => {}
            }
            let pause = {
                let jitter = &mut self.known().jitter;
                self.retry.pause(failed, started.elapsed(), jitter)
            };
            match pause {
                Some(pause) => tokio::time::sleep(pause).await,
                None => break,
            }
        }
        false
    }

    fn strategy(&self, rows: usize, prepared: &Prepared) -> Result<Option<Strategy>, WriteError> {
        let Some(forced) = self.forced else { return Ok(self.known().crossover.choose(rows, prepared)) };
        if prepared.allows(forced) || prepared.strategies().is_empty() {
            return Ok(Some(forced));
        }
        let why = prepared.refused().iter().find(|(strategy, _)| *strategy == forced);
        let why = why.map_or("the conflict rule or the database has no use for it", |(_, why)| why);
        let what = format!("the strategy {} cannot be used: {why}", forced.as_str());
        Err(WriteError::failed(Cause::new(Class::Schema, what)))
    }

    fn note(&self, wrote: &Wrote, rows: usize, parts: usize, started: Instant, prepared: &Prepared) {
        let Some(strategy) = wrote.strategy else { return };
        let mut known = self.known();
        let used = known.used.entry(strategy.as_str());
        let used = used.or_insert(StrategyUse { strategy, writes: 0, rows: 0 });
        used.writes += 1;
        used.rows += rows as u64;
        if parts == 1 && wrote.skipped.is_empty() {
            known.crossover.record(strategy, rows, started.elapsed(), prepared);
        }
    }

    /// What a failure means for the write: its end, or `None` for another try, after a pause.
    async fn judge(
        &self,
        shipment: &mut Shipment<'_>,
        error: WriteError,
        tally: &Tally,
    ) -> Option<Result<Wrote, WriteError>> {
        let (cause, row) = match error {
            WriteError::CommitUnknown { cause, token, wrote } => {
                match self.settle(token.as_deref()).await {
                    TxOutcome::Committed => return Some(Ok(*wrote)),
                    TxOutcome::Aborted => {}
                    _ if self.may_repeat(shipment) => shipment.doubt = Some((cause.clone(), *wrote)),
                    _ => return Some(Err(WriteError::CommitUnknown { cause, token, wrote })),
                }
                (cause, None) // what made the server abort, or that the link was lost
            }
            WriteError::Failed { row, cause } => (cause, row),
        };
        if self.is_stale(shipment, &cause) {
            self.forget();
            shipment.looked_up_again = true;
            return None;
        }
        shipment.failed += 1;
        if cause.class().scope() == Scope::Transient && !tally.tries_less(&cause) {
            let pause = {
                let jitter = &mut self.known().jitter;
                self.retry.pause(shipment.failed, shipment.started.elapsed(), jitter)
            };
            if let Some(pause) = pause {
                tokio::time::sleep(pause).await;
                return None;
            }
        }
        Some(Err(shipment.failed_by(row, cause)))
    }

    /// With the ledger, a repetition that finds its batch stored stores nothing.
    fn may_repeat(&self, shipment: &Shipment<'_>) -> bool {
        shipment.plan.ledger.is_some() || self.delivery == Delivery::AtLeastOnce
    }

    /// Whether the table may have changed since it was looked up; a server may show that as data that does not fit (22P03).
    fn is_stale(&self, shipment: &Shipment<'_>, cause: &Cause) -> bool {
        let suspect = cause.class() == Class::Schema || cause.code() == Some("22P03");
        suspect && !shipment.looked_up_again && self.known().prepared.is_some()
    }

    /// Asks what became of a transaction until there is an answer, for as long as retries may take.
    async fn settle(&self, token: Option<&TxToken>) -> TxOutcome {
        let Some(token) = token.filter(|_| self.delivery == Delivery::ExactlyOnce) else {
            return TxOutcome::Unknown;
        };
        let (patient, started) = (Retry { attempts: u32::MAX, ..self.retry }, Instant::now());
        for asked in 1.. {
            match timeout(self.plan.answer_timeout, self.executor.outcome(token)).await {
                Ok(Ok(TxOutcome::InProgress) | Err(_)) | Err(_) => {}
                Ok(Ok(outcome)) => return outcome,
            }
            let pause = {
                let jitter = &mut self.known().jitter;
                patient.pause(asked, started.elapsed(), jitter)
            };
            match pause {
                Some(pause) => tokio::time::sleep(pause).await,
                None => break,
            }
        }
        TxOutcome::Unknown
    }
}

impl Shipment<'_> {
    /// A batch that the ledger has although this very write could not know: it was this write that stored it.
    fn done(self, wrote: Wrote) -> Wrote {
        match self.doubt {
            Some((_, first)) if wrote.replayed => first,
            _ => wrote,
        }
    }

    /// The end without success. After a COMMIT in doubt nobody can say that nothing is stored.
    fn failed_by(&mut self, row: Option<usize>, cause: Cause) -> WriteError {
        match self.doubt.take() {
            Some((first, wrote)) => {
                WriteError::CommitUnknown { cause: first, token: None, wrote: Box::new(wrote) }
            }
            None => WriteError::Failed { row, cause },
        }
    }
}
