use std::fs;
use std::path::{Path, PathBuf};

use super::pressure::{self, Pressure};
use super::{Limit, LimitKind};

/// What a control group (version 2) says of the memory of all its processes.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct GroupMemory {
    /// In use, page cache included, bytes.
    pub current_bytes: Option<u64>,
    /// Private memory of processes, bytes.
    pub anon_bytes: Option<u64>,
    /// Page cache, bytes: given back when memory is short.
    pub file_bytes: Option<u64>,
    /// Of the kernel: page tables, sockets, stacks, slabs; bytes.
    pub kernel_bytes: Option<u64>,
    /// How often it was slowed down above `memory.high`.
    pub high_events: Option<u64>,
    /// How often it reached `memory.max`.
    pub max_events: Option<u64>,
    /// Processes of it that were killed for want of memory.
    pub oom_kills: Option<u64>,
    /// How long its tasks stood still for want of memory.
    pub pressure: Option<Pressure>,
}

/// The group of this process below `root`. A container sees its own group as the root, so a path that does not exist is looked for there.
fn group(root: &Path, path: &str) -> PathBuf {
    let relative = Path::new(path.trim_start_matches('/'));
    relative
        .ancestors()
        .map(|group| root.join(group))
        .find(|group| group.is_dir())
        .unwrap_or_else(|| root.to_owned())
}

/// The group's memory; what cannot be read is none. None at all where there is no such group.
pub(super) fn memory(root: &Path, path: &str) -> Option<GroupMemory> {
    let group = group(root, path);
    let text = |name: &str| fs::read_to_string(group.join(name)).ok();
    let (stat, events) = (text("memory.stat"), text("memory.events"));
    let of = |file: &Option<String>, name: &str| field(file.as_deref()?, name);
    let memory = GroupMemory {
        current_bytes: text("memory.current").and_then(|text| text.trim().parse().ok()),
        anon_bytes: of(&stat, "anon"),
        file_bytes: of(&stat, "file"),
        kernel_bytes: of(&stat, "kernel"),
        high_events: of(&events, "high"),
        max_events: of(&events, "max"),
        oom_kills: of(&events, "oom_kill"),
        pressure: text("memory.pressure").and_then(|text| pressure::parse(&text)),
    };
    (memory != GroupMemory::default()).then_some(memory)
}

/// How long its tasks stood still for want of memory.
pub(super) fn pressure(root: &Path, path: &str) -> Option<Pressure> {
    pressure::parse(&fs::read_to_string(group(root, path).join("memory.pressure")).ok()?)
}

fn field(text: &str, name: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.trim().parse().ok())
}

/// The lowest limit from the group at `path` up to the root: one above binds as well. Where `memory.high` is the lowest the group is slowed
/// down there, long before it is killed.
pub(super) fn lowest_limit(root: &Path, path: &str) -> Option<Limit> {
    let relative = Path::new(path.trim_start_matches('/'));
    relative.ancestors().flat_map(|group| limits_of(&root.join(group))).min_by_key(|limit| limit.bytes)
}

fn limits_of(group: &Path) -> impl Iterator<Item = Limit> + use<> {
    let read = |name: &str| fs::read_to_string(group.join(name)).ok()?.trim().parse().ok(); // `max`: none
    let limit = |bytes: Option<u64>, kind| bytes.map(|bytes| Limit { bytes, kind });
    [limit(read("memory.max"), LimitKind::Cgroup), limit(read("memory.high"), LimitKind::CgroupHigh)]
        .into_iter()
        .flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limit(bytes: u64, kind: LimitKind) -> Option<Limit> {
        Some(Limit { bytes, kind })
    }

    #[test]
    fn a_limit_above_binds_too() {
        let root = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| fs::write(root.path().join(path), text).unwrap();
        fs::create_dir_all(root.path().join("pods/api")).unwrap();
        write("pods/api/memory.max", "max\n");
        assert_eq!(lowest_limit(root.path(), "/pods/api"), None);
        write("pods/memory.max", "536870912\n");
        assert_eq!(lowest_limit(root.path(), "/pods/api"), limit(512 << 20, LimitKind::Cgroup));
        write("pods/api/memory.max", "268435456\n");
        assert_eq!(lowest_limit(root.path(), "/pods/api"), limit(256 << 20, LimitKind::Cgroup));
        write("pods/memory.high", "134217728\n");
        assert_eq!(lowest_limit(root.path(), "/pods/api"), limit(128 << 20, LimitKind::CgroupHigh));
        assert_eq!(lowest_limit(root.path(), "/not/visible/from/here"), None);
    }

    #[test]
    fn a_group_s_files_are_read_and_what_is_missing_is_none() {
        let root = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| fs::write(root.path().join(name), text).unwrap();
        assert_eq!(memory(root.path(), "/gone"), None);
        write("memory.current", "1000000\n");
        write("memory.stat", "anon 600000\nfile 300000\nkernel 100000\nkernel_stack 1\n");
        write("memory.events", "low 0\nhigh 3\nmax 2\noom 1\noom_kill 1\n");
        let memory = memory(root.path(), "/gone").unwrap();
        assert_eq!(
            (memory.anon_bytes, memory.file_bytes, memory.kernel_bytes),
            (Some(600_000), Some(300_000), Some(100_000))
        );
        assert_eq!((memory.high_events, memory.max_events, memory.oom_kills), (Some(3), Some(2), Some(1)));
        assert_eq!((memory.current_bytes, memory.pressure), (Some(1_000_000), None));
    }
}
