//! A task that asks for the plans of statements which run for the first time, or slower than they used to.

use super::budget::{PlanBudget, Purse};
use super::explain::{Explain, ExplainFor};
use super::history::Change;
use super::ranks::Slower;
use crate::error::{Cause, Class, Scope};
use crate::observe::IsConnection;
use crate::observe::entry::Entry;
use crate::observe::fingerprint::Fingerprint;
use crate::observe::observer::{Inner, Observer};
use crate::observe::plans::plan::{Plan, PlanDiff};
use crate::pool::{Acquire, ConnectionPool, Lane};
use std::any::Any;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, SystemTime};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};

/// Questions that wait for the watcher; further ones are dropped and counted.
const QUEUE: usize = 64;
/// Longest wait for a connection, and longest time for a plan beyond the database's own limits.
const PATIENCE: Duration = Duration::from_secs(2);
const REGRESSIONS: usize = 64;

/// A statement whose plan is wanted.
pub(crate) struct Wanted {
    pub(crate) entry: Arc<Entry>,
    pub(crate) sql: Box<str>,
    pub(crate) values: Option<Box<dyn Any + Send>>, // the arguments of the database that is watched
}

/// A statement that has a new plan and is slower since then.
#[derive(Debug, Clone)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct PlanRegression {
    /// When it was found, by the system's clock.
    pub found: SystemTime,
    /// The statement.
    pub fingerprint: Fingerprint,
    /// Its normal form.
    pub text: String,
    /// The plan that was fast.
    pub before: Plan,
    /// The plan that is slow.
    pub after: Plan,
    /// What changed, line by line.
    pub diff: PlanDiff,
    /// How much slower, and how sure that is.
    pub slower: Slower,
}

/// What the watcher did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct PlanStats {
    /// Plans captured.
    pub captured: u64,
    /// Statements that have no plan, or whose plan was refused (rights, a table of one session).
    pub refused: u64,
    /// Questions that were not asked because the [budget](PlanBudget) was spent or no connection came free, or not answered because the database was busy (a
    /// lock, a time-out): they are asked again.
    pub postponed: u64,
    /// Time spent asking, in nanoseconds.
    pub spent_ns: u64,
}

/// The watched side of an observer.
#[derive(Debug, Default)]
pub(crate) struct Watch {
    active: AtomicBool,
    watchers: AtomicU64, // made so far: the last one is in charge
    queue: Mutex<Option<mpsc::Sender<Wanted>>>,
    total_ns: AtomicU64, // of all statements since watching began
    captured: AtomicU64,
    refused: AtomicU64,
    postponed: AtomicU64,
    spent_ns: AtomicU64,
    regressions: Mutex<VecDeque<PlanRegression>>,
}

impl std::fmt::Debug for Wanted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Wanted").field("statement", &self.entry.text).finish_non_exhaustive()
    }
}

impl Watch {
    pub(crate) fn is_active(&self) -> bool {
        self.active.load(Relaxed)
    }

    pub(crate) fn took(&self, took: Duration) {
        self.total_ns.fetch_add(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX), Relaxed);
    }

    /// Asks for a plan, without waiting.
    pub(crate) fn want(&self, wanted: Wanted) {
        let queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        if queue.as_ref().is_some_and(|queue| queue.try_send(wanted).is_err()) {
            self.postponed.fetch_add(1, Relaxed);
        }
    }

    pub(crate) fn regressed(&self, entry: &Entry, change: Change) {
        let Some(fingerprint) = entry.fingerprint else { return };
        let diff = change.before.diff(&change.after);
        crate::telemetry::plan_regressed(&entry.text, change.slower.times);
        let regression = PlanRegression {
            found: SystemTime::now(),
            fingerprint,
            text: entry.text.clone(),
            before: (*change.before).clone(),
            after: (*change.after).clone(),
            diff,
            slower: change.slower,
        };
        let mut ring = self.regressions.lock().unwrap_or_else(PoisonError::into_inner);
        if ring.len() >= REGRESSIONS {
            ring.pop_front();
        }
        ring.push_back(regression);
    }

    /// The latest first.
    pub(crate) fn regressions(&self) -> Vec<PlanRegression> {
        self.regressions.lock().unwrap_or_else(PoisonError::into_inner).iter().rev().cloned().collect()
    }

    pub(crate) fn clear(&self) {
        self.regressions.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    pub(crate) fn stats(&self) -> PlanStats {
        PlanStats {
            captured: self.captured.load(Relaxed),
            refused: self.refused.load(Relaxed),
            postponed: self.postponed.load(Relaxed),
            spent_ns: self.spent_ns.load(Relaxed),
        }
    }
}

