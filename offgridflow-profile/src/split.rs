use std::time::Duration;

#[cfg(doc)]
use crate::MemoryStatus;
use crate::{AllocatorStats, MemoryReading};

/// Where memory in use is, in bytes; what is not known is `None`. All of it is of one moment: the allocator's newest answer and a reading beside it,
/// which may be `age` older than [`MemoryStatus::reading`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct MemorySplit {
    /// The heap: what the allocator holds, what it has handed out and what it keeps.
    pub heap_bytes: Option<u64>,
    /// Private memory past the allocator: stacks, mappings of the program's own. Heap that was never touched is not in it.
    pub anon_bytes: Option<u64>,
    /// Pages of files.
    pub file_bytes: Option<u64>,
    /// The kernel's, for this process.
    pub kernel_bytes: Option<u64>,
    /// How much older than the newest reading this is: an allocator is asked every ten seconds.
    pub age: Duration,
}

impl MemorySplit {
    /// What was read at one moment.
    pub(crate) fn of(reading: &MemoryReading, allocator: Option<&AllocatorStats>, age: Duration) -> Self {
        let heap = allocator.map(|allocator| allocator.held_bytes.unwrap_or(allocator.allocated_bytes));
        Self {
            heap_bytes: heap,
            anon_bytes: reading.anon_bytes.map(|anon| anon.saturating_sub(heap.unwrap_or(0))),
            file_bytes: reading.file_bytes,
            kernel_bytes: reading.kernel_bytes,
            age,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_split_without_counting_the_heap_twice() {
        let reading = MemoryReading {
            anon_bytes: Some(90),
            file_bytes: Some(7),
            kernel_bytes: Some(3),
            ..Default::default()
        };
        let stats =
            AllocatorStats { name: "test", allocated_bytes: 40, free_bytes: Some(20), held_bytes: Some(60) };
        let split = MemorySplit::of(&reading, Some(&stats), Duration::ZERO);
        assert_eq!((split.heap_bytes, split.anon_bytes), (Some(60), Some(30)));
        assert_eq!((split.file_bytes, split.kernel_bytes), (Some(7), Some(3)));
        assert_eq!(MemorySplit::of(&reading, None, Duration::ZERO).anon_bytes, Some(90));
    }
}
