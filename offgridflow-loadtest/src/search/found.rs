//! What a search found.

use std::{fmt, time::Duration};

use super::{Leaning, Observation, Purpose, Trial};
use crate::{
    report::text::short,
    units::{exact_duration, measured_rate},
};

/// What a search found. See [`Display`](fmt::Display) for the text.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct Found {
    /// The highest rate that meets the SLO, as well as can be told: in the middle, in ratio, of the two below, or of those between them that stayed
    /// open. `None` if none met it.
    pub rate: Option<f64>,
    /// The highest rate that was seen to meet it.
    pub at_least: Option<f64>,
    /// The lowest rate that was seen not to; `None` if all met it.
    pub below: Option<f64>,
    /// Whether [`at_least`](Self::at_least) met it again, for longer.
    pub confirmed: bool,
    /// What stood in the way of more.
    pub limited_by: LimitedBy,
    /// Every rate that was tried, in order.
    pub steps: Vec<Step>,
}

/// What stood in the way of a higher rate.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "snake_case", tag = "is", content = "why")
)]
#[non_exhaustive]
pub enum LimitedBy {
    /// The target: what it broke at [`below`](Found::below).
    Target(String),
    /// The load generator, its cap on operations in flight, or its machine: the target may well do more.
    Generator(String),
    /// Nothing: the highest rate that was to be tried met the SLO, or the steps were used up before one broke it.
    NotReached,
}

/// One rate that was tried.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct Step {
    /// Its number, from 1.
    pub number: usize,
    /// Operations a second.
    pub rate: f64,
    /// The runs it took, at least one; the last decides.
    pub trials: Vec<(Trial, Observation)>,
}

impl Step {
    /// What it came to.
    #[must_use]
    pub fn leaning(&self) -> Leaning {
        self.trials.last().map_or(Leaning::Unsure, |(_, seen)| seen.leaning)
    }
}

impl Found {
    /// How far off [`rate`](Self::rate) is at most, as a share of it; `None` without a limit on both sides.
    #[must_use]
    pub fn within(&self) -> Option<f64> {
        let (rate, low, high) = (self.rate?, self.at_least?, self.below?);
        Some((rate / low).max(high / rate) - 1.0)
    }

    /// The exit code a command should end with: 0 found and confirmed · 1 no rate meets the SLO · 3 undecided: the generator was the
    /// limit, none was reached, or the answer was not confirmed.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match (&self.limited_by, self.rate) {
            (LimitedBy::Target(_), None) => 1,
            (LimitedBy::Target(_), Some(_)) if self.confirmed => 0,
            _ => 3,
        }
    }

    /// As JSON: times in whole nanoseconds.
    ///
    /// # Errors
    /// Only if memory runs out.
    #[cfg(feature = "serde")]
    pub fn to_json(&self) -> Result<String, serde_json::Error> {
        serde_json::to_string_pretty(self)
    }
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "step          rate       for    answered       p50       p95")?;
        for step in &self.steps {
            step.trials.iter().try_for_each(|(trial, seen)| row(f, trial, seen))?;
        }
        let rate = |rate: f64| format!("{}/s", measured_rate(rate));
        match (self.rate, self.within()) {
            (Some(found), Some(within)) => {
                writeln!(f, "highest rate  {} ± {:.1} %: {}", rate(found), within * 100.0, self.between())?;
            }
            (Some(found), None) => writeln!(f, "highest rate  at least {}: {}", rate(found), self.between())?,
            (None, _) => writeln!(f, "highest rate  none: {}", self.between())?,
        }
        match &self.limited_by {
            LimitedBy::Target(why) => writeln!(f, "limited by    the target: {why}"),
            LimitedBy::Generator(why) => {
                writeln!(f, "limited by    the load generator, so the target may do more: {why}")
            }
            LimitedBy::NotReached => writeln!(f, "limited by    nothing up to there; the target may do more"),
        }
    }
}

impl Found {
    fn between(&self) -> String {
        let rate = |rate: f64| format!("{}/s", measured_rate(rate));
        let again = if self.confirmed { ", and again for longer" } else { ", which was not confirmed" };
        match (self.at_least, self.below) {
            (Some(low), Some(high)) => format!("{} met the SLO{again}, {} did not", rate(low), rate(high)),
            (Some(low), None) => format!("{} met the SLO{again}", rate(low)),
            (None, Some(high)) if matches!(self.limited_by, LimitedBy::Generator(_)) => {
                format!(
                    "{} was too much for the generator, and nothing that was tried below was met",
                    rate(high)
                )
            }
            (None, Some(high)) => {
                format!("{} did not meet the SLO, nor did anything that was tried below", rate(high))
            }
            (None, None) => "nothing could be told".into(),
        }
    }
}

/// One trial on a line, also while a search goes on.
pub(crate) fn row(f: &mut impl fmt::Write, trial: &Trial, seen: &Observation) -> fmt::Result {
    let time = |time: Option<Duration>| time.map_or_else(|| "-".into(), short);
    let answered =
        seen.answered_per_sec.map_or_else(|| "-".into(), |rate| format!("{}/s", measured_rate(rate)));
    let said = match seen.leaning {
        Leaning::Meets if trial.purpose == Purpose::Confirm => "met again",
        Leaning::Meets => "met",
        Leaning::Breaks => "not met: ",
        Leaning::Unsure => "open: ",
        Leaning::Limited => "limited: ",
    };
    writeln!(
        f,
        "{:>4}  {:>12}  {:>8}  {answered:>10}  {:>8}  {:>8}  {said}{}",
        trial.step,
        format!("{}/s", measured_rate(trial.rate)),
        exact_duration(trial.length),
        time(seen.p50),
        time(seen.p95),
        seen.why,
    )
}