/// Watches the plans of an observer's statements until it is dropped. Made by [`Observer::watch_plans`].
#[derive(Debug)]
#[must_use = "dropped, it watches no more"]
pub struct PlanWatcher {
    inner: Weak<Inner>,
    number: u64,
    task: JoinHandle<()>,
}

impl Drop for PlanWatcher {
    fn drop(&mut self) {
        self.task.abort();
        if let Some(inner) = self.inner.upgrade()
            && inner.plans.watch.watchers.load(Relaxed) == self.number
        {
            inner.plans.watch.active.store(false, Relaxed);
            *inner.plans.watch.queue.lock().unwrap_or_else(PoisonError::into_inner) = None;
        }
    }
}

impl Observer {
    /// From now on, asks `pool` for the plan of each statement once it has run eight times, and again when it takes more than twice or less than half its usual
    /// time three times in a row. A statement that has a new plan and is at least twice as slow (p < 0.01 by ranks) becomes a
    /// [`PlanRegression`].
    ///
    /// The question is asked on a connection of its own in the background lane, read-only, without running the statement (unless `budget`
    /// says [`analyze`](PlanBudget::analyze)), and within `budget`. The values of one execution go with it where an [executor](Self::on) sees them; else PostgreSQL is asked for a plan for any
    /// values. A second watcher takes the place of the first.
    ///
    /// ```
    /// # use offgridflow_query::{Acquire, ConnectionPool, GateConfig, Observer, PlanBudget, SqliteGate, sqlx};
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let (gate, observer) = (SqliteGate::from_url("sqlite::memory:", GateConfig::default())?, Observer::new("sqlite"));
    /// let _watcher = observer.watch_plans(gate.clone(), PlanBudget::default());
    /// for id in 0..9 {
    ///     let mut conn = observer.acquire(&gate, Acquire::default()).await?;
    ///     sqlx::query("SELECT name FROM sqlite_schema WHERE rootpage = ?").bind(id).fetch_all(conn.on()).await?;
    /// }
    /// # while observer.plan_stats().captured == 0 { tokio::task::yield_now().await; }
    /// let plan = observer.plan(observer.top(1)[0].fingerprint.unwrap()).expect("captured");
    /// assert_eq!(plan.to_string(), "QUERY PLAN\n  SCAN on sqlite_schema");
    /// # Ok(()) }
    /// ```
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn watch_plans<P, C>(&self, pool: P, budget: PlanBudget) -> PlanWatcher
    where
        P: ConnectionPool<Conn = C>,
        C: IsConnection,
        C::Database: Explain,
    {
        let (sender, receiver) = mpsc::channel(QUEUE);
        let inner = Arc::downgrade(&self.inner);
        let task = tokio::spawn(work(receiver, inner.clone(), pool, budget));
        let watch = &self.inner.plans.watch;
        *watch.queue.lock().unwrap_or_else(PoisonError::into_inner) = Some(sender);
        watch.active.store(true, Relaxed);
        PlanWatcher { inner, number: watch.watchers.fetch_add(1, Relaxed) + 1, task }
    }
}

