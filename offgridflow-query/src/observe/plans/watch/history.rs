//! The latest durations of a statement, the plan that goes with them, and when to look again. Pure: fed with durations and plans.

use super::ranks::{self, Slower};
use crate::observe::plans::plan::Plan;
use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;

/// Durations kept a statement.
const RECENT: usize = 64;
/// A longer text is not kept with its plan.
const KEPT_BYTES: usize = 8 << 10;
/// Durations before which a statement has nothing that is typical.
const FEW: usize = 8;
/// So many executions in a row beyond twice what is typical, or below half of it, call for a look at the plan.
const STREAK: usize = 3;
/// Executions between two looks.
const PAUSE: u32 = 16;
/// The same once the database has refused to say.
const REFUSED_PAUSE: u32 = 4_096;
/// Numbers of executions after a new plan at which it is compared with the old one. Few looks: each has its chance of an error.
const LOOKS: [usize; 3] = [8, 16, 32];
const P: f64 = 0.01;
const TIMES: f64 = 2.0;

#[derive(Default)]
pub(crate) struct History {
    recent: VecDeque<u64>,
    typical: u64,  // median of `recent`, 0 while it is short
    streak: usize, // slow ones in a row
    fast: usize,   // fast ones in a row
    notes: u64,
    pause: u32,
    plan: Option<Arc<Plan>>,
    sql: Option<Box<str>>, // as it was when the plan was captured
    suspect: Option<Suspect>,
}

/// Without the text, which may hold values.
impl fmt::Debug for History {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("History")
            .field("typical_ns", &self.typical)
            .field("plan", &self.plan)
            .finish_non_exhaustive()
    }
}

/// A plan of a new shape, until it is known whether it is slower.
#[derive(Debug)]
struct Suspect {
    old: Arc<Plan>,
    before: Vec<u64>,
    after: Vec<u64>,
}

/// A plan that is slower than the one before it.
#[derive(Debug, Clone)]
pub(crate) struct Change {
    pub(crate) before: Arc<Plan>,
    pub(crate) after: Arc<Plan>,
    pub(crate) slower: Slower,
}

/// What one more duration calls for.
#[derive(Debug)]
pub(crate) enum Call {
    Nothing,
    Explain,
    Regressed(Box<Change>),
}

impl History {
    pub(crate) fn plan(&self) -> Option<&Arc<Plan>> {
        self.plan.as_ref()
    }

    pub(crate) fn recent_ns(&self) -> Vec<u64> {
        self.recent.iter().copied().collect()
    }

    /// The usual duration in nanoseconds, once there is one.
    pub(crate) fn typical(&self) -> Option<u64> {
        (self.typical > 0).then_some(self.typical)
    }

    pub(crate) fn note(&mut self, took_ns: u64) -> Call {
        let is_slow = self.typical > 0 && took_ns > self.typical.saturating_mul(2);
        let is_fast = took_ns.saturating_mul(2) < self.typical;
        self.streak = if is_slow { self.streak + 1 } else { 0 };
        self.fast = if is_fast { self.fast + 1 } else { 0 };
        self.pause = self.pause.saturating_sub(1);
        self.remember(took_ns);
        if let Some(change) = self.judge(took_ns) {
            return Call::Regressed(Box::new(change));
        }
        let first = self.plan.is_none() && self.recent.len() >= FEW;
        let suspicious = self.streak.max(self.fast) >= STREAK && self.suspect.is_none();
        if self.pause == 0 && (first || suspicious) {
            self.pause = PAUSE;
            return Call::Explain;
        }
        Call::Nothing
    }

    fn remember(&mut self, took_ns: u64) {
        if self.recent.len() == RECENT {
            self.recent.pop_front();
        }
        self.recent.push_back(took_ns);
        self.notes += 1;
        // What is typical rests while it is in doubt, or a slow streak would become typical before it is judged.
        let settled = self.streak == 0 && self.suspect.is_none();
        if self.recent.len() >= FEW
            && (self.typical == 0 || settled && self.notes.is_multiple_of(8) || self.streak >= RECENT)
        {
            self.typical = ranks::median(self.recent.make_contiguous()).unwrap_or(0);
        }
    }

    fn judge(&mut self, took_ns: u64) -> Option<Change> {
        let suspect = self.suspect.as_mut()?;
        suspect.after.push(took_ns);
        if !LOOKS.contains(&suspect.after.len()) {
            return None;
        }
        let slower = ranks::slower(&suspect.before, &suspect.after)
            .filter(|found| found.p < P && found.times >= TIMES);
        if slower.is_none() && suspect.after.len() < LOOKS[LOOKS.len() - 1] {
            return None;
        }
        let suspect = self.suspect.take()?;
        (self.streak, self.typical) = (0, ranks::median(&suspect.after).unwrap_or(0));
        Some(Change { before: suspect.old, after: Arc::clone(self.plan.as_ref()?), slower: slower? })
    }

