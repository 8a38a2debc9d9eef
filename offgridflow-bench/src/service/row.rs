use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use tokio::time::Instant;

use super::burn::Budget;
use super::deploy::{Comparison, DeployVerdict, Reference};
use super::window::Window;
use super::{BurnRates, Objective, Probe, ProbeError, SloVerdict};
use crate::stats::{least_samples, quantile_bounds};

/// Runs kept a probe.
const WINDOW_RUNS: usize = 4_096;

/// A probe as it was given.
pub(super) struct Entry {
    pub(super) probe: Arc<dyn Probe>,
    pub(super) objective: Objective,
    pub(super) is_control: bool,
}

/// What is known of one probe.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ProbeReport {
    /// The probe's name.
    pub name: String,
    /// Runs in the window, failed ones included.
    pub samples: usize,
    /// Runs since the start.
    pub runs: u64,
    /// Runs since the start that failed, panicked or were given up.
    pub failures: u64,
    /// What the last failed run said.
    pub last_error: Option<String>,
    /// Median of the window; `None` when it is empty or the median run failed.
    pub p50: Option<Duration>,
    /// The objective's quantile in the window; `None` below the samples it needs, or when it is a failed run.
    pub at_quantile: Option<Duration>,
    /// Where the quantile lies, at 95 % confidence; `None` below the samples that takes (72 for a p95), or where it reaches into failed runs.
    pub interval: Option<[Duration; 2]>,
    /// What it should take.
    pub objective: Objective,
    /// What the window says of the objective.
    pub verdict: SloVerdict,
    /// How fast the objective's budget of slow and failed runs is spent.
    pub burn: BurnRates,
    /// Rounds of all probes that came later because the machine was busy.
    pub put_off: u64,
    /// What all runs of this build say against those of an earlier one.
    pub deploy: DeployVerdict,
}

/// One probe, and what is known of it.
pub(super) struct Row {
    pub(super) probe: Arc<dyn Probe>,
    objective: Objective,
    window: Window,
    budget: Budget,
    runs: u64,
    failures: u64,
    last_error: Option<String>,
    of_build: Reference,
    comparison: Option<Comparison>,
    pub(super) is_control: bool,
}

impl Row {
    pub(super) fn new(entry: Entry, window: Duration, comparison: Option<Comparison>) -> Self {
        let Entry { probe, objective, is_control } = entry;
        Self {
            probe,
            objective,
            window: Window::new(WINDOW_RUNS, window),
            budget: Budget::new(objective.quantile, Instant::now()),
            runs: 0,
            failures: 0,
            last_error: None,
            of_build: Reference::default(),
            comparison,
            is_control,
        }
    }

    /// How long the runs of this build took.
    pub(super) fn reference(&self) -> Reference {
        self.of_build.clone()
    }

    pub(super) fn record(&mut self, outcome: Result<Duration, ProbeError>) {
        self.runs += 1;
        let took = outcome.as_ref().ok().copied();
        let now = Instant::now();
        self.window.push(now, took);
        self.budget.push(now, took.is_none_or(|took| took > self.objective.limit));
        self.of_build.push(took);
        if let Some(comparison) = &mut self.comparison {
            comparison.add(took);
        }
        if let Err(error) = outcome {
            self.failures += 1;
            self.last_error = Some(error.0);
        }
    }

    pub(super) fn report(&mut self, put_off: u64) -> ProbeReport {
        let now = Instant::now();
        self.window.forget_old(now);
        let sorted = self.window.sorted();
        let enough = sorted.len() >= least_samples(self.objective.quantile, 0.95);
        ProbeReport {
            name: self.probe.name().to_owned(),
            samples: sorted.len(),
            runs: self.runs,
            failures: self.failures,
            last_error: self.last_error.clone(),
            p50: at(&sorted, 0.5),
            at_quantile: enough.then(|| at(&sorted, self.objective.quantile)).flatten(),
            interval: interval(&sorted, self.objective.quantile),
            objective: self.objective,
            verdict: self.objective.judge(&sorted),
            burn: self.budget.rates(now),
            put_off,
            deploy: self.comparison.as_ref().map_or(DeployVerdict::NoReference, Comparison::verdict),
        }
    }
}

/// The sample at rank ⌈share · n⌉, if it is one that succeeded.
fn at(sorted: &[Duration], share: f64) -> Option<Duration> {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share of a length")]
    let rank = (share * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.saturating_sub(1)).copied().filter(|took| *took != Duration::MAX)
}

/// The samples that bound the quantile, each on its side with 97.5 % confidence.
fn interval(sorted: &[Duration], quantile: f64) -> Option<[Duration; 2]> {
    let bounds = quantile_bounds(sorted.len(), quantile, 0.975);
    let (low, high) = (sorted[bounds.lower?], sorted[bounds.upper?]);
    (high != Duration::MAX).then_some([low, high])
}
