//! What can go wrong before, beside and after a run.

use std::{fmt, path::PathBuf, time::Duration};

use crate::{outcome::TargetError, rate::MAX_SPAN};

/// A plan that cannot be run: the field, and what to write instead.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub struct ConfigError {
    /// The setting, as a path such as `load.timeout`.
    pub field: String,
    /// What to do about it.
    pub hint: String,
    /// The file it came from.
    pub file: Option<PathBuf>,
    /// The line of that file, counted from 1.
    pub line: Option<usize>,
}

impl ConfigError {
    /// An error about `field`, with advice.
    #[must_use]
    pub fn new(field: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { field: field.into(), hint: hint.into(), file: None, line: None }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.file, self.line) {
            (Some(file), Some(line)) => write!(f, "{}:{line}: ", file.display())?,
            (Some(file), None) => write!(f, "{}: ", file.display())?,
            (None, Some(line)) => write!(f, "line {line}: ")?,
            (None, None) => {}
        }
        if self.field.is_empty() {
            f.write_str(&self.hint)
        } else {
            write!(f, "{}: {}", self.field, self.hint)
        }
    }
}

/// A limit of this machine that the plan would hit.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{limit}: this plan needs {need}, there are {have}; {remedy}")]
#[non_exhaustive]
pub struct PreflightError {
    /// What is limited, for example `open files`.
    pub limit: String,
    /// What the machine allows.
    pub have: u64,
    /// What the plan needs.
    pub need: u64,
    /// How to raise the one or lower the other.
    pub remedy: String,
}

/// A report that could not be delivered. The run itself is over and its result is intact.
#[derive(Debug, thiserror::Error)]
#[error("{reporter} could not deliver the report")]
pub struct ReportError {
    /// Which reporter.
    pub reporter: &'static str,
    /// Why.
    #[source]
    pub source: Box<dyn std::error::Error + Send + Sync>,
}

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The plan cannot be run.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The plan is sound, but not on this machine.
    #[error(transparent)]
    Preflight(#[from] PreflightError),
    /// The target cannot be found.
    #[error(transparent)]
    Target(#[from] TargetError),
    /// The system refused a thread, a runtime or a timer.
    #[error("could not start the load generator: {0}")]
    Start(std::io::Error),
    /// Somebody stopped a search in the middle of a run.
    #[error("interrupted")]
    Interrupted,
    /// The part of the engine that conducts a run panicked, and said this: nothing of the run is left.
    #[error("the load generator failed, which is a fault of its own: {0}")]
    Engine(String),
}

/// Whether a duration is usable as a limit.
pub(crate) fn positive(field: &str, value: Duration) -> Result<(), ConfigError> {
    if value.is_zero() {
        return Err(ConfigError::new(field, "must be longer than zero, for example \"30s\""));
    }
    bounded(field, value)
}

/// Refuses what is longer than any run, and would overflow a clock.
pub(crate) fn bounded(field: &str, value: Duration) -> Result<(), ConfigError> {
    if value > MAX_SPAN {
        return Err(ConfigError::new(field, "may be at most 100 days, as long as the longest run"));
    }
    Ok(())
}

/// The first name that stands there a second time.
pub(crate) fn twice(names: &[String]) -> Option<&str> {
    let mut seen = std::collections::HashSet::new();
    names.iter().map(String::as_str).find(|name| !seen.insert(*name))
}
