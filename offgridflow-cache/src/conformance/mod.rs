//! What every shared tier has to keep, as checks to run over one's own.
//!
//! ```
//! use {offgridflow_cache::{InProcess, conformance}, std::sync::Arc};
//!
//! # #[tokio::main(flavor = "current_thread", start_paused = true)] async fn main() {
//! let report = conformance::run(Arc::new(InProcess::new())).await;
//! assert!(report.passed(), "{report}");
//! # }
//! ```

mod batches;
mod calls;
mod leases;
mod news;
mod races;
mod removals;
mod space;
mod values;

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::time::timeout;

use self::space::Space;
use crate::CacheBackend;
use crate::random::mix;

/// A check that takes longer has found a store that hangs.
const LIMIT: Duration = Duration::from_secs(20);

type Checking<'a> = Pin<Box<dyn Future<Output = Result<(), Violation>> + Send + 'a>>;

/// One thing that a shared tier has to keep.
#[derive(Clone, Copy)]
pub struct Check {
    /// Its name.
    pub name: &'static str,
    /// What is kept, in a sentence.
    pub promise: &'static str,
    run: for<'a> fn(&'a Space) -> Checking<'a>,
}

impl fmt::Debug for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Check").field("name", &self.name).finish_non_exhaustive()
    }
}

/// How a store broke a promise.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Violation(String);

/// What became of each check.
#[derive(Debug, Clone)]
#[must_use = "a report may hold violations"]
pub struct Report {
    /// The store's name.
    pub store: &'static str,
    /// Each check, with what was wrong.
    pub outcomes: Vec<(Check, Result<(), Violation>)>,
}

impl Report {
    /// Whether every check passed.
    #[must_use]
    pub fn passed(&self) -> bool {
        self.outcomes.iter().all(|(_, outcome)| outcome.is_ok())
    }

    /// The names of the checks that failed.
    pub fn failed(&self) -> impl Iterator<Item = &'static str> {
        self.outcomes.iter().filter(|(_, outcome)| outcome.is_err()).map(|(check, _)| check.name)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let failed = self.failed().count();
        writeln!(
            f,
            "{}: {} of {} checks passed",
            self.store,
            self.outcomes.len() - failed,
            self.outcomes.len()
        )?;
        for (check, outcome) in &self.outcomes {
            if let Err(violation) = outcome {
                writeln!(f, "  {}: {violation} ({})", check.name, check.promise)?;
            }
        }
        Ok(())
    }
}

/// Lists checks: each is an async function of its module, named as it is.
macro_rules! checks {
    ($($module:ident { $($name:ident: $promise:literal,)+ })+) => {
        &[$($(Check { name: stringify!($name), promise: $promise, run: |space| Box::pin($module::$name(space)) },)+)+]
    };
}

