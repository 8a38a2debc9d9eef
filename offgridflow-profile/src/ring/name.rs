//! Names of files: what, from when, until when, and a number that tells apart those of one instant.

use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// What every file that is not yet whole begins with.
pub(super) const UNFINISHED: &str = ".unfinished-";
const END: &str = ".pb.gz";

pub(super) fn of(what: &str, began: SystemTime, until: SystemTime, number: u64) -> String {
    format!("{what}-{:014}-{:014}-{number:x}{END}", millis(began), millis(until))
}

/// What, from and until; none for a file of somebody else's.
pub(super) fn parse(path: &Path) -> Option<(String, SystemTime, SystemTime)> {
    let mut parts = path.file_name()?.to_str()?.strip_suffix(END)?.split('-');
    let (what, began, until) = (parts.next()?, parts.next()?, parts.next()?);
    u64::from_str_radix(parts.next()?, 16).ok()?;
    let ours = parts.next().is_none() && is_plain(what);
    let (began, until) = (at(began)?, at(until)?);
    (ours && began <= until).then_some((what.to_owned(), began, until))
}

/// Whether it can stand in a file's name everywhere.
pub(super) fn is_plain(what: &str) -> bool {
    (1..=32).contains(&what.len())
        && what.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
}

fn millis(at: SystemTime) -> u128 {
    at.duration_since(UNIX_EPOCH).unwrap_or_default().as_millis()
}

fn at(millis: &str) -> Option<SystemTime> {
    UNIX_EPOCH.checked_add(Duration::from_millis(millis.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_leads_back_to_its_window_and_others_are_left_alone() {
        let (began, until) = (
            UNIX_EPOCH + Duration::from_millis(1_790_000_000_123),
            UNIX_EPOCH + Duration::from_millis(1_790_000_010_123),
        );
        let name = of("cpu", began, until, 0xAB);
        assert_eq!(parse(Path::new(&name)), Some(("cpu".to_owned(), began, until)));
        for other in [
            "cpu.pb.gz",
            "cpu-1-2-3",
            "cpu-1-2-x.pb.gz",
            "CPU-1-2-3.pb.gz",
            "cpu-1-2-3-4.pb.gz",
            ".unfinished-1",
        ] {
            assert_eq!(parse(Path::new(other)), None, "{other}");
        }
    }
}
