//! Outages of the shared tier: said once each, with their reason.

use std::error::Error;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::BackendError;

/// For so long the same reason is not said again, however often the tier comes and goes.
const QUIET: Duration = Duration::from_secs(60);

#[derive(Debug, Default)]
pub(super) struct Outages(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    reason: Option<String>, // of the present outage
    lately: bool,           // something failed since the last look for news ended
    said: Option<(Instant, String)>,
}

/// How a failure is to be told.
pub(super) struct Trouble {
    /// It begins an outage.
    pub(super) begins: bool,
    /// Its reason, if that was not said lately.
    pub(super) said: Option<String>,
}

impl Outages {
    /// The tier failed, or did not answer in time.
    pub(super) fn failed(&self, error: &BackendError) -> Trouble {
        let mut state = self.lock();
        state.lately = true;
        if state.reason.is_some() {
            return Trouble { begins: false, said: None };
        }
        let (now, reason) = (Instant::now(), reason(error));
        let lately = |(at, said): &(Instant, String)| *said == reason && now < *at + QUIET;
        let said = (!state.said.as_ref().is_some_and(lately)).then(|| reason.clone());
        if said.is_some() {
            state.said = Some((now, reason.clone()));
        }
        state.reason = Some(reason);
        Trouble { begins: true, said }
    }

    /// A look for news came to its end; whether that ends an outage. It does if the tier answered, took what had been deferred, and failed
    /// nothing else since the look before: one that can be read and not written is still out.
    pub(super) fn looked(&self, answered: bool, delivered: bool) -> bool {
        let mut state = self.lock();
        let failed = std::mem::take(&mut state.lately);
        let over = answered && delivered && !failed;
        over && state.reason.take().is_some()
    }

    pub(super) fn reason(&self) -> Option<String> {
        self.lock().reason.clone()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An error, and what it comes from.
fn reason(error: &BackendError) -> String {
    let (mut said, mut cause) = (error.to_string(), error.source());
    while let Some(one) = cause {
        said = format!("{said}: {one}");
        cause = one.source();
    }
    said
}
