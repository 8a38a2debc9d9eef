//! What one process of several leaves for the merge.

mod merge;
mod record;
mod terms;

use std::time::{SystemTime, UNIX_EPOCH};

pub use merge::{MergeError, merge};

use crate::{
    part::Part,
    plan::Plan,
    report::{Ending, Measured},
    route::RouteTable,
};
use record::Record;
use terms::Terms;

/// The schema of [`Bundle::to_json`].
pub(crate) const SCHEMA: &str = "offgridflow-loadtest.bundle/1";

/// What one shard of a load test measured, to the last counter: for [`merge`], which adds all of them up and judges once.
///
/// Percentiles of a run cannot be had from those of its parts (their worst is not the whole's, nor is their mean). So a bundle holds histograms, and what the
/// shard knows of its own clock and its own lag.
#[derive(Debug, serde::Serialize, serde::Deserialize)]
pub struct Bundle {
    schema: String,
    shard: Part,
    terms: Terms,
    /// When it began, by its own wall clock, in nanoseconds since 1970.
    began_ns: i128,
    /// How much later than agreed.
    late_ns: u64,
    /// How far its wall clock is ahead of a clock that all shards see, if it could look at one.
    clock_ahead_ns: Option<i64>,
    record: Record,
}

impl Bundle {
    pub(crate) fn of(plan: &Plan, names: &RouteTable, measured: &Measured) -> Self {
        let began = measured.began;
        let since = |instant: SystemTime| match instant.duration_since(UNIX_EPOCH) {
            Ok(since) => i128::try_from(since.as_nanos()).unwrap_or(i128::MAX),
            Err(before) => -i128::try_from(before.duration().as_nanos()).unwrap_or(i128::MAX),
        };
        Self {
            schema: SCHEMA.into(),
            shard: plan.part,
            terms: Terms::of(plan),
            began_ns: since(began.at),
            late_ns: u64::try_from(began.late.as_nanos()).unwrap_or(u64::MAX),
            clock_ahead_ns: None,
            record: Record::of(plan, names, measured),
        }
    }

    /// Which shard, from 0.
    #[must_use]
    pub fn shard(&self) -> u64 {
        self.shard.index
    }

    /// Of how many.
    #[must_use]
    pub fn of_shards(&self) -> u64 {
        self.shard.of
    }

    /// How its run ended.
    #[must_use]
    pub fn ending(&self) -> Ending {
        self.record.ending
    }

    /// With how far this machine's wall clock is ahead of a clock that all shards see, such as that of the volume which bundles are written to.
    /// Without it, [`merge`] takes all clocks to be right.
    #[must_use]
    pub fn clock_ahead_ns(mut self, ahead: i64) -> Self {
        self.clock_ahead_ns = Some(ahead);
        self
    }

    /// When it began, by the clock that all shards see, as far as is known.
    fn began(&self) -> i128 {
        self.began_ns - i128::from(self.clock_ahead_ns.unwrap_or(0))
    }

    /// As JSON.
    ///
    /// # Errors
    /// Only if memory runs out.
    pub fn to_json(&self) -> Result<String, serde_json::Error> {
        serde_json::to_string(self)
    }

    /// Reads one back.
    ///
    /// # Errors
    /// Text that is not a bundle of this schema, or whose counts do not add up.
    pub fn from_json(json: &str) -> Result<Self, serde_json::Error> {
        let bundle: Self = serde_json::from_str(json)?;
        if bundle.schema == SCHEMA {
            return Ok(bundle);
        }
        let message = format!("this is a bundle of schema `{}`, not `{SCHEMA}`", bundle.schema);
        Err(serde::de::Error::custom(message))
    }
}
