//! N+1 as it was found in scopes, each place once.

use crate::observe::observer::Observer;
use crate::observe::scope::{RepeatedQuery, ScopeReport};
use std::cmp::Reverse;
use std::sync::{Mutex, PoisonError};

/// Places that are kept; of further ones the first are.
const KEPT: usize = 256;

/// A statement that is executed again and again in one scope, and in how many scopes.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Finding {
    /// The scope that was the worst.
    pub worst: RepeatedQuery,
    /// Scopes in which it was found.
    pub scopes: u64,
}

#[derive(Debug, Default)]
pub(super) struct Findings(Mutex<Vec<Finding>>);

impl Findings {
    pub(super) fn add(&self, report: &ScopeReport) {
        if report.repeated.is_empty() {
            return;
        }
        crate::telemetry::finding("n_plus_one", report.repeated.len() as u64);
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for found in &report.repeated {
            let same =
                |one: &&mut Finding| one.worst.fingerprint == found.fingerprint && one.worst.at == found.at;
            if let Some(known) = kept.iter_mut().find(same) {
                known.scopes += 1;
                if found.times > known.worst.times {
                    known.worst = found.clone();
                }
            } else if kept.len() < KEPT {
                kept.push(Finding { worst: found.clone(), scopes: 1 });
            }
        }
    }

    fn read(&self) -> Vec<Finding> {
        let mut found = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        found.sort_by_key(|one| Reverse((one.scopes, one.worst.times)));
        found
    }

    pub(super) fn clear(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

impl Observer {
    /// Keeps what a scope found, for [`findings`](Self::findings). [`QueryScope::run_for`](crate::QueryScope::run_for) and `QueryScopeLayer` (feature `tower`) do so by
    /// themselves.
    pub fn found(&self, report: &ScopeReport) {
        self.found_in().add(report);
    }

    /// N+1 by place, that of the most scopes first; at most 256.
    #[must_use]
    pub fn findings(&self) -> Vec<Finding> {
        self.found_in().read()
    }
}
