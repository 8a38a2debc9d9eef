//! Where memory readings come from.

mod allocator;
mod cgroup;
#[cfg(feature = "jemalloc")]
mod jemalloc;
mod pressure;
mod procfs;
#[cfg(feature = "sysinfo")]
mod system;

pub use allocator::AllocatorStats;
pub(crate) use allocator::{AllocatorSource, program_allocator};
pub use cgroup::GroupMemory;
pub use pressure::{Pressure, Stall};
pub use procfs::{MemoryDetail, ProcSource, Resident};
#[cfg(feature = "sysinfo")]
pub use system::SystemSource;

use crate::ProfileError;

/// What one process has in use, in bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct MemoryReading {
    /// Resident: in physical memory.
    pub rss_bytes: u64,
    /// Resident and private: heap, stacks. `None` where the system does not tell it apart.
    pub anon_bytes: Option<u64>,
    /// Resident pages of files: the executable, its libraries, mapped data.
    pub file_bytes: Option<u64>,
    /// Swapped out.
    pub swap_bytes: Option<u64>,
    /// The most that was ever resident.
    pub peak_rss_bytes: Option<u64>,
    /// The kernel's, for this process: page tables.
    pub kernel_bytes: Option<u64>,
    /// Address space, most of it never touched.
    pub virtual_bytes: u64,
    /// Threads.
    pub threads: Option<u64>,
}

impl MemoryReading {
    /// What a leak shows in first: private memory, resident or swapped out, else what is resident.
    #[must_use]
    pub fn in_use_bytes(&self) -> u64 {
        self.anon_bytes.map_or(self.rss_bytes, |anon| anon + self.swap_bytes.unwrap_or(0))
    }
}

/// What memory must not exceed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Limit {
    /// How much.
    pub bytes: u64,
    /// Who says so.
    pub kind: LimitKind,
}

/// Where a limit comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "kebab-case"))]
#[non_exhaustive]
pub enum LimitKind {
    /// `memory.max` of a control group, this process's or one above it: beyond it the process is killed.
    Cgroup,
    /// `memory.high` of a control group: beyond it the process is slowed down.
    CgroupHigh,
    /// The process's own limit of address space (`ulimit -v`): beyond it allocations fail.
    AddressSpace,
    /// The machine's memory.
    Machine,
}

/// Reads the memory of this process.
pub trait MemorySource: Send + Sync {
    /// What is in use now. Costs microseconds; may be called on any thread.
    ///
    /// # Errors
    /// When the system does not say.
    fn read(&self) -> Result<MemoryReading, ProfileError>;

    /// The lowest limit in force; `None` when there is none, or it cannot be known.
    fn limit(&self) -> Option<Limit>;
}

/// The source for this system: /proc where there is one, else (feature `sysinfo`) the `sysinfo` crate.
///
/// # Errors
/// When there is neither.
pub fn memory_source() -> Result<Box<dyn MemorySource>, ProfileError> {
    let proc = ProcSource::new();
    match proc.read() {
        Ok(_) => Ok(Box::new(proc)),
        #[cfg(feature = "sysinfo")]
        Err(_) => Ok(Box::new(SystemSource::new()?)),
        #[cfg(not(feature = "sysinfo"))]
        Err(_) => Err(ProfileError::Unsupported {
            what: "reading memory without /proc",
            hint: "enable the feature `sysinfo`",
        }),
    }
}
