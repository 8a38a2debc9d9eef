use std::fs;
use std::path::Path;

/// The lowest `memory.max` from the group at `path` up to the root: a limit above binds as well.
/// A container sees its own group as the root, so a path that does not exist is looked for at the root.
pub(super) fn lowest_limit(root: &Path, path: &str) -> Option<u64> {
    let relative = Path::new(path.trim_start_matches('/'));
    relative.ancestors().filter_map(|group| limit_of(&root.join(group))).min()
}

fn limit_of(group: &Path) -> Option<u64> {
    fs::read_to_string(group.join("memory.max")).ok()?.trim().parse().ok() // `max`: none
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_above_binds_too() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir_all(root.path().join("pods/api")).unwrap();
        fs::write(root.path().join("pods/api/memory.max"), "max\n").unwrap();
        assert_eq!(lowest_limit(root.path(), "/pods/api"), None);
        fs::write(root.path().join("pods/memory.max"), "536870912\n").unwrap();
        assert_eq!(lowest_limit(root.path(), "/pods/api"), Some(512 << 20));
        fs::write(root.path().join("pods/api/memory.max"), "268435456\n").unwrap();
        assert_eq!(lowest_limit(root.path(), "/pods/api"), Some(256 << 20));
        assert_eq!(lowest_limit(root.path(), "/not/visible/from/here"), None);
    }
}
