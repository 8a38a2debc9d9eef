use std::fmt;
use std::sync::{Mutex, PoisonError};

use sysinfo::{Pid, ProcessRefreshKind, ProcessesToUpdate, System};

use super::{Limit, LimitKind, MemoryReading, MemorySource};
use crate::ProfileError;

/// Memory as the `sysinfo` crate reads it: resident and virtual, no more.
pub struct SystemSource {
    system: Mutex<System>,
    pid: Pid,
}

impl SystemSource {
    /// This process.
    ///
    /// # Errors
    /// When the system has no process ids.
    pub fn new() -> Result<Self, ProfileError> {
        let pid = sysinfo::get_current_pid().map_err(|_| unsupported("this system has no process ids"))?;
        let system = System::new().map_err(|_| unsupported("the sysinfo crate does not know this system"))?;
        Ok(Self { system: Mutex::new(system), pid })
    }
}

fn unsupported(hint: &'static str) -> ProfileError {
    ProfileError::Unsupported { what: "reading memory", hint }
}

impl fmt::Debug for SystemSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SystemSource").field("pid", &self.pid).finish_non_exhaustive()
    }
}

impl MemorySource for SystemSource {
    fn read(&self) -> Result<MemoryReading, ProfileError> {
        let mut system = self.system.lock().unwrap_or_else(PoisonError::into_inner);
        let only_memory = ProcessRefreshKind::nothing().with_memory();
        system.refresh_processes_specifics(ProcessesToUpdate::Some(&[self.pid]), true, only_memory);
        let process = system.process(self.pid);
        let process = process.ok_or_else(|| unsupported("the system does not list this process"))?;
        Ok(MemoryReading {
            rss_bytes: process.memory(),
            virtual_bytes: process.virtual_memory(),
            ..MemoryReading::default()
        })
    }

    fn limit(&self) -> Option<Limit> {
        let mut system = self.system.lock().unwrap_or_else(PoisonError::into_inner);
        system.refresh_memory();
        Some(Limit { bytes: system.total_memory(), kind: LimitKind::Machine }).filter(|limit| limit.bytes > 0)
    }
}
