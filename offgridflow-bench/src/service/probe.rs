use std::borrow::Cow;
use std::fmt;
use std::future::Future;

use async_trait::async_trait;

/// A small, safe, repeatable piece of the application's work that the service times.
///
/// The service runs one probe at a time, never two of the same at once, drops the future when its time is up, and goes on
/// when it fails or panics. A probe must leave the application as it found it, also when dropped half-way.
#[async_trait]
pub trait Probe: Send + Sync + 'static {
    /// What reports call it; unique in a service.
    fn name(&self) -> &str;

    /// Does the work once; the service measures how long it takes.
    ///
    /// # Errors
    /// When the work failed; the run then counts against the objective, whatever it took.
    async fn run(&self) -> Result<(), ProbeError>;
}

/// Why a probe's run failed: a sentence without secrets, since reports show it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ProbeError(pub String);

impl ProbeError {
    /// A failure in the words of `cause`.
    #[must_use]
    pub fn new(cause: impl fmt::Display) -> Self {
        Self(cause.to_string())
    }
}

/// A probe from a name and a closure.
#[must_use]
pub fn probe_fn<F, Fut>(name: impl Into<Cow<'static, str>>, run: F) -> impl Probe
where
    F: Fn() -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<(), ProbeError>> + Send + 'static,
{
    ProbeFn { name: name.into(), run }
}

struct ProbeFn<F> {
    name: Cow<'static, str>,
    run: F,
}

#[async_trait]
impl<F, Fut> Probe for ProbeFn<F>
where
    F: Fn() -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<(), ProbeError>> + Send + 'static,
{
    fn name(&self) -> &str {
        &self.name
    }

    async fn run(&self) -> Result<(), ProbeError> {
        (self.run)().await
    }
}
