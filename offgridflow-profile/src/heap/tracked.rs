#![expect(unsafe_code, reason = "an allocator is unsafe by its trait; each block argues why it is sound")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::live::{self, Live};
use super::site::{self, DEPTH};
use super::{clock, estimate, local};

/// Sampled objects below [`LARGE`] lie at multiples of this, which hardly any other does: freeing asks the table for those alone, and pays a
/// comparison for all others.
const MARK: usize = 4_096;
/// Objects of so many bytes are asked for by their size alone, and lie where they would without sampling: fresh pages stay untouched until they
/// are used, and growing moves pages, not bytes. What it costs to free or to fill them is more than a look into the table.
const LARGE: usize = 64 << 10;
/// Samples that found no room in the table.
static DROPPED: AtomicU64 = AtomicU64::new(0);
/// Samples taken.
static SAMPLES: AtomicU64 = AtomicU64::new(0);

/// The program's allocator, with a sample of what it hands out; nothing is sampled before
/// [`SampledHeap::start`](super::SampledHeap::start).
///
/// ```
/// use std::alloc::System;
/// use offgridflow_profile::{HeapProfiler, SampledHeap, Tracked};
///
/// #[global_allocator]
/// static ALLOCATOR: Tracked<System> = Tracked::system();
///
/// let heap = SampledHeap::start(4 << 10)?; // a sample in 4 KiB, for a short example
/// let kept: Vec<Vec<u8>> = (0..1_000).map(|_| vec![1; 10_000]).collect();
/// let snapshot = heap.snapshot()?;
/// assert!((snapshot.in_use.bytes.value / 1e7 - 1.0).abs() < 0.1, "{:?}", snapshot.in_use);
/// drop(kept);
/// # Ok::<(), offgridflow_profile::ProfileError>(())
/// ```
#[derive(Debug, Default)]
pub struct Tracked<A = System> {
    inner: A,
}

impl Tracked<System> {
    /// Around the system's allocator.
    #[must_use]
    pub const fn system() -> Self {
        Self::new(System)
    }
}

impl<A> Tracked<A> {
    /// Around `inner`: jemalloc's or mimalloc's, for example.
    pub const fn new(inner: A) -> Self {
        Self { inner }
    }
}

pub(super) fn dropped() -> u64 {
    DROPPED.load(Relaxed)
}

pub(super) fn samples() -> u64 {
    SAMPLES.load(Relaxed)
}

/// The layout of a sampled object; `None` where it would be too large to be one.
fn sampled_layout(layout: Layout) -> Option<Layout> {
    if layout.size() >= LARGE { Some(layout) } else { layout.align_to(MARK).ok() }
}

#[inline]
fn may_be_sampled(pointer: *mut u8, size: usize) -> bool {
    pointer.addr().is_multiple_of(MARK) || size >= LARGE
}

/// Ends a sample, if it was one, and says with which layout the object came.
#[cold]
fn as_it_came(pointer: *mut u8, layout: Layout) -> Layout {
    live::remove(pointer.addr()).and_then(|_| sampled_layout(layout)).unwrap_or(layout)
}

/// Holds an object as a sample of this place; false when there is no room for it.
fn hold(pointer: *mut u8, size: usize, rate: f64) -> bool {
    let (frames, depth) = stack();
    let site = site::of(&frames[..depth]);
    let chance = estimate::chance(size, rate);
    site::count(site, size, chance);
    let held = live::insert(Live { address: pointer.addr(), size, site, born: clock::now_ms() });
    if held {
        SAMPLES.fetch_add(1, Relaxed);
    } else {
        DROPPED.fetch_add(1, Relaxed);
        site::lose(site, size, chance);
    }
    held
}

impl<A: GlobalAlloc> Tracked<A> {
    /// A sampled object, if a sample is due. `allocate` is the inner allocator's `alloc` or `alloc_zeroed`.
    #[inline]
    fn sampled(&self, layout: Layout, allocate: impl FnOnce(Layout) -> *mut u8) -> Option<*mut u8> {
        if !local::counts(layout.size()) {
            return None;
        }
        local::due(layout.size(), |rate| self.take(layout, rate, allocate)).flatten()
    }

