//! Sampled objects that are in use: a table of fixed size, without locks and without allocating, so that it stands inside an
//! allocator, in a forked child, and while a thread ends.

use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering::*};

/// Objects held: at a sample in 512 KiB, 32 GiB in use.
const SLOTS: usize = 1 << 16;
/// Slots looked at for one address.
const PROBES: usize = 64;
const FREE: usize = 0;
const GONE: usize = 1;
const BUSY: usize = 2;

struct Slot {
    address: AtomicUsize, // FREE, GONE, BUSY, or that of the object; written last, with release
    size: AtomicUsize,
    site: AtomicU32,
    born: AtomicU64, // ms
}

#[expect(clippy::declare_interior_mutable_const, reason = "the start of each slot of the array")]
const EMPTY: Slot = Slot {
    address: AtomicUsize::new(FREE),
    size: AtomicUsize::new(0),
    site: AtomicU32::new(0),
    born: AtomicU64::new(0),
};
/// All zero: pages that were never used cost nothing.
static TABLE: [Slot; SLOTS] = [EMPTY; SLOTS];

/// A sampled object in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Live {
    pub(super) address: usize,
    pub(super) size: usize,
    pub(super) site: u32,
    pub(super) born: u64,
}

fn probes(address: usize) -> impl Iterator<Item = &'static Slot> {
    let first = (address >> 12).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 48;
    (0..PROBES).map(move |step| &TABLE[(first + step) % SLOTS])
}

/// Holds an object; false when there is no room near its place.
pub(super) fn insert(live: Live) -> bool {
    let free = |slot: &&Slot| {
        [FREE, GONE]
            .into_iter()
            .any(|state| slot.address.compare_exchange(state, BUSY, Acquire, Relaxed).is_ok())
    };
    let Some(slot) = probes(live.address).find(free) else { return false };
    slot.size.store(live.size, Relaxed);
    slot.site.store(live.site, Relaxed);
    slot.born.store(live.born, Relaxed);
    slot.address.store(live.address, Release);
    true
}

/// Lets go of the object at an address, which only its owner asks; `None` when it was never held.
pub(super) fn remove(address: usize) -> Option<Live> {
    lift(address).map(Lifted::let_go)
}

/// An object whose place nobody else can take meanwhile: while it is resized.
#[must_use = "its place is taken until it is put back, or let go"]
pub(super) struct Lifted {
    slot: &'static Slot,
    live: Live,
}

/// Lifts the object at an address from the table, which only its owner asks; `None` when it was never held.
pub(super) fn lift(address: usize) -> Option<Lifted> {
    for slot in probes(address) {
        match slot.address.load(Acquire) {
            FREE => return None,
            held if held == address => {
                let (size, site) = (slot.size.load(Relaxed), slot.site.load(Relaxed));
                slot.address.store(BUSY, Release);
                let live = Live { address, size, site, born: slot.born.load(Relaxed) };
                return Some(Lifted { slot, live });
            }
            _ => {}
        }
    }
    None
}

impl Lifted {
    /// As it was.
    pub(super) fn put_back(self) {
        self.slot.address.store(self.live.address, Release);
    }

    /// It is not there any more.
    pub(super) fn let_go(self) -> Live {
        self.slot.address.store(GONE, Release);
        self.live
    }
}

/// The objects in use. One that comes or goes meanwhile may be missing.
pub(super) fn all() -> impl Iterator<Item = Live> {
    TABLE.iter().filter_map(|slot| {
        let address = slot.address.load(Acquire);
        let (size, site) = (slot.size.load(Relaxed), slot.site.load(Relaxed));
        let live = Live { address, size, site, born: slot.born.load(Acquire) };
        (address > BUSY && slot.address.load(Acquire) == address).then_some(live)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_held_is_found_until_it_goes() {
        let live = |index: usize| Live { address: (index + 1) << 40, size: index, site: 7, born: 1 };
        assert!((0..1_000).all(|index| insert(live(index))));
        let found: Vec<Live> = all().filter(|one| one.site == 7).collect();
        assert_eq!(found.len(), 1_000);
        assert!((0..1_000).all(|index| remove(live(index).address) == Some(live(index))));
        assert_eq!(remove(live(3).address), None);
        assert_eq!(all().filter(|one| one.site == 7).count(), 0);
    }

    #[test]
    fn a_full_neighbourhood_refuses() {
        let same = |index: usize| Live { address: (1 << 60) | index, size: 1, site: 8, born: 1 }; // one page: one place
        let held = (0..200).take_while(|index| insert(same(*index))).count();
        assert!(held <= PROBES, "{held}");
        (0..held).for_each(|index| assert_eq!(remove(same(index).address), Some(same(index))));
    }
}
