//! How an operation ended.

use std::{borrow::Cow, fmt};

/// What kind of failure: one line of the report's error ledger for each kind and route.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FailKind {
    /// No connection or session could be opened.
    Connect,
    /// The connection ended before the answer did.
    Reset,
    /// The answer could not be understood.
    Protocol,
    /// An answer with a status that counts as failure.
    Status(u16),
    /// An answer that failed a check of this name. Names are few: never put data into them.
    Check(Cow<'static, str>),
    /// An answer that does not hold what a later step of its flow needs: `token from json.token`. Never the value.
    Extract(Cow<'static, str>),
    /// The workload's own error.
    App,
    /// Nothing within the time-out.
    Timeout,
    /// Never begun: as many operations as allowed were already in flight.
    Cap,
    /// Never begun: its deadline had passed, and the plan sheds what is late.
    Shed,
    /// This machine ran out of something: `open files`, `ports`.
    Local(&'static str),
    /// The workload panicked, or picked a route that it does not have.
    Panic,
    /// Still running when the run was stopped.
    Stopped,
}

impl fmt::Display for FailKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connect => f.write_str("connect"),
            Self::Reset => f.write_str("reset"),
            Self::Protocol => f.write_str("protocol"),
            Self::Status(status) => write!(f, "status {status}"),
            Self::Check(name) => write!(f, "check {name}"),
            Self::Extract(what) => write!(f, "extract {what}"),
            Self::App => f.write_str("error"),
            Self::Timeout => f.write_str("timeout"),
            Self::Cap => f.write_str("cap"),
            Self::Shed => f.write_str("shed"),
            Self::Local(what) => write!(f, "out of {what}"),
            Self::Panic => f.write_str("panic"),
            Self::Stopped => f.write_str("stopped"),
        }
    }
}

/// A failure with its kind and, for the ledger's first entry of that kind, an explanation.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{kind}: {message}")]
pub struct TargetError {
    /// The ledger line it counts in.
    pub kind: FailKind,
    /// What to tell the reader; only the first of a line is kept. Never put secrets into it.
    pub message: Cow<'static, str>,
    /// Whether the target answered. An answered failure is as slow as it was; an unanswered one counts in
    /// every percentile as slower than all answers (a censored observation).
    pub answered: bool,
}

impl TargetError {
    /// A failure without an answer: refused, reset, lost.
    #[must_use]
    pub fn unanswered(kind: FailKind, message: impl Into<Cow<'static, str>>) -> Self {
        Self { kind, message: message.into(), answered: false }
    }

    /// A failure that the target itself answered: an error status, a wrong body.
    #[must_use]
    pub fn answered(kind: FailKind, message: impl Into<Cow<'static, str>>) -> Self {
        Self { kind, message: message.into(), answered: true }
    }
}

/// How one operation ended.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome {
    /// Answered as it should be, with this much payload.
    Ok {
        /// Bytes of payload received.
        bytes: u64,
    },
    /// Failed; the error says whether an answer came.
    Failed(TargetError),
}

impl Outcome {
    /// Ended by the run itself, not by the target or a time-out.
    pub(crate) fn is_cut(&self) -> bool {
        matches!(self, Self::Failed(TargetError { kind: FailKind::Stopped, .. }))
    }

    /// Ended without an answer, and not for want of time: reset, refused, panicked.
    pub(crate) fn is_break(&self) -> bool {
        use FailKind::{Cap, Shed, Stopped, Timeout};
        matches!(self, Self::Failed(TargetError { kind, answered: false, .. })
            if !matches!(kind, Cap | Shed | Stopped | Timeout))
    }

    /// Answered well, nothing to count.
    #[must_use]
    pub fn ok() -> Self {
        Self::Ok { bytes: 0 }
    }

    /// An answer that failed the check `name`. Names are few: never put data into them.
    #[must_use]
    pub fn check(name: impl Into<Cow<'static, str>>) -> Self {
        Self::Failed(TargetError::answered(FailKind::Check(name.into()), ""))
    }

    /// Whether it counts as success.
    #[must_use]
    pub fn is_ok(&self) -> bool {
        matches!(self, Self::Ok { .. })
    }
}

impl From<TargetError> for Outcome {
    fn from(error: TargetError) -> Self {
        Self::Failed(error)
    }
}

/// What a workload closure may return: nothing, an [`Outcome`], or a `Result` of either with any error
/// that displays (counted as [`FailKind::App`], an answered failure).
pub trait IntoOutcome {
    /// The outcome it stands for.
    fn into_outcome(self) -> Outcome;
}

impl IntoOutcome for () {
    fn into_outcome(self) -> Outcome {
        Outcome::ok()
    }
}

impl IntoOutcome for Outcome {
    fn into_outcome(self) -> Outcome {
        self
    }
}

impl<T: IntoOutcome, E: fmt::Display + 'static> IntoOutcome for Result<T, E> {
    fn into_outcome(self) -> Outcome {
        match self {
            Ok(value) => value.into_outcome(),
            Err(error) => Outcome::Failed(target_error(&error)),
        }
    }
}

/// A `TargetError` is taken as it is; anything else becomes a message.
fn target_error<E: fmt::Display + 'static>(error: &E) -> TargetError {
    let any: &dyn std::any::Any = error;
    any.downcast_ref::<TargetError>()
        .cloned()
        .unwrap_or_else(|| TargetError::answered(FailKind::App, error.to_string()))
}
