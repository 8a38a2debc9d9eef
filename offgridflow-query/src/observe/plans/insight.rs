//! Everything an observer knows, for people: as text, as JSON, as one page.

use crate::observe::findings::Finding;
use crate::observe::fingerprint::Fingerprint;
use crate::observe::observer::Observer;
use crate::observe::plans::plan::Plan;
use crate::observe::plans::watch::{PlanRegression, PlanStats, SlowStatement};
use crate::observe::stats::{ObserverReport, StatementStats};
use crate::pool::PoolStatus;
use std::fmt;

/// Statements whose plans and latest durations are part of an [`Insight`].
const DETAILED: usize = 20;

/// Everything an [`Observer`] knows at one instant, with what was added to it. Displayed as text; JSON with the feature `serde`;
/// [`html`](Self::html) makes a page.
#[derive(Debug, Clone)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Insight {
    /// The figures of the statements.
    pub statements: ObserverReport,
    /// The statements with the largest total time, with their latest durations and plans.
    pub detailed: Vec<Detail>,
    /// N+1.
    pub findings: Vec<Finding>,
    /// Statements that became slower with a new plan, the latest first.
    pub regressions: Vec<PlanRegression>,
    /// The latest slow executions.
    pub slow: Vec<SlowStatement>,
    /// What was asked of the database to know this.
    pub plans: PlanStats,
    /// Pools that were [added](Self::with_pool).
    pub pools: Vec<NamedPool>,
    /// Advice that was [added](Self::with_advice).
    pub advice: Vec<StatementAdvice>,
}

/// One statement in detail.
#[derive(Debug, Clone)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Detail {
    /// The statement.
    pub fingerprint: Fingerprint,
    /// Its latest durations in nanoseconds, the oldest first, at most 64. None are kept where neither plans nor slow statements are watched.
    pub recent_ns: Vec<u64>,
    /// Its plan, if it was captured.
    pub plan: Option<Plan>,
}

/// A pool and its name.
#[derive(Debug, Clone)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct NamedPool {
    /// The name.
    pub name: String,
    /// Its figures.
    pub status: PoolStatus,
}

/// Advice for one statement.
#[derive(Debug, Clone)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct StatementAdvice {
    /// The statement in its normal form.
    pub text: String,
    /// What was tried.
    pub advice: crate::observe::plans::advise::IndexAdvice,
}

impl Observer {
    /// Everything that is known now.
    ///
    /// ```
    /// # use offgridflow_query::Observer;
    /// let observer = Observer::new("sqlite");
    /// observer.start("SELECT name FROM sites WHERE id = ?").succeeded(1);
    /// let insight = observer.insight();
    /// assert!(insight.to_string().contains("select name from sites where id = ?"));
    /// assert!(insight.html().starts_with("<!doctype html>"));
    /// ```
    #[must_use]
    pub fn insight(&self) -> Insight {
        let statements = self.report();
        let first = statements.statements.iter().take(DETAILED).filter_map(|stats| stats.fingerprint);
        let detailed = first
            .map(|one| Detail { fingerprint: one, recent_ns: self.recent_ns(one), plan: self.plan(one) })
            .collect();
        Insight {
            statements,
            detailed,
            findings: self.findings(),
            regressions: self.plan_regressions(),
            slow: self.slow_statements(),
            plans: self.plan_stats(),
            pools: Vec::new(),
            advice: Vec::new(),
        }
    }
}

impl Insight {
    /// Adds a pool's figures.
    #[must_use]
    pub fn with_pool(mut self, name: impl Into<String>, status: PoolStatus) -> Self {
        self.pools.push(NamedPool { name: name.into(), status });
        self
    }

    /// Adds what an [`Advisor`](crate::Advisor) said of a statement.
    #[must_use]
    pub fn with_advice(
        mut self,
        sql: &str,
        advice: impl IntoIterator<Item = crate::observe::plans::advise::IndexAdvice>,
    ) -> Self {
        let text = crate::observe::fingerprint::normalize(sql);
        self.advice.extend(advice.into_iter().map(|advice| StatementAdvice { text: text.clone(), advice }));
        self
    }

    /// One page that asks nothing of anybody: no script, no address but its own.
    #[must_use]
    pub fn html(&self) -> String {
        super::page::of(self)
    }

    pub(super) fn detail(&self, stats: &StatementStats) -> Option<&Detail> {
        self.detailed.iter().find(|detail| Some(detail.fingerprint) == stats.fingerprint)
    }
}

/// Milliseconds with as many digits as say something.
pub(super) fn ms(ns: u64) -> String {
    let ms = ns as f64 / 1e6;
    match ms {
        _ if ms >= 100.0 => format!("{ms:.0}"),
        _ if ms >= 1.0 => format!("{ms:.1}"),
        _ => format!("{ms:.3}"),
    }
}

impl fmt::Display for Insight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{:>9} {:>10} {:>9} {:>9} {:>8} {:>10}  statement",
            "calls", "total ms", "p50 ms", "p95 ms", "errors", "rows"
        )?;
        let other = (self.statements.other.calls > 0).then_some(&self.statements.other);
        for stats in self.statements.statements.iter().take(DETAILED).chain(other) {
            let latency = &stats.latency;
            let (total, p50, p95) = (ms(latency.sum_ns), ms(latency.p50_ns), ms(latency.p95_ns));
            writeln!(
                f,
                "{:>9} {total:>10} {p50:>9} {p95:>9} {:>8} {:>10}  {}",
                stats.calls, stats.errors, stats.rows, stats.text
            )?;
        }
        for finding in &self.findings {
            writeln!(f, "\nN+1 in {} scopes: {}", finding.scopes, finding.worst)?;
        }
        for one in &self.regressions {
            let (times, p) = (one.slower.times, one.slower.p);
            writeln!(
                f,
                "\nslower with a new plan, {times:.1} times (p = {p:.1e}): {}\n{}",
                one.text, one.diff
            )?;
        }
        for one in &self.advice {
            writeln!(f, "\nadvice for {}\n  {}", one.text, one.advice)?;
        }
        for NamedPool { name, status } in &self.pools {
            let (open, most, waiting) = (status.open, status.max_open, status.waiting);
            writeln!(
                f,
                "\npool {name}: {open} of {most} open, {waiting} waiting, p95 of waits {} ms",
                ms(status.wait.p95_ns)
            )?;
        }
        Ok(())
    }
}