    fn take(&self, layout: Layout, rate: f64, allocate: impl FnOnce(Layout) -> *mut u8) -> Option<*mut u8> {
        let sampled = sampled_layout(layout)?;
        let pointer = allocate(sampled);
        if pointer.is_null() {
            return None; // the caller tries without a mark
        }
        if hold(pointer, layout.size(), rate) || sampled == layout {
            return Some(pointer);
        }
        // SAFETY: it comes from the inner allocator with this layout, and nobody else has it.
        unsafe { self.inner.dealloc(pointer, sampled) };
        None
    }
}

/// The calling stack, leaf first.
#[inline(never)]
pub(super) fn stack() -> ([usize; DEPTH], usize) {
    let (mut frames, mut depth) = ([0; DEPTH], 0);
    // SAFETY: "unsynchronized" concerns backends of other systems; on those we support, tracing has no shared state.
    unsafe {
        backtrace::trace_unsynchronized(|frame| {
            frames[depth] = frame.ip().addr();
            depth += usize::from(frames[depth] != 0);
            depth < DEPTH
        });
    }
    (frames, depth)
}

// SAFETY: every pointer comes from the inner allocator, with the layout that was asked for or, when sampled and small, with one of the same
// size and a stricter alignment; the table says which, so that each goes back with the layout it came with. Nothing here unwinds.
unsafe impl<A: GlobalAlloc> GlobalAlloc for Tracked<A> {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: a layout of the same size, which the caller vouches is not zero.
        let sampled = self.sampled(layout, |marked| unsafe { self.inner.alloc(marked) });
        // SAFETY: the caller's own contract.
        sampled.unwrap_or_else(|| unsafe { self.inner.alloc(layout) })
    }

    #[inline]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as in `alloc`.
        let sampled = self.sampled(layout, |marked| unsafe { self.inner.alloc_zeroed(marked) });
        // SAFETY: the caller's own contract.
        sampled.unwrap_or_else(|| unsafe { self.inner.alloc_zeroed(layout) })
    }

    #[inline]
    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        let as_it_came =
            if may_be_sampled(pointer, layout.size()) { as_it_came(pointer, layout) } else { layout };
        // SAFETY: the pointer is the caller's to free, and this is the layout it was allocated with.
        unsafe { self.inner.dealloc(pointer, as_it_came) };
    }

    /// As a new object of `new_size` bytes and the end of the old one, which is how its bytes are counted.
    #[inline]
    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        if !local::counts(new_size) && !may_be_sampled(pointer, layout.size()) {
            // SAFETY: the caller's own contract; the pointer came with this very layout.
            return unsafe { self.inner.realloc(pointer, layout, new_size) };
        }
        // SAFETY: the caller vouches that `new_size`, rounded up to the alignment, is a valid size.
        let new = unsafe { Layout::from_size_align_unchecked(new_size, layout.align()) };
        // SAFETY: the caller's own contract.
        unsafe { self.resized(pointer, layout, new) }
    }
}

impl<A: GlobalAlloc> Tracked<A> {
    /// Resizes an object that may be sampled, or is going to be. Its bytes have been counted.
    ///
    /// # Safety
    /// As for [`GlobalAlloc::realloc`].
    #[cold]
    unsafe fn resized(&self, pointer: *mut u8, layout: Layout, new: Layout) -> *mut u8 {
        let may_be = may_be_sampled(pointer, layout.size());
        let held = if may_be { live::lift(pointer.addr()) } else { None };
        let came = held.as_ref().and_then(|_| sampled_layout(layout)).unwrap_or(layout);
        let resized = if came == layout && new.size() >= LARGE {
            // SAFETY: the caller's own contract; the pointer came with this very layout.
            unsafe { self.in_place(pointer, layout, new) }
        } else {
            // SAFETY: the caller's own contract; the pointer came with the layout `came`.
            unsafe { self.moved(pointer, came, new) }
        };
        match held {
            Some(held) if resized.is_null() => held.put_back(), // it stays where it was
            Some(held) => {
                held.let_go();
            }
            None => {}
        }
        resized
    }

    /// By the inner allocator, which grows a large object without touching it.
    ///
    /// # Safety
    /// As for [`GlobalAlloc::realloc`], of a pointer that came with `layout`.
    unsafe fn in_place(&self, pointer: *mut u8, layout: Layout, new: Layout) -> *mut u8 {
        // SAFETY: the caller's own contract.
        let resized = unsafe { self.inner.realloc(pointer, layout, new.size()) };
        if !resized.is_null() {
            let _ = local::due(new.size(), |rate| hold(resized, new.size(), rate));
        }
        resized
    }

