//! An allocator that counts for the gate: one line in a benchmark's file, and `gate --allocations` knows how often an iteration asks for memory.
//!
//! ```
//! #[global_allocator]
//! static ALLOCATOR: offgridflow_bench::allocations::Counting = offgridflow_bench::allocations::Counting::system();
//! # fn main() { drop(vec![1]); }
//! ```

use std::alloc::{GlobalAlloc, Layout, System};
use std::fs::File;
use std::sync::atomic::{AtomicPtr, AtomicU8, AtomicU64, Ordering};

/// The environment variable that names the file to count in: two numbers of eight bytes, in the machine's order. Without it nothing is counted.
pub const FILE: &str = "OFFGRIDFLOW_BENCH_ALLOCATIONS";

const UNKNOWN: u8 = 0;
const STARTING: u8 = 1;
const COUNTING: u8 = 2;
const OFF: u8 = 3;

static STATE: AtomicU8 = AtomicU8::new(UNKNOWN);
static PAGE: AtomicPtr<Page> = AtomicPtr::new(std::ptr::null_mut()); // not null once COUNTING; never unmapped

/// What the file holds. It is mapped, so that the counts are there however the process ends.
#[repr(C)]
struct Page {
    calls: AtomicU64,
    bytes: AtomicU64,
}

/// Counts requests for memory and hands them on to `A`. When nobody asks for counts, a request costs one more load.
#[derive(Debug, Default)]
pub struct Counting<A = System> {
    inner: A,
}

impl Counting {
    /// In front of the system's allocator.
    #[must_use]
    pub const fn system() -> Self {
        Self::of(System)
    }
}

impl<A> Counting<A> {
    /// In front of `inner`.
    pub const fn of(inner: A) -> Self {
        Self { inner }
    }
}

#[expect(unsafe_code, reason = "the trait of allocators is unsafe")]
// SAFETY: every call is handed on to `A` as it came; counting neither unwinds nor touches what was allocated.
unsafe impl<A: GlobalAlloc> GlobalAlloc for Counting<A> {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size());
        // SAFETY: the caller's promise.
        unsafe { self.inner.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(layout.size());
        // SAFETY: the caller's promise.
        unsafe { self.inner.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        count(new_size);
        // SAFETY: the caller's promise.
        unsafe { self.inner.realloc(at, layout, new_size) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise.
        unsafe { self.inner.dealloc(at, layout) }
    }
}

/// Counts one request, but for those that the start of counting itself makes.
fn count(bytes: usize) {
    let mut state = STATE.load(Ordering::Acquire);
    if state == UNKNOWN
        && STATE.compare_exchange(UNKNOWN, STARTING, Ordering::AcqRel, Ordering::Acquire).is_ok()
    {
        state = if start().is_some() { COUNTING } else { OFF };
        STATE.store(state, Ordering::Release);
    }
    if state == COUNTING
        && let Some(page) = page()
    {
        page.calls.fetch_add(1, Ordering::Relaxed);
        page.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }
}

/// Maps the file that the environment names; `None` when it names none, or one that cannot be mapped.
fn start() -> Option<()> {
    let file = File::options().read(true).write(true).open(std::env::var_os(FILE)?).ok()?;
    if file.metadata().ok()?.len() < size_of::<Page>() as u64 {
        return None;
    }
    PAGE.store(map(&file)?, Ordering::Release);
    Some(())
}

/// Elsewhere nothing is counted.
#[cfg(not(unix))]
fn map(_: &File) -> Option<*mut Page> {
    None
}

#[cfg(unix)]
#[expect(unsafe_code, reason = "a mapping is unsafe")]
fn map(file: &File) -> Option<*mut Page> {
    use rustix::mm::{MapFlags, ProtFlags, mmap};
    let (size, access) = (size_of::<Page>(), ProtFlags::READ | ProtFlags::WRITE);
    // SAFETY: the system picks the place, so that nothing of ours is mapped over; the mapping is never given back.
    let page = unsafe { mmap(std::ptr::null_mut(), size, access, MapFlags::SHARED, file, 0) };
    page.ok().map(<*mut _>::cast)
}

#[expect(unsafe_code, reason = "what is mapped is reached by its address")]
fn page() -> Option<&'static Page> {
    let page = PAGE.load(Ordering::Acquire);
    // SAFETY: null, or the beginning of a mapping that is aligned to pages, at least as long as `Page`, and never given back. Two atomic numbers
    // are valid whatever their bits, and other processes change them by atomic operations only.
    unsafe { page.as_ref() }
}

/// What a file of counts holds: requests, and the bytes that they asked for. `None` when it is too short.
#[cfg(feature = "gate")]
pub(crate) fn read(bytes: &[u8]) -> Option<(u64, u64)> {
    let number = |at: usize| Some(u64::from_ne_bytes(bytes.get(at..at + 8)?.try_into().ok()?));
    Some((number(0)?, number(8)?))
}
