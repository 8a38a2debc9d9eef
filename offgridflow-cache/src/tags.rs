use std::collections::HashMap;
use std::sync::Arc;

use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::sync::{AtomicU64, OnceLock, Ordering, PoisonError, RwLock, SLOTS};

/// Tags, and names removed by other nodes, that are remembered one by one; beyond it everything older is dropped at once.
const REMEMBERED: usize = 10_000;

/// Hash of a tag or of a wire name. Two that share one are invalidated together.
pub(crate) type Mark = u64;

/// The marks of `tags`.
pub(crate) fn marks<T: AsRef<str>>(tags: &[T]) -> Box<[Mark]> {
    tags.iter().map(|tag| mark(tag.as_ref())).collect()
}

fn mark(tag: &str) -> Mark {
    xxh3_64_with_seed(tag.as_bytes(), 1) // another hash than a name's, so that a tag is not taken for a name
}

/// The tags of an entry.
#[derive(Debug)]
pub(crate) struct Tags {
    marks: Box<[Mark]>,     // what hits look at
    names: Box<[Arc<str>]>, // what the shared tier is told
}

impl Tags {
    /// `None` where there are none.
    pub(crate) fn of(names: Vec<Arc<str>>) -> Option<Arc<Self>> {
        (!names.is_empty()).then(|| Arc::new(Self { marks: marks(&names), names: names.into() }))
    }

    pub(crate) fn marks(&self) -> &[Mark] {
        &self.marks
    }

    pub(crate) fn names(&self) -> &[Arc<str>] {
        &self.names
    }
}

/// The node's own clock of invalidations. An entry carries the time its load began; it is valid while nothing that concerns it was
/// invalidated since. Compared as integers: no wall clock.
#[derive(Debug, Default)]
pub(crate) struct Clock {
    now: AtomicU64,                     // number of the last invalidation
    last_change: AtomicU64,             // as `now`, written once the change can be seen
    floor: AtomicU64,                   // what was born before is invalid
    swept: AtomicU64,                   // number of the last removal by tag or of everything
    latest: OnceLock<Box<[AtomicU64]>>, // by slot, the last removal: what was born after that of either of its slots need not look at `removed`
    removed: RwLock<HashMap<Mark, u64>>,
}

impl Clock {
    /// The newest change that can be seen: when a load begins now.
    #[inline]
    pub(crate) fn now(&self) -> u64 {
        self.last_change.load(Ordering::Acquire)
    }

    /// The last removal of what is not known by key, by a tag or of everything.
    pub(crate) fn swept(&self) -> u64 {
        self.swept.load(Ordering::Acquire)
    }

    /// What carries `tag` is invalid from now on.
    pub(crate) fn remove_tag(&self, tag: &str) {
        self.change(|removed, version| {
            self.remove_mark(removed, mark(tag), version);
            self.swept.store(version, Ordering::Release);
        });
    }

    /// What has this hash of its wire name is invalid from now on.
    pub(crate) fn remove_name(&self, name: Mark) {
        self.change(|removed, version| self.remove_mark(removed, name, version));
    }

    /// Everything is invalid from now on.
    pub(crate) fn remove_all(&self) {
        self.change(|removed, version| {
            removed.clear();
            self.floor.store(version, Ordering::Release);
            self.swept.store(version, Ordering::Release);
        });
    }

    fn remove_mark(&self, removed: &mut HashMap<Mark, u64>, mark: Mark, version: u64) {
        removed.insert(mark, version);
        let latest =
            self.latest.get_or_init(|| std::iter::repeat_with(AtomicU64::default).take(SLOTS).collect());
        slots(mark).iter().for_each(|slot| latest[*slot].store(version, Ordering::Release));
    }

    /// Whether everything was invalidated since `born`.
    pub(crate) fn forgot(&self, born: u64) -> bool {
        born < self.floor.load(Ordering::Acquire)
    }

    /// Whether an entry born then, with this name and these tags, is still valid. Takes a lock only when what was removed since
    /// shares both slots of one of them.
    #[inline]
    pub(crate) fn allows(&self, born: u64, name: Mark, tags: &[Mark]) -> bool {
        self.last_change.load(Ordering::Acquire) <= born || self.allows_after_change(born, name, tags)
    }

    /// Every change up to `last_change`, which was just read, can be seen in `floor` and `latest`.
    fn allows_after_change(&self, born: u64, name: Mark, tags: &[Mark]) -> bool {
        if self.forgot(born) {
            return false;
        }
        let Some(latest) = self.latest.get() else { return true };
        let touched =
            |mark: &Mark| slots(*mark).iter().all(|slot| latest[*slot].load(Ordering::Acquire) > born);
        !((name != 0 && touched(&name)) || tags.iter().any(touched)) || self.allows_by_name(born, name, tags)
    }

    #[cold]
    fn allows_by_name(&self, born: u64, name: Mark, tags: &[Mark]) -> bool {
        let removed = self.removed.read().unwrap_or_else(PoisonError::into_inner);
        // Read under the lock: whoever empties the map raises the floor before it is released.
        if self.forgot(born) {
            return false;
        }
        let later = |mark: &Mark| removed.get(mark).is_some_and(|version| *version > born);
        !(later(&name) || tags.iter().any(later))
    }

    fn change(&self, write: impl FnOnce(&mut HashMap<Mark, u64>, u64)) {
        let mut removed = self.removed.write().unwrap_or_else(PoisonError::into_inner);
        let version = self.now.fetch_add(1, Ordering::AcqRel) + 1;
        if removed.len() >= REMEMBERED {
            removed.clear();
            self.floor.store(version, Ordering::Release);
        }
        write(&mut removed, version);
        self.last_change.store(version, Ordering::Release);
    }
}

/// Two slots of each mark, so that few others share both.
#[expect(clippy::cast_possible_truncation, reason = "only the low bits count")]
fn slots(mark: Mark) -> [usize; 2] {
    [mark as usize & (SLOTS - 1), (mark >> 32) as usize & (SLOTS - 1)]
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    fn tag(n: usize) -> String {
        n.to_string()
    }

    #[test]
    fn what_was_born_before_a_removal_is_invalid_and_what_was_born_after_is_not() {
        let clock = Clock::default();
        let before = clock.now();
        clock.remove_tag(&tag(1));
        assert!(!clock.allows(before, 0, &marks(&[tag(1)])));
        assert!(clock.allows(before, 0, &marks(&[tag(2)])), "another tag");
        assert!(clock.allows(clock.now(), 0, &marks(&[tag(1)])));
        let before = clock.now();
        clock.remove_name(7);
        assert!(
            !clock.allows(before, 7, &[])
                && clock.allows(before, 8, &[])
                && clock.allows(clock.now(), 7, &[])
        );
        clock.remove_all();
        assert!(!clock.allows(before, 8, &[]) && clock.allows(clock.now(), 7, &marks(&[tag(1)])));
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
                    assert!(!clock.allows(before, 0, &marks(&[tag(1)])));
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
        assert!(
            !clock.allows(before, 0, &marks(&[tag(usize::MAX)])),
            "forgotten removals concern everything older"
        );
        assert!(clock.removed.read().unwrap().len() <= REMEMBERED);
    }
}
