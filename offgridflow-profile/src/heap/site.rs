//! Places that allocate, told apart by their stack: a table of fixed size without locks, as `live` is.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::*};

use super::estimate::Sums;

/// Deepest stack kept; outer frames beyond it are left out.
pub(super) const DEPTH: usize = 32;
/// Sites told apart; what comes later counts as the first one, "other".
const SITES: usize = 4_096;
const PROBES: usize = 32;
/// The site of what found no place of its own.
pub(super) const OTHER: u32 = 0;

struct Site {
    hash: AtomicU64,    // 0: free
    depth: AtomicUsize, // written last, with release; 0: not yet readable
    frames: [AtomicUsize; DEPTH],
    samples: AtomicU64,
    objects: [AtomicU64; 3], // the bits of value, variance and heaviest
    bytes: [AtomicU64; 3],
    lost: [AtomicU64; 2], // the bits of objects and bytes that samples without room stood for
}

#[expect(clippy::declare_interior_mutable_const, reason = "the start of each element of an array")]
const ZERO: AtomicU64 = AtomicU64::new(0);
#[expect(clippy::declare_interior_mutable_const, reason = "the start of each element of an array")]
const NO_FRAME: AtomicUsize = AtomicUsize::new(0);
#[expect(clippy::declare_interior_mutable_const, reason = "the start of each element of an array")]
const EMPTY: Site = Site {
    hash: ZERO,
    depth: NO_FRAME,
    frames: [NO_FRAME; DEPTH],
    samples: ZERO,
    objects: [ZERO; 3],
    bytes: [ZERO; 3],
    lost: [ZERO; 2],
};
/// All zero: pages that were never used cost nothing.
static TABLE: [Site; SITES] = [EMPTY; SITES];

/// Samples whose stack was as deep as what is kept, or deeper.
static TRUNCATED: AtomicU64 = AtomicU64::new(0);

pub(super) fn truncated() -> u64 {
    TRUNCATED.load(Relaxed)
}

/// The site of a stack, leaf first.
pub(super) fn of(frames: &[usize]) -> u32 {
    if frames.len() >= DEPTH {
        TRUNCATED.fetch_add(1, Relaxed);
    }
    let hash = hash(frames);
    let first = (hash >> 32) as usize;
    for step in 0..PROBES {
        let index = 1 + (first + step) % (SITES - 1);
        let site = &TABLE[index];
        match site.hash.compare_exchange(0, hash, AcqRel, Acquire) {
            Ok(_) => site.name(frames),
            Err(held) if held != hash => continue,
            Err(_) => {}
        }
        return u32::try_from(index).unwrap_or(OTHER);
    }
    OTHER
}

/// FNV-1a by words, never 0.
fn hash(frames: &[usize]) -> u64 {
    let word =
        |hash: u64, frame: &usize| (hash ^ *frame as u64).wrapping_mul(0x0100_0000_01B3).rotate_left(23);
    frames.iter().fold(0xCBF2_9CE4_8422_2325, word).max(1)
}

/// Counts a sample of an object of `size` bytes that had the chance `p`.
#[expect(clippy::cast_precision_loss, reason = "memory below 2^53 bytes is exact")]
pub(super) fn count(site: u32, size: usize, p: f64) {
    let site = &TABLE[site as usize % SITES];
    site.samples.fetch_add(1, Relaxed);
    add(&site.objects, 1.0, p);
    add(&site.bytes, size as f64, p);
}

/// Counts that such a sample found no room: its object may be in use without being held.
#[expect(clippy::cast_precision_loss, reason = "memory below 2^53 bytes is exact")]
pub(super) fn lose(site: u32, size: usize, p: f64) {
    let [objects, bytes] = &TABLE[site as usize % SITES].lost;
    update(objects, |held| held + 1.0 / p);
    update(bytes, |held| held + size as f64 / p);
}

fn add(sums: &[AtomicU64; 3], each: f64, p: f64) {
    let [value, variance, heaviest] = Sums::terms(each, p);
    update(&sums[0], |held| held + value);
    update(&sums[1], |held| held + variance);
    update(&sums[2], |held| held.max(heaviest));
}

fn update(bits: &AtomicU64, change: impl Fn(f64) -> f64) {
    let _ = bits.fetch_update(Relaxed, Relaxed, |held| Some(change(f64::from_bits(held)).to_bits()));
}

impl Site {
    fn name(&self, frames: &[usize]) {
        for (kept, frame) in self.frames.iter().zip(frames) {
            kept.store(*frame, Relaxed);
        }
        self.depth.store(frames.len().min(DEPTH), Release);
    }

    fn sums(&self, of: &[AtomicU64; 3]) -> Sums {
        let [value, variance, heaviest] =
            [&of[0], &of[1], &of[2]].map(|bits| f64::from_bits(bits.load(Relaxed)));
        Sums::of(self.samples.load(Relaxed), value, variance, heaviest)
    }
}

/// A site with what was ever allocated at it.
#[derive(Debug, Clone)]
pub(super) struct Counted {
    pub(super) index: u32,
    pub(super) frames: Vec<usize>,
    pub(super) objects: Sums,
    pub(super) bytes: Sums,
    /// Objects and bytes that may be in use beside those that are held.
    pub(super) lost: [f64; 2],
}

/// Sites at which something was sampled.
pub(super) fn all() -> impl Iterator<Item = Counted> {
    (0..).zip(TABLE.iter()).filter(|(_, site)| site.samples.load(Relaxed) > 0).map(|(index, site)| {
        let depth = site.depth.load(Acquire);
        Counted {
            index,
            frames: site.frames[..depth].iter().map(|frame| frame.load(Relaxed)).collect(),
            objects: site.sums(&site.objects),
            bytes: site.sums(&site.bytes),
            lost: [0, 1].map(|of: usize| f64::from_bits(site.lost[of].load(Relaxed))),
        }
    })
}
