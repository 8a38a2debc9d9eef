use std::fs;
use std::path::{Path, PathBuf};

use super::{GroupMemory, Limit, LimitKind, MemoryReading, MemorySource, Pressure, cgroup, pressure};
use crate::ProfileError;

/// What stands behind a [`MemoryReading`].
#[derive(Debug, Clone, Copy, Default, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct MemoryDetail {
    /// The process's pages by whom they are shared with.
    pub resident: Option<Resident>,
    /// Its control group: all processes in it, page cache and kernel included.
    pub group: Option<GroupMemory>,
    /// How long tasks of the machine stood still for want of memory.
    pub machine_pressure: Option<Pressure>,
}

/// Resident pages, from `smaps_rollup`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Resident {
    /// Its own pages and its part of the shared ones: over all processes they add up to what is in use. Bytes.
    pub proportional_bytes: u64,
    /// Pages that nobody else has: what its end would give back. Bytes.
    pub private_bytes: u64,
    /// Pages in huge ones, which may hold more than is asked for. Bytes.
    pub huge_bytes: u64,
}

/// Memory from `/proc/self/status`, limits from control groups (version 2), `/proc/self/limits` and `/proc/meminfo`. Linux.
#[derive(Debug, Clone)]
pub struct ProcSource {
    proc: PathBuf,
    cgroups: PathBuf,
}

impl ProcSource {
    /// This process, as the kernel shows it at `/proc` and `/sys/fs/cgroup`.
    #[must_use]
    pub fn new() -> Self {
        Self::at("/proc", "/sys/fs/cgroup")
    }

    /// Reads the same files below other folders: for tests, and for containers that mount them elsewhere.
    #[must_use]
    pub fn at(proc: impl Into<PathBuf>, cgroups: impl Into<PathBuf>) -> Self {
        Self { proc: proc.into(), cgroups: cgroups.into() }
    }

    /// What stands behind a reading: the pages this process alone would give back, its control group, and how long tasks stood still for want
    /// of memory. What this system does not show is none. Costs about a millisecond for each gigabyte that is mapped: for a report, not for every second.
    #[must_use]
    pub fn detail(&self) -> MemoryDetail {
        let text = |name: &str| fs::read_to_string(self.proc.join(name)).ok();
        MemoryDetail {
            resident: text("self/smaps_rollup").and_then(|text| parse_rollup(&text)),
            group: cgroup::memory(&self.cgroups, &group_of(&self.proc)),
            machine_pressure: text("pressure/memory").and_then(|text| pressure::parse(&text)),
        }
    }

    /// How long tasks stood still for want of memory: of this process's control group, or of the machine where the group does not say. Costs microseconds.
    #[must_use]
    pub fn pressure(&self) -> Option<Pressure> {
        let group = cgroup::pressure(&self.cgroups, &group_of(&self.proc));
        let machine = || pressure::parse(&fs::read_to_string(self.proc.join("pressure/memory")).ok()?);
        group.or_else(machine)
    }

    /// The soft limit in `/proc/self/limits`.
    fn address_space(&self) -> Option<Limit> {
        let text = fs::read_to_string(self.proc.join("self/limits")).ok()?;
        let line = text.lines().find_map(|line| line.strip_prefix("Max address space"))?;
        let bytes = line.split_whitespace().next()?.parse().ok()?; // `unlimited`: none
        Some(Limit { bytes, kind: LimitKind::AddressSpace })
    }

    fn machine_limit(&self) -> Option<Limit> {
        let text = fs::read_to_string(self.proc.join("meminfo")).ok()?;
        Some(Limit { bytes: kilobytes(&text, "MemTotal")?, kind: LimitKind::Machine })
    }
}

impl Default for ProcSource {
    fn default() -> Self {
        Self::new()
    }
}

impl MemorySource for ProcSource {
    fn read(&self) -> Result<MemoryReading, ProfileError> {
        let path = self.proc.join("self/status");
        let shown = || path.display().to_string();
        let text =
            fs::read_to_string(&path).map_err(|source| ProfileError::Read { path: shown(), source })?;
        parse_status(&text).map_err(|field| ProfileError::Field { path: shown(), field })
    }

    fn limit(&self) -> Option<Limit> {
        let group = cgroup::lowest_limit(&self.cgroups, &group_of(&self.proc));
        [group, self.address_space(), self.machine_limit()]
            .into_iter()
            .flatten()
            .min_by_key(|limit| limit.bytes)
    }
}

/// The control group of version 2 that this process is in: the line `0::/path`.
fn group_of(proc: &Path) -> String {
    let text = fs::read_to_string(proc.join("self/cgroup")).unwrap_or_default();
    text.lines().find_map(|line| line.strip_prefix("0::")).unwrap_or("/").to_owned()
}

/// The fields of `proc_pid_status(5)`; the missing one as an error.
fn parse_status(text: &str) -> Result<MemoryReading, &'static str> {
    Ok(MemoryReading {
        rss_bytes: kilobytes(text, "VmRSS").ok_or("VmRSS")?,
        anon_bytes: kilobytes(text, "RssAnon"),
        file_bytes: kilobytes(text, "RssFile"),
        swap_bytes: kilobytes(text, "VmSwap"),
        kernel_bytes: kilobytes(text, "VmPTE"),
        peak_rss_bytes: kilobytes(text, "VmHWM"),
        virtual_bytes: kilobytes(text, "VmSize").ok_or("VmSize")?,
        threads: field(text, "Threads").and_then(|value| value.parse().ok()),
    })
}

fn parse_rollup(text: &str) -> Option<Resident> {
    let private = ["Private_Clean", "Private_Dirty"].map(|name| kilobytes(text, name));
    Some(Resident {
        proportional_bytes: kilobytes(text, "Pss")?,
        private_bytes: private[0]?.saturating_add(private[1]?),
        huge_bytes: kilobytes(text, "AnonHugePages").unwrap_or(0),
    })
}

fn kilobytes(text: &str, name: &str) -> Option<u64> {
    let value = field(text, name)?.strip_suffix("kB")?.trim_end();
    value.parse::<u64>().ok()?.checked_mul(1_024)
}

fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.lines().find_map(|line| Some(line.strip_prefix(name)?.strip_prefix(':')?.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_status_of_the_kernel_is_read() {
        let text = "Name:\tcat\nVmSize:\t    5632 kB\nVmHWM:\t    1024 kB\nVmRSS:\t     980 kB\nRssAnon:\t      92 kB\nRssFile:\t     888 kB\nVmSwap:\t       4 kB\nThreads:\t1\n";
        let reading = parse_status(text).unwrap();
        assert_eq!((reading.rss_bytes, reading.virtual_bytes), (980 << 10, 5_632 << 10));
        assert_eq!((reading.anon_bytes, reading.in_use_bytes()), (Some(92 << 10), 96 << 10));
        assert_eq!(reading.threads, Some(1));
        assert_eq!(parse_status("VmSize: 1 kB\n"), Err("VmRSS"), "a kernel thread has none");
    }

    proptest! {
        #[test]
        fn arbitrary_text_never_panics(text in ".*", number: u64) {
            let _ = parse_status(&text);
            let _ = parse_status(&format!("VmRSS:\t{number} kB\nVmSize:\t{text}"));
        }
    }
}
