#![expect(unsafe_code, reason = "what the allocator holds is C's to say")]

#[cfg(feature = "memory")]
use crate::AllocatorStats;

/// What glibc's allocator holds; `None` under another C library, or one older than 2.33.
///
/// Takes the lock of each arena in turn: microseconds, with a hundred threads some hundred.
#[cfg(all(feature = "memory", target_os = "linux", target_env = "gnu"))]
pub(crate) fn allocator() -> Option<AllocatorStats> {
    // SAFETY: a look-up of a name that ends with a zero.
    let found = unsafe { libc::dlsym(libc::RTLD_DEFAULT, c"mallinfo2".as_ptr()) };
    if found.is_null() {
        return None;
    }
    // SAFETY: it is glibc's `struct mallinfo2 mallinfo2(void)`, since 2.33, where it was found; there is no other of that name.
    let mallinfo2: extern "C" fn() -> libc::mallinfo2 = unsafe { std::mem::transmute(found) };
    let info = mallinfo2();
    let [in_use, mapped, free, arenas] =
        [info.uordblks, info.hblkhd, info.fordblks, info.arena].map(|bytes| bytes as u64);
    Some(AllocatorStats {
        name: "glibc",
        allocated_bytes: in_use.saturating_add(mapped),
        free_bytes: Some(free),
        held_bytes: Some(arenas.saturating_add(mapped)),
    })
}

/// It is glibc's alone.
#[cfg(all(feature = "memory", not(all(target_os = "linux", target_env = "gnu"))))]
pub(crate) fn allocator() -> Option<AllocatorStats> {
    None
}

/// Gives whole pages of free memory back to the system: what a capture needed would else stay with the process. Locks one arena after the
/// other, for a few milliseconds where much is free.
#[cfg(all(any(feature = "profiler", feature = "cpu-pprof"), target_os = "linux", target_env = "gnu"))]
pub(crate) fn trim() {
    // SAFETY: it takes the allocator's own locks, and frees nothing that is in use.
    unsafe { libc::malloc_trim(0) };
}

/// It is glibc's alone.
#[cfg(all(
    any(feature = "profiler", feature = "cpu-pprof"),
    not(all(target_os = "linux", target_env = "gnu"))
))]
pub(crate) fn trim() {}
