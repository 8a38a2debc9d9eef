//! What a writer and a batched query set up alike: how rows are written, and how much of it may go wrong.

use crate::batch::flush::{Atomicity, Flusher};
use crate::batch::retry::Retry;
use crate::batch::shipment::Shipper;
use crate::delivery::{Delivery, LedgerEntry};
use crate::error::ConfigError;
use crate::executor::{BatchExecutor, Limits};
use crate::shape::{Conflict, Shape};
use crate::strategy::Strategy;
use crate::write::WritePlan;
use std::time::Duration;

/// Settings with their defaults.
#[derive(Debug, Clone)]
pub(super) struct Setup {
    pub(super) plan: WritePlan,
    pub(super) strategy: Option<Strategy>,
    pub(super) atomicity: Atomicity,
    pub(super) delivery: Delivery,
    pub(super) retry: Retry,
    pub(super) max_rejects: usize,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            plan: WritePlan::new(Conflict::Error),
            strategy: None,
            atomicity: Atomicity::default(),
            delivery: Delivery::default(),
            retry: Retry::default(),
            max_rejects: 1_000,
        }
    }
}

impl Setup {
    /// Looks for what cannot work with this shape on this database.
    pub(super) fn check(&self, shape: &Shape, limits: &Limits) -> Result<(), ConfigError> {
        limits.check(shape)?;
        self.plan.conflict.clause(shape)?;
        if self.retry.attempts == 0 {
            let (setting, value) = ("retry.attempts", "0".to_owned());
            return Err(ConfigError::Setting { setting, value, why: "the first try counts" });
        }
        let times = [
            (
                "lock_timeout",
                self.plan.lock_timeout,
                "databases count it in milliseconds, and zero would be for ever or never",
            ),
            ("answer_timeout", self.plan.answer_timeout, "no server answers within less than a millisecond"),
        ];
        match times.into_iter().find(|(_, time, _)| *time < Duration::from_millis(1)) {
            Some((setting, time, why)) => {
                Err(ConfigError::Setting { setting, value: format!("{time:?}"), why })
            }
            None => Ok(()),
        }
    }

    /// Named batches have their rows in `ledger`.
    pub(super) fn flusher<E: BatchExecutor>(self, executor: E, ledger: Option<LedgerEntry>) -> Flusher<E> {
        let Self { plan, strategy, atomicity, delivery, retry, max_rejects } = self;
        let shipper =
            Shipper::new(executor, plan, retry, delivery, seed()).force(strategy).with_ledger(ledger);
        Flusher { shipper, atomicity, max_rejects }
    }
}

/// Differs between processes and writers; only the spread of retries depends on it.
fn seed() -> u64 {
    use std::hash::{BuildHasher, RandomState};
    RandomState::new().hash_one(0)
}
