use std::collections::HashMap;
use std::sync::Arc;

use crate::sync::{AtomicU64, Ordering, PoisonError, RwLock};

/// Tags, and names removed by other nodes, that are remembered one by one; beyond it everything older is dropped at once.
const REMEMBERED: usize = 10_000;

/// The node's own clock of invalidations. An entry carries the time its load began; it is valid while nothing that concerns it was
/// invalidated since. Compared as integers: no wall clock.
#[derive(Debug, Default)]
pub(crate) struct Clock {
    now: AtomicU64,         // number of the last invalidation
    last_change: AtomicU64, // as `now`, written once the change can be seen
    floor: AtomicU64,       // what was born before is invalid
    removed: RwLock<Removed>,
}

#[derive(Debug, Default)]
struct Removed {
    tags: HashMap<Arc<str>, u64>,
    names: HashMap<u64, u64>, // hash of the wire name
}

impl Clock {
    /// When a load begins now.
    pub(crate) fn now(&self) -> u64 {
        self.last_change.load(Ordering::Acquire)
    }

    /// What carries `tag` is invalid from now on.
    pub(crate) fn remove_tag(&self, tag: &Arc<str>) {
        self.change(|removed, version| {
            removed.tags.insert(Arc::clone(tag), version);
        });
    }

    /// What has this hash of its wire name is invalid from now on.
    pub(crate) fn remove_name(&self, name: u64) {
        self.change(|removed, version| {
            removed.names.insert(name, version);
        });
    }

    /// Everything is invalid from now on.
    pub(crate) fn remove_all(&self) {
        self.change(|removed, version| {
            *removed = Removed::default();
            self.floor.store(version, Ordering::Release);
        });
    }

    /// Whether everything was invalidated since `born`.
    pub(crate) fn forgot(&self, born: u64) -> bool {
        born < self.floor.load(Ordering::Acquire)
    }

    /// Whether an entry born then, with this name and these tags, is still valid. Takes a lock only when anything changed since.
    pub(crate) fn allows(&self, born: u64, name: u64, tags: &[Arc<str>]) -> bool {
        if self.last_change.load(Ordering::Acquire) <= born {
            return true;
        }
        let removed = self.removed.read().unwrap_or_else(PoisonError::into_inner);
        // Read under the lock: whoever empties the maps raises the floor before it is released.
        if self.forgot(born) {
            return false;
        }
        let later = |version: Option<&u64>| version.is_some_and(|version| *version > born);
        !later(removed.names.get(&name)) && !tags.iter().any(|tag| later(removed.tags.get(tag)))
    }

    fn change(&self, write: impl FnOnce(&mut Removed, u64)) {
        let mut removed = self.removed.write().unwrap_or_else(PoisonError::into_inner);
        let version = self.now.fetch_add(1, Ordering::AcqRel) + 1;
        if removed.tags.len() + removed.names.len() >= REMEMBERED {
            *removed = Removed::default();
            self.floor.store(version, Ordering::Release);
        }
        write(&mut removed, version);
        self.last_change.store(version, Ordering::Release);
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    fn tag(n: usize) -> Arc<str> {
        n.to_string().into()
    }

    #[test]
    fn what_was_born_before_a_removal_is_invalid_and_what_was_born_after_is_not() {
        let clock = Clock::default();
        let before = clock.now();
        clock.remove_tag(&tag(1));
        assert!(!clock.allows(before, 0, &[tag(1)]));
        assert!(clock.allows(before, 0, &[tag(2)]), "another tag");
        assert!(clock.allows(clock.now(), 0, &[tag(1)]));
        let before = clock.now();
        clock.remove_name(7);
        assert!(
            !clock.allows(before, 7, &[])
                && clock.allows(before, 8, &[])
                && clock.allows(clock.now(), 7, &[])
        );
        clock.remove_all();
        assert!(!clock.allows(before, 8, &[]) && clock.allows(clock.now(), 7, &[tag(1)]));
    }

    #[test]
    fn a_removal_holds_while_others_forget_it() {
        let clock = Clock::default();
        let removals = 20_000;
        std::thread::scope(|scope| {
            let remover = scope.spawn(|| {
                for _ in 0..removals {
                    let before = clock.now();
                    clock.remove_tag(&tag(1));
                    assert!(!clock.allows(before, 0, &[tag(1)]));
                }
            });
            while !remover.is_finished() {
                clock.remove_all();
            }
        });
    }

    #[test]
    fn a_full_memory_of_removals_errs_on_the_safe_side() {
        let clock = Clock::default();
        let before = clock.now();
        (0..=REMEMBERED).for_each(|n| clock.remove_tag(&tag(n)));
        assert!(!clock.allows(before, 0, &[tag(usize::MAX)]), "forgotten removals concern everything older");
        assert!(clock.removed.read().unwrap().tags.len() <= REMEMBERED);
    }
}