/// All checks.
pub const CHECKS: &[Check] = checks! {
    leases {
        one_lease_at_a_time: "while a lease lives, others are told that the key is busy",
        fills_need_the_lease_of_their_key: "a fill with another's lease is fenced, and nothing is stored",
        fills_by_nobody_are_fenced: "a fill with a token that was never given is fenced",
        leases_are_used_once: "a lease that filled does not fill again",
        leases_end: "a lease that ran out is given to the next, and does not fill",
        leases_taken_over_do_not_fill: "of two who hold a lease because one was too slow, only the second fills",
        releases_free_the_key: "a lease that is given back goes to the next who asks",
        tokens_are_not_used_again: "no two leases of a key have the same token",
    }
    values {
        values_are_found: "what was filled is read",
        values_expire: "a value ends with its ttl",
        stale_is_not_fresh: "a value kept for a grace after its ttl is not fresh any more, if it is told at all",
        stale_values_are_leased_once: "one of those who find a stale value gets the lease to replace it",
        graces_end: "a value ends with its grace",
        early_asks_are_leased_once: "one of those who ask for a fresh value early gets the lease to replace it",
        what_is_left_shrinks: "a value says how long it is still valid",
        times_may_be_long: "a lease, a ttl and a grace may be as long as a `Duration`, and are then long",
        frames_come_back_whole: "any bytes, none, and a mebibyte of them come back as they were",
        tags_come_back: "a value comes back with its tags",
        keys_are_bytes: "keys that differ in any byte are different keys",
        namespaces_are_apart: "the same key in two namespaces is two keys",
    }
    removals {
        removed_keys_are_gone: "a removed key is not read any more",
        removed_keys_are_gone_in_every_schema: "who removes a key removes what nodes of another schema have of it, and their leases",
        removed_keys_lose_their_leases: "a lease given before its key was removed does not fill",
        every_removed_key_is_gone: "who removes several keys removes each of them, and their leases",
        removed_tags_are_gone: "what carries a removed tag is not read any more",
        every_removed_tag_is_gone: "who removes several tags removes what carries any of them",
        removed_tags_outrun_loads: "a load that began before its tag was removed is not read",
        removed_namespaces_are_gone: "nothing of a removed namespace is read any more",
        removed_namespaces_lose_their_leases: "a lease given before its namespace was removed fills nothing that is read",
        removed_values_are_not_stale: "what was removed is not told as a stale value either",
        removed_values_are_not_told_early: "what was removed is not told to those who ask early either",
        leases_beside_values_end: "a lease given beside a value fills nothing that is read after a removal",
        removals_spare_the_rest: "what a removal does not name stays",
        values_return_after_removals: "a key can be filled again after any removal",
    }
    batches {
        batches_are_answered_in_order: "answers come in the order of the keys",
        each_key_is_answered: "a key asked for twice is answered twice",
        fills_stand_alone: "a fenced fill does not touch the others of its batch",
        fills_are_as_old_as_their_leases: "each fill of a batch is as old as its own lease, whatever the others are",
        batches_may_be_long: "two thousand keys are answered in one call, and none at all as well",
    }
    news {
        strangers_know_nothing: "who has seen nothing is told a position and no changes",
        every_kind_is_told: "removed keys, tags and namespaces are in the news",
        every_removed_key_is_told: "of several keys that are removed together each is told",
        every_removed_tag_is_told: "of several tags that are removed together each is told",
        news_keep_order: "removals are told in the order they were made",
        each_removal_is_told: "two removals of one key are two changes, so that who made one sees the other",
        news_are_told_once: "what was told is not told again",
        other_lives_are_gaps: "a position of another life is a gap",
        positions_ahead_are_gaps: "a position that the store has not come to is a gap: it has forgotten what was seen of it",
        forgotten_removals_are_gaps: "removals are all told, or a gap is admitted",
    }
    races {
        fills_meet_removals: "a fill and a removal at once leave nothing to be read, whichever is carried out first",
        removals_are_told_once_done: "who still reads what is being removed is told of it afterwards",
    }
    calls { // last: a store that fails it answers nothing more
        dropped_calls_leave_it_usable: "a call whose future was dropped does not stop later ones",
    }
};

/// Runs every check over `store`, each in a namespace of its own with a name that was never used, so that a store with a memory can be
/// checked again. Takes about a second, a few more where calls wait for each other; on tokio's paused clock a store in memory takes no time.
///
/// # Panics
/// Never: what a store does wrong is in the report. A store that panics does so in its caller.
pub async fn run(store: Arc<dyn CacheBackend>) -> Report {
    let mut outcomes = Vec::with_capacity(CHECKS.len());
    for check in CHECKS {
        let space = Space::new(Arc::clone(&store), format!("conformance-{}-{:016x}", check.name, unique()));
        let outcome = timeout(LIMIT, (check.run)(&space)).await;
        outcomes
            .push((*check, outcome.unwrap_or_else(|_| Err(Violation(format!("no end within {LIMIT:?}"))))));
    }
    Report { store: store.caps().name, outcomes }
}

fn unique() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let process = u64::from(std::process::id());
    mix(now.as_secs()
        ^ mix(process ^ mix(u64::from(now.subsec_nanos()) ^ NEXT.fetch_add(1, Ordering::Relaxed))))
}

/// A violation unless the condition holds.
macro_rules! ensure {
    ($condition:expr, $($said:tt)+) => {
        if !$condition {
            return Err(crate::conformance::Violation(format!($($said)+)));
        }
    };
}
use ensure;