    /// To another place, where it lies as it has to: sampled or not.
    ///
    /// # Safety
    /// As for [`GlobalAlloc::realloc`], of a pointer that came with the layout `came`, of the old size.
    unsafe fn moved(&self, pointer: *mut u8, came: Layout, new: Layout) -> *mut u8 {
        // SAFETY: a layout of the new size, which the caller vouches is not zero.
        let take = |rate| self.take(new, rate, |sampled| unsafe { self.inner.alloc(sampled) });
        let sampled = local::due(new.size(), take).flatten();
        if sampled.is_none() && came.align() == new.align() {
            // SAFETY: the caller's own contract; the alignment stays as it is.
            return unsafe { self.inner.realloc(pointer, came, new.size()) };
        }
        // SAFETY: the new size is not zero.
        let moved = sampled.unwrap_or_else(|| unsafe { self.inner.alloc(new) });
        if !moved.is_null() {
            // SAFETY: both are at least as long as the shorter, and apart; the old one is the caller's to free.
            unsafe {
                std::ptr::copy_nonoverlapping(pointer, moved, came.size().min(new.size()));
                self.inner.dealloc(pointer, came);
            }
        }
        moved
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use super::*;
    use crate::heap::snapshot::HeapSnapshot;

    /// Has no memory for a byte more, and by then others have taken every place near that of the object that should have grown.
    struct Exhausted;

    // SAFETY: it allocates by `System`, or not at all.
    unsafe impl GlobalAlloc for Exhausted {
        unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
            if layout.size() == GROWN {
                let near = CROWDED.load(Relaxed);
                let other = |index: usize| Live { address: near | index, size: 1, site: 9, born: 1 };
                assert!((1..=200).filter(|index| live::insert(other(*index))).count() > 30);
                return std::ptr::null_mut();
            }
            // SAFETY: the caller's own contract.
            unsafe { System.alloc(layout) }
        }

        unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
            // SAFETY: the caller's own contract.
            unsafe { System.dealloc(pointer, layout) }
        }
    }

    const GROWN: usize = 7_777;
    static CROWDED: AtomicUsize = AtomicUsize::new(0);

    /// It is freed by the layout it came with, which only the table knows.
    #[test]
    fn an_object_that_could_not_grow_is_a_sample_still() {
        let tracked = Tracked::new(Exhausted);
        let layout = Layout::from_size_align(1_000, 8).unwrap();
        // SAFETY: the layout is not empty.
        let pointer = tracked.take(layout, 1.0, |sampled| unsafe { System.alloc(sampled) }).unwrap();
        assert!(pointer.addr().is_multiple_of(MARK));
        CROWDED.store(pointer.addr(), Relaxed);
        // SAFETY: the object is of that layout, and the new size is not zero.
        let grown = unsafe { tracked.resized(pointer, layout, Layout::from_size_align(GROWN, 8).unwrap()) };
        assert!(grown.is_null());
        (1..=200).for_each(|index: usize| {
            live::remove(pointer.addr() | index);
        });
        let held = live::remove(pointer.addr());
        // SAFETY: it came from `System` with the layout of a sample, and nobody else has it.
        unsafe { System.dealloc(pointer, sampled_layout(layout).unwrap()) };
        assert_eq!(held.map(|held| held.size), Some(1_000));
    }

    /// Objects of one page have their places side by side, of which there are 64.
    #[test]
    fn what_found_no_room_widens_the_interval_upwards() {
        const OBJECTS: usize = 200;
        let address = |index: usize| std::ptr::without_provenance_mut::<u8>((3 << 50) | index);
        let held = (0..OBJECTS).filter(|index| hold(address(*index), 1_000, 1.0)).count();
        assert!(held < OBJECTS, "{held}");
        let snapshot = HeapSnapshot::take(1, samples(), dropped());
        let site = snapshot.sites.iter().find(|site| site.samples == held as u64).unwrap();
        let (in_use, allocated) = (site.in_use.bytes, site.allocated.bytes);
        assert_eq!((in_use.value, in_use.low, in_use.high), (held as f64 * 1e3, held as f64 * 1e3, 2e5));
        assert_eq!(allocated.value, 2e5, "what was allocated is counted all the same");
        assert_eq!(snapshot.in_use.bytes.high, 2e5);
        let words = snapshot.to_profile().comments.join("; ");
        assert!(words.contains("136 dropped") && words.contains("may be in use beside"), "{words}");
        assert_eq!((0..OBJECTS).filter_map(|index| live::remove(address(index).addr())).count(), held);
    }
}
