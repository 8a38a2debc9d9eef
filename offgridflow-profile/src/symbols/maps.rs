use std::fs;

/// A part of a file that is mapped to be run.
#[derive(Debug, Clone)]
pub(super) struct Mapped {
    pub(super) from: usize,
    pub(super) to: usize,
    pub(super) offset: u64,
    /// Which file: device and inode.
    pub(super) file: (u64, u64),
    /// Its path, as it was when it was mapped.
    pub(super) path: String,
    /// Where it can be opened; `None` where another file has taken its place.
    pub(super) open: Option<String>,
}

/// The file that this process was started from, also when another one has taken its place.
const PROGRAM: &str = "/proc/self/exe";

/// What is mapped to be run now, from the lowest address on: the program before its libraries. Empty where there is no /proc.
pub(super) fn executable() -> Vec<Mapped> {
    fs::read_to_string("/proc/self/maps").map_or_else(|_| Vec::new(), |maps| parse(&maps))
}

fn parse(maps: &str) -> Vec<Mapped> {
    maps.lines().filter_map(line).collect()
}

/// A line of `proc_pid_maps(5)`: `from-to rights offset device inode path`.
fn line(line: &str) -> Option<Mapped> {
    let mut rest = line;
    let mut word = || {
        let (word, left) = rest.split_once(' ')?;
        rest = left.trim_start();
        Some(word)
    };
    let (range, rights, offset, device, inode) = (word()?, word()?, word()?, word()?, word()?);
    let path = rest;
    if !rights.contains('x') || !path.starts_with('/') {
        return None;
    }
    let hex = |text| u64::from_str_radix(text, 16).ok();
    let (from, to) = range.split_once('-')?;
    let (major, minor) = device.split_once(':')?;
    // Replaced or removed since: another file may stand at that path. The program's own is still to be had.
    let (path, open) = match path.strip_suffix(" (deleted)") {
        Some(path) => (path, is_program(path).then(|| PROGRAM.to_owned())),
        None => (path, Some(path.to_owned())),
    };
    Some(Mapped {
        from: usize::try_from(hex(from)?).ok()?,
        to: usize::try_from(hex(to)?).ok()?,
        offset: hex(offset)?,
        file: (hex(major)? << 32 | hex(minor)?, inode.parse().ok()?),
        path: path.to_owned(),
        open,
    })
}

fn is_program(path: &str) -> bool {
    fs::read_link(PROGRAM).is_ok_and(|link| link.to_str() == Some(&format!("{path} (deleted)")))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_run_is_read_with_its_spaces() {
        let maps = "55d0-55e0 r--p 00000000 08:01 131 /bin/a\n\
            55e0-55f0 r-xp 00010000 08:01 131                        /srv/my program\n\
            55f0-5600 r-xp 00000000 00:00 0                          [vdso]\n\
            5600-5610 r-xp 00020000 fe:0a 7 /srv/old.so (deleted)\n";
        let maps = parse(maps);
        let seen: Vec<_> =
            maps.iter().map(|map| (map.from, map.offset, map.path.as_str(), map.open.is_some())).collect();
        assert_eq!(
            seen,
            [(0x55e0, 0x10000, "/srv/my program", true), (0x5600, 0x20000, "/srv/old.so", false)]
        );
        assert_eq!(maps[1].file, (0xfe << 32 | 0x0a, 7));
    }

    proptest! {
        #[test]
        fn arbitrary_text_never_panics(text in "([0-9a-f]{0,4}[ :/x-]?){0,12}") {
            let _ = parse(&text);
        }
    }
}
