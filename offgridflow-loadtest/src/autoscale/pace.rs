//! Policies: how far the number of replicas may go within a period.

use std::time::Duration;

use crate::autoscale::{Direction, Hpa, Limit, Policy, Select};

/// Changes of the past.
#[derive(Debug, Clone, Default)]
pub(super) struct Pace {
    added: Vec<(Duration, u32)>,
    removed: Vec<(Duration, u32)>,
}

impl Pace {
    pub(super) fn note(&mut self, at: Duration, from: u32, to: u32) {
        match to.checked_sub(from) {
            Some(0) => {}
            Some(more) => self.added.push((at, more)),
            None => self.removed.push((at, from - to)),
        }
    }

    /// Forgets what no period reaches any more.
    pub(super) fn forget(&mut self, now: Duration, hpa: &Hpa) {
        let periods = hpa.up.policies.iter().chain(&hpa.down.policies).map(|policy| policy.period);
        let longest = periods.max().unwrap_or_default();
        for changes in [&mut self.added, &mut self.removed] {
            changes.retain(|(at, _)| now - *at < longest);
        }
    }

    /// What is left of `desired` at `now`.
    pub(super) fn limit(&self, now: Duration, current: u32, desired: u32, hpa: &Hpa) -> u32 {
        if desired > current {
            let limit = self.most(now, current, &hpa.up).max(current); // a limit never turns the direction round
            return desired.min(limit).min(hpa.max);
        }
        let limit = self.least(now, current, &hpa.down).min(current);
        desired.max(limit).max(hpa.min)
    }

    fn most(&self, now: Duration, current: u32, up: &Direction) -> u32 {
        let limits = up.policies.iter().map(|policy| {
            let start = self.at_start(now, current, policy);
            match policy.limit {
                Limit::Pods(pods) => start + u64::from(pods),
                Limit::Percent(percent) => (start * (100 + u64::from(percent))).div_ceil(100),
            }
        });
        pods(match up.select {
            Select::Max => limits.max(),
            Select::Min => limits.min(),
            Select::Disabled => None,
        })
        .unwrap_or(current)
    }

    fn least(&self, now: Duration, current: u32, down: &Direction) -> u32 {
        let limits = down.policies.iter().map(|policy| {
            let start = self.at_start(now, current, policy);
            match policy.limit {
                Limit::Pods(pods) => start.saturating_sub(pods.into()),
                Limit::Percent(percent) => start * 100_u64.saturating_sub(percent.into()) / 100,
            }
        });
        pods(match down.select {
            Select::Max => limits.min(),
            Select::Min => limits.max(),
            Select::Disabled => None,
        })
        .unwrap_or(current)
    }

    /// How many there were when the period of `policy` began. A change exactly as old as the period no longer counts.
    fn at_start(&self, now: Duration, current: u32, policy: &Policy) -> u64 {
        let within = |changes: &[(Duration, u32)]| -> u64 {
            changes.iter().filter(|(at, _)| now - *at < policy.period).map(|(_, by)| u64::from(*by)).sum()
        };
        (u64::from(current) + within(&self.removed)).saturating_sub(within(&self.added))
    }
}

fn pods(limit: Option<u64>) -> Option<u32> {
    limit.map(|limit| u32::try_from(limit).unwrap_or(u32::MAX))
}
