//! What a staircase found.

use std::{fmt, time::Duration};

use super::{Climbed, Scaling, fit::fit_scaling, knee::knee};
use crate::{histogram::as_f64, report::text::short, units::measured_rate};

/// What a staircase found. See [`Display`](fmt::Display) for the text.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct Staircase {
    /// Every level, from the fewest workers.
    pub levels: Vec<Level>,
    /// The law that fits them; `None` where fewer than four levels had a valid run.
    pub scaling: Option<Scaling>,
    /// The level from which on more workers bring little: how many workers.
    pub knee: Option<usize>,
}

/// The runs of one level.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct Level {
    /// How many workers.
    pub workers: usize,
    /// What came of its runs, those that were not valid left out.
    pub runs: Vec<Climbed>,
    /// Why others were not valid.
    pub spoiled: Vec<String>,
}

impl Level {
    pub(super) fn new(workers: usize) -> Self {
        Self { workers, runs: Vec::new(), spoiled: Vec::new() }
    }

    /// The median of its rates; zero without a valid run.
    #[must_use]
    pub fn answered_per_sec(&self) -> f64 {
        let mut rates: Vec<f64> = self.runs.iter().map(|run| run.answered_per_sec).collect();
        rates.sort_by(f64::total_cmp);
        let middle = rates.get(rates.len() / 2).zip(rates.get(rates.len().saturating_sub(1) / 2));
        middle.map_or(0.0, |(one, two)| 0.5 * (one + two))
    }

    /// The worst of its 95th percentiles.
    #[must_use]
    pub fn p95(&self) -> Option<Duration> {
        self.runs.iter().filter_map(|run| run.p95).max()
    }

    /// Whether every run met all thresholds, and there was one.
    #[must_use]
    pub fn meets(&self) -> bool {
        !self.runs.is_empty() && self.runs.iter().all(|run| run.meets)
    }
}

impl Staircase {
    pub(super) fn of(levels: Vec<Level>, seed: u64) -> Self {
        let runs: Vec<(usize, f64)> = levels
            .iter()
            .flat_map(|level| level.runs.iter().map(|run| (level.workers, run.answered_per_sec)))
            .collect();
        let seen: Vec<&Level> = levels.iter().filter(|level| !level.runs.is_empty()).collect();
        let points: Vec<_> =
            seen.iter().map(|level| (as_f64(level.workers as u64), level.answered_per_sec())).collect();
        let knee = knee(&points).map(|at| seen[at].workers);
        Self { scaling: fit_scaling(&runs, seed), knee, levels }
    }

    /// The exit code a command should end with: 0 fitted · 3 too few levels had a valid run.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        if self.scaling.is_some() { 0 } else { 3 }
    }
}

impl fmt::Display for Staircase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "workers     answered       p95  thresholds")?;
        for level in &self.levels {
            let p95 = level.p95().map_or_else(|| "-".into(), short);
            let met = match (level.runs.is_empty(), level.meets()) {
                (true, _) => level.spoiled.first().map_or("not run", |why| why).to_owned(),
                (false, true) => "met".into(),
                (false, false) => "broken".into(),
            };
            let rate = format!("{}/s", measured_rate(level.answered_per_sec()));
            writeln!(f, "{:>7}  {rate:>11}  {p95:>8}  {met}", level.workers)?;
        }
        let Some(law) = &self.scaling else {
            return writeln!(f, "scaling     nothing fits: fewer than four levels had a valid run");
        };
        let range = |interval: Option<(f64, f64)>, digits: usize| {
            interval.map_or_else(String::new, |(low, high)| format!(" ({low:.digits$}…{high:.digits$})"))
        };
        writeln!(
            f,
            "scaling     λ {}/s, α {:.4}{}, β {:.6}{}, R² {:.3}",
            measured_rate(law.lambda),
            law.alpha,
            range(law.alpha_interval, 4),
            law.beta,
            range(law.beta_interval, 6),
            law.r_squared
        )?;
        match (law.peak_workers, law.peak_per_sec) {
            (Some(workers), Some(rate)) => writeln!(
                f,
                "peak        {}/s at {workers:.0} workers{}; more of them get less",
                measured_rate(rate),
                range(law.peak_interval, 0)
            )?,
            (None, Some(rate)) => writeln!(f, "peak        {}/s, however many workers", measured_rate(rate))?,
            _ => writeln!(f, "peak        none on these levels: it grows as its workers do")?,
        }
        match self.knee {
            Some(workers) => writeln!(f, "knee        {workers} workers; more bring little"),
            None => writeln!(f, "knee        none on these levels"),
        }
    }
}