    pub(crate) fn sql(&self) -> Option<&str> {
        self.sql.as_deref()
    }

    /// The database has no plan for it.
    pub(crate) fn refused(&mut self) {
        self.pause = REFUSED_PAUSE;
    }

    /// A plan was captured just now, for this text; whether it has another shape than the one before.
    pub(crate) fn explained(&mut self, plan: Plan, sql: Box<str>) -> bool {
        self.sql = Some(sql).filter(|sql| sql.len() <= KEPT_BYTES);
        let plan = Arc::new(plan.kept());
        let known = self.plan.replace(Arc::clone(&plan));
        let Some(old) = known.filter(|known| known.shape != plan.shape) else { return false };
        let all = self.recent.make_contiguous();
        let (before, after) = all.split_at(all.len() - self.streak.min(all.len()));
        if before.len() >= FEW {
            self.suspect = Some(Suspect { old, before: before.to_vec(), after: after.to_vec() });
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::plans::plan::PlanNode;
    use proptest::prelude::*;

    fn plan(operation: &str) -> Plan {
        Plan::new(PlanNode { operation: operation.into(), ..PlanNode::default() })
    }

    /// Runs `durations` against a database that answers `operation`; executions until the regression, if there is one.
    fn run(
        history: &mut History,
        durations: impl IntoIterator<Item = u64>,
        operation: &str,
    ) -> Option<usize> {
        for (n, ns) in durations.into_iter().enumerate() {
            match history.note(ns) {
                Call::Nothing => {}
                Call::Explain => {
                    history.explained(plan(operation), "".into());
                }
                Call::Regressed(change) => {
                    assert!(change.slower.times >= 2.0 && change.before.shape != change.after.shape);
                    return Some(n + 1);
                }
            }
        }
        None
    }

    fn noisy(middle: u64) -> impl Iterator<Item = u64> {
        (0..).map(move |n: u64| middle + (n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) % (middle / 2))
    }

    #[test]
    fn a_plan_that_became_slower_is_told_within_thirty_executions() {
        let mut history = History::default();
        assert_eq!(run(&mut history, noisy(100_000).take(500), "Index Scan"), None);
        let found = run(&mut history, noisy(900_000).take(30), "Seq Scan");
        assert!(found.is_some_and(|n| n <= 30), "{found:?}");
        assert_eq!(run(&mut history, noisy(900_000).take(500), "Seq Scan"), None, "once is enough");
    }

    #[test]
    fn a_plan_that_became_faster_is_looked_at_and_is_no_regression() {
        let mut history = History::default();
        run(&mut history, noisy(900_000).take(100), "Seq Scan");
        assert_eq!(run(&mut history, noisy(100_000).take(30), "Index Scan"), None);
        assert_eq!(history.plan().map(ToString::to_string).as_deref(), Some("Index Scan"));
    }

    #[test]
    fn a_new_plan_that_is_as_fast_is_no_regression() {
        let mut history = History::default();
        run(&mut history, noisy(100_000).take(100), "Index Scan");
        assert!(history.explained(plan("Bitmap Scan"), "".into()), "it is new, though");
        assert!(!history.explained(plan("Bitmap Scan"), "".into()), "and no longer the second time");
        assert_eq!(run(&mut history, noisy(100_000).take(500), "Bitmap Scan"), None);
    }

    #[test]
    fn a_slow_time_with_the_same_plan_is_no_regression() {
        let mut history = History::default();
        run(&mut history, noisy(100_000).take(100), "Index Scan");
        assert_eq!(run(&mut history, noisy(5_000_000).take(100), "Index Scan"), None);
        assert_eq!(run(&mut history, noisy(100_000).take(100), "Index Scan"), None);
    }

    proptest! {
        #[test]
        fn a_statement_whose_plan_stays_is_never_accused(durations in prop::collection::vec(1_000u64..1_000_000_000, 0..400)) {
            prop_assert_eq!(run(&mut History::default(), durations, "Index Scan"), None);
        }

        #[test]
        fn looks_are_rare(durations in prop::collection::vec(1_000u64..1_000_000_000, 64..400)) {
            let (mut history, mut looks) = (History::default(), 0);
            for &ns in &durations {
                looks += usize::from(matches!(history.note(ns), Call::Explain));
            }
            prop_assert!(looks <= durations.len() / PAUSE as usize + 1);
        }
    }
}