async fn work<P, C>(mut queue: mpsc::Receiver<Wanted>, inner: Weak<Inner>, pool: P, budget: PlanBudget)
where
    P: ConnectionPool<Conn = C>,
    C: IsConnection,
    C::Database: Explain,
{
    let (began, mut purse) = (Instant::now(), Purse::new(budget));
    while let Some(wanted) = queue.recv().await {
        let Some(inner) = inner.upgrade() else { return };
        let watch = &inner.plans.watch;
        let total = Duration::from_nanos(watch.total_ns.load(Relaxed));
        if !purse.take(began.elapsed(), total) {
            watch.postponed.fetch_add(1, Relaxed);
            continue;
        }
        let asked = Instant::now();
        let (entry, sql) = (Arc::clone(&wanted.entry), wanted.sql.clone());
        let counter = match answer(&pool, wanted, budget.analyze).await {
            Answer::Plan(plan) => {
                let changed = entry.plans.explained(*plan, sql);
                crate::telemetry::plan_captured(&entry.summary, changed);
                &watch.captured
            }
            Answer::Refused => {
                entry.plans.refused();
                &watch.refused
            }
            Answer::NotNow => &watch.postponed,
        };
        counter.fetch_add(1, Relaxed);
        let took = asked.elapsed();
        purse.spend(took);
        watch.spent_ns.fetch_add(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX), Relaxed);
    }
}

enum Answer {
    Plan(Box<Plan>),
    Refused,
    NotNow,
}

async fn answer<P, C>(pool: &P, wanted: Wanted, analyze: bool) -> Answer
where
    P: ConnectionPool<Conn = C>,
    C: IsConnection,
    C::Database: Explain,
{
    let Ok(mut guard) = pool.acquire(Acquire::lane(Lane::Background).within(PATIENCE)).await else {
        return Answer::NotNow;
    };
    guard.mark_broken(); // until it is outside its transaction again
    let values = wanted.values.and_then(|values| values.downcast().ok()).map(|values| *values);
    match timeout(PATIENCE, ask::<C::Database>(&mut guard, &wanted.sql, values, analyze)).await {
        Ok(Ok(plan)) => {
            guard.mark_whole();
            Answer::Plan(Box::new(plan))
        }
        Ok(Err(cause)) => {
            if cause.class() != Class::Connection {
                guard.mark_whole();
            }
            match cause.class().scope() {
                Scope::Transient => Answer::NotNow,
                _ => Answer::Refused,
            }
        }
        Err(_) => Answer::NotNow,
    }
}

/// Measured where that is wished and can be done, else only planned.
async fn ask<DB: Explain>(
    conn: &mut DB::Connection,
    sql: &str,
    values: Option<DB::Arguments>,
    analyze: bool,
) -> Result<Plan, Cause> {
    if analyze {
        match DB::explain(conn, sql, values.clone(), ExplainFor::ItsRun).await {
            Err(cause) if cause.class() != Class::Connection => {} // no SELECT, or it takes longer than 1 s
            told => return told,
        }
    }
    DB::explain(conn, sql, values, ExplainFor::ItsValues).await
}

impl Observer {
    /// The plan of a statement, as of when it was last looked at.
    #[must_use]
    pub fn plan(&self, statement: Fingerprint) -> Option<Plan> {
        self.inner.table.get(statement)?.plans.plan()
    }

    /// The text of a statement, if it is no longer than 8 KiB, as it was when its plan was captured: what an [`Advisor`](crate::Advisor) takes. Whatever was written into it
    /// is in it, so it is not for logs.
    #[must_use]
    pub fn sql(&self, statement: Fingerprint) -> Option<String> {
        self.inner.table.get(statement)?.plans.sql()
    }

    /// Statements that have a new plan and are slower since then; the latest first, at most 64.
    #[must_use]
    pub fn plan_regressions(&self) -> Vec<PlanRegression> {
        self.inner.plans.watch.regressions()
    }

    /// What the watcher of plans did.
    #[must_use]
    pub fn plan_stats(&self) -> PlanStats {
        self.inner.plans.watch.stats()
    }
}
