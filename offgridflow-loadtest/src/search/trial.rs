//! One run of a search, and what it says of its rate.

use std::time::Duration;

/// One run that a search asks for.
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct Trial {
    /// Operations a second to offer.
    pub rate: f64,
    /// For how long.
    #[cfg_attr(feature = "serde", serde(rename = "length_ns", with = "crate::report::nanos"))]
    pub length: Duration,
    /// How long to leave the target alone before it.
    #[cfg_attr(feature = "serde", serde(rename = "rest_ns", with = "crate::report::nanos"))]
    pub rest: Duration,
    /// The step it belongs to, from 1.
    pub step: usize,
    /// Which trial of that step it is, from 1: one that does not decide is followed by another one.
    pub attempt: usize,
    /// What for.
    pub purpose: Purpose,
}

/// What a step of a search is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum Purpose {
    /// To find a rate that meets the SLO, and one that does not.
    Bracket,
    /// To bring the two closer together.
    Narrow,
    /// To run the answer once more, for longer.
    Confirm,
}

/// What a trial says of its rate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum Leaning {
    /// The SLO is met, and would be again.
    Meets,
    /// It is not, and would not be.
    Breaks,
    /// Another run as long may come out the other way.
    Unsure,
    /// It was not the target that decided: the generator, its cap or its machine could not do more.
    Limited,
}

/// What was seen in a trial.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct Observation {
    /// What it says.
    pub leaning: Leaning,
    /// Why, in words; empty if the SLO is met.
    pub why: String,
    /// Answers a second within the plan.
    pub answered_per_sec: Option<f64>,
    /// The median response time.
    #[cfg_attr(feature = "serde", serde(rename = "p50_ns", with = "crate::report::opt_nanos"))]
    pub p50: Option<Duration>,
    /// The 95th percentile of the response time; at least that, if operations were never answered.
    #[cfg_attr(feature = "serde", serde(rename = "p95_ns", with = "crate::report::opt_nanos"))]
    pub p95: Option<Duration>,
}

impl Observation {
    /// The SLO is met.
    #[must_use]
    pub fn meets() -> Self {
        Self::new(Leaning::Meets, "")
    }

    /// It is not, for this reason.
    #[must_use]
    pub fn breaks(why: impl Into<String>) -> Self {
        Self::new(Leaning::Breaks, why)
    }

    /// It may come out either way, for this reason.
    #[must_use]
    pub fn unsure(why: impl Into<String>) -> Self {
        Self::new(Leaning::Unsure, why)
    }

    /// Something other than the target decided: this.
    #[must_use]
    pub fn limited(why: impl Into<String>) -> Self {
        Self::new(Leaning::Limited, why)
    }

    fn new(leaning: Leaning, why: impl Into<String>) -> Self {
        Self { leaning, why: why.into(), answered_per_sec: None, p50: None, p95: None }
    }
}
