use std::hint::black_box;
use std::sync::Arc;

/// What the program's allocator says of itself, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct AllocatorStats {
    /// Which allocator.
    pub name: &'static str,
    /// Handed out to the program and not given back: what a leak grows.
    pub allocated_bytes: u64,
    /// Given back by the program and kept by the allocator.
    pub free_bytes: Option<u64>,
    /// Taken from the system: handed out, free, and what the allocator needs for itself.
    pub held_bytes: Option<u64>,
}

/// Reads an allocator's figures; `None` when they cannot be had.
pub(crate) type AllocatorSource = Arc<dyn Fn() -> Option<AllocatorStats> + Send + Sync>;

/// Larger than what glibc ever takes from its arenas, and never touched: it costs no memory.
const PROBE: usize = 40 << 20;

/// The allocator that this program's objects come from, where this crate can read it.
pub(crate) fn program_allocator() -> Option<AllocatorSource> {
    let known: &[fn() -> Option<AllocatorStats>] = &[
        crate::sys::glibc::allocator,
        #[cfg(feature = "jemalloc")]
        super::jemalloc::allocator,
    ];
    let mut sources = known.iter().map(|read| Arc::new(*read) as AllocatorSource);
    sources.find(is_the_program_s)
}

/// Whether what this program allocates shows in an allocator's figures. Under another global allocator glibc's says little.
fn is_the_program_s(source: &AllocatorSource) -> bool {
    let Some(before) = source() else { return false };
    let mut probe = Vec::<u8>::new();
    if probe.try_reserve_exact(PROBE).is_err() {
        return false;
    }
    let during = source();
    drop(black_box(probe));
    // Other threads allocate and free meanwhile.
    during.is_some_and(|during| {
        during.allocated_bytes.saturating_sub(before.allocated_bytes) >= PROBE as u64 / 2
    })
}

#[cfg(all(test, target_os = "linux", target_env = "gnu"))]
mod tests {
    use super::*;

    #[test]
    fn what_is_allocated_and_freed_shows() {
        let source = program_allocator().expect("tests run on the system's allocator");
        let before = source().unwrap();
        let kept: Vec<Vec<u8>> = (0..64).map(|_| black_box(vec![1; 1 << 20])).collect();
        let during = source().unwrap();
        assert!(during.allocated_bytes >= before.allocated_bytes + (60 << 20), "{before:?} {during:?}");
        assert!(during.held_bytes.unwrap() >= during.allocated_bytes);
        drop(kept);
        assert!(source().unwrap().allocated_bytes + (60 << 20) <= during.allocated_bytes);
    }

    /// The control of the probe: figures that do not move are not this program's.
    #[test]
    fn another_allocator_is_not_taken_for_the_program_s() {
        let still = AllocatorStats { name: "other", allocated_bytes: 7, free_bytes: None, held_bytes: None };
        let source: AllocatorSource = Arc::new(move || Some(still));
        assert!(!is_the_program_s(&source));
        let none: AllocatorSource = Arc::new(|| None);
        assert!(!is_the_program_s(&none));
    }
}
