//! Where and when a run took place.

use std::time::{SystemTime, UNIX_EPOCH};

/// Where and when a run took place, as far as this system tells: for those who compare reports. No name of the machine, nor of whoever
/// ran it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct Environment {
    /// When it began, in seconds since 1970.
    pub started_unix_seconds: u64,
    /// The operating system, and on Linux the version of its kernel.
    pub system: String,
    /// The kind of processor, such as `x86_64`.
    pub architecture: String,
    /// What the processor calls itself.
    pub processor: Option<String>,
    /// How many cores this process may use.
    pub cores: Option<u64>,
}

impl Environment {
    /// This machine, for a run that began then.
    pub(crate) fn here(started: SystemTime) -> Self {
        let cores = std::thread::available_parallelism().ok();
        let kernel = line_of("/proc/sys/kernel/osrelease", |line| Some(line.trim()));
        let system = [Some(std::env::consts::OS.to_owned()), kernel].into_iter().flatten();
        Self {
            started_unix_seconds: started.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs(),
            system: system.collect::<Vec<_>>().join(" "),
            architecture: std::env::consts::ARCH.into(),
            processor: line_of("/proc/cpuinfo", |line| {
                let (name, value) = line.split_once(':')?;
                (name.trim() == "model name").then_some(value.trim())
            }),
            cores: cores.and_then(|cores| u64::try_from(cores.get()).ok()),
        }
    }
}

/// What is found first in a file that only Linux has.
fn line_of(path: &str, find: impl Fn(&str) -> Option<&str>) -> Option<String> {
    let text = std::fs::read_to_string(path).ok()?;
    text.lines().find_map(|line| find(line).map(str::to_owned))
}
