use tikv_jemalloc_ctl::{epoch, stats};

use super::AllocatorStats;

/// What jemalloc holds, as of now; `None` where its statistics were left out of the build.
///
/// Merges the counters of its arenas: microseconds.
pub(super) fn allocator() -> Option<AllocatorStats> {
    epoch::advance().ok()?; // its figures stand still until they are told to move
    let bytes = |read: tikv_jemalloc_ctl::Result<usize>| read.ok().map(|bytes| bytes as u64);
    let allocated_bytes = bytes(stats::allocated::read())?;
    let held_bytes = bytes(stats::resident::read());
    let free_bytes = held_bytes.map(|held| held.saturating_sub(allocated_bytes));
    Some(AllocatorStats { name: "jemalloc", allocated_bytes, free_bytes, held_bytes })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn its_figures_can_be_read() {
        let stats = allocator().unwrap();
        assert!(stats.held_bytes.unwrap() >= stats.allocated_bytes, "{stats:?}");
    }
}
