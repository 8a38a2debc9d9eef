use std::collections::BTreeSet;
use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::{Incident, is_id};
use crate::ProfileError;

/// Takes incidents away: to a folder, to a server.
///
/// Called on the profiler's own thread, one incident after the other; may block.
pub trait IncidentSink: fmt::Debug + Send + Sync {
    /// Keeps an incident.
    ///
    /// # Errors
    /// When it could not be kept. The profiler counts that, keeps the reason ([`Profiler::sink_failure`](crate::Profiler::sink_failure)) and goes on; it is not asked again for this incident.
    fn put(&self, incident: &Incident) -> Result<(), ProfileError>;
}

/// Writes each incident's page and its profiles into a folder, and lets the oldest incidents go: beyond `most` of them, and where the disk is full.
///
/// The page is written first, each file whole or not at all. What a process that was killed left of an incident goes as any other does.
#[derive(Debug)]
pub struct DirSink {
    folder: PathBuf,
    most: usize,
}

/// What a file that is not yet whole begins with.
const UNFINISHED: &str = ".unfinished-";

impl DirSink {
    /// Into the folder at `path`, which is made if it is not there; the newest `most` incidents are kept. Files of others are left alone.
    ///
    /// # Errors
    /// When the folder cannot be made, or `most` is zero.
    pub fn new(path: impl AsRef<Path>, most: usize) -> Result<Self, ProfileError> {
        let folder = path.as_ref().to_owned();
        if most == 0 {
            return Err(ProfileError::Setting {
                setting: "most",
                value: "0".to_owned(),
                hint: "must be above 0",
            });
        }
        fs::create_dir_all(&folder).map_err(|source| failed(&folder, source))?;
        let sink = Self { folder, most };
        let unfinished = |name: &str| name.strip_prefix(UNFINISHED).is_some_and(|name| owner(name).is_some());
        sink.names().into_iter().filter(|name| unfinished(name)).for_each(|name| sink.remove(&name));
        Ok(sink)
    }

    /// The page of an incident that is kept.
    #[must_use]
    pub fn page(&self, id: &str) -> Option<String> {
        is_id(id).then(|| fs::read_to_string(self.folder.join(format!("{id}.html"))).ok()).flatten()
    }

    /// What is kept, the oldest first.
    #[must_use]
    pub fn ids(&self) -> Vec<String> {
        let id = |name: String| Some(name.strip_suffix(".html")?.to_owned());
        let mut ids: Vec<String> = self.names().into_iter().filter_map(id).filter(|id| is_id(id)).collect();
        ids.sort_unstable();
        ids
    }

    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(&self.folder).into_iter().flatten().flatten();
        entries.filter_map(|entry| entry.file_name().into_string().ok()).collect()
    }

    fn remove(&self, name: &str) {
        let _ = fs::remove_file(self.folder.join(name)); // somebody else may have been sooner
    }

    /// Room for one more.
    fn make_room(&self) {
        while self.owners().len() >= self.most && self.let_oldest_go("") {}
    }

    /// Incidents of which there is a file, by age.
    fn owners(&self) -> BTreeSet<String> {
        self.names().iter().filter_map(|name| owner(name)).map(str::to_owned).collect()
    }

    /// Removes the files of the oldest incident but `newest`; whether there was one, and it is gone.
    fn let_oldest_go(&self, newest: &str) -> bool {
        let Some(oldest) = self.owners().into_iter().find(|id| id != newest) else { return false };
        let theirs = |name: &String| owner(name) == Some(oldest.as_str());
        self.names().into_iter().filter(theirs).for_each(|name| self.remove(&name));
        !self.owners().contains(&oldest)
    }

    /// Whole or not at all; while the disk is full, older incidents make way.
    fn write(&self, incident: &str, name: &str, bytes: &[u8]) -> Result<(), ProfileError> {
        let (unfinished, whole) = (self.folder.join(format!("{UNFINISHED}{name}")), self.folder.join(name));
        loop {
            let written = fs::write(&unfinished, bytes).and_then(|()| fs::rename(&unfinished, &whole));
            let Err(error) = written else { return Ok(()) };
            let _ = fs::remove_file(&unfinished);
            if !(is_full(&error) && self.let_oldest_go(incident)) {
                return Err(failed(&whole, error));
            }
        }
    }
}

impl IncidentSink for DirSink {
    fn put(&self, incident: &Incident) -> Result<(), ProfileError> {
        self.make_room();
        let id = incident.id.as_str();
        self.write(id, &format!("{id}.html"), incident.to_html().as_bytes())?;
        for evidence in &incident.evidence {
            for (when, profile) in [("before", &evidence.before), ("after", &evidence.after)] {
                if let Some(profile) = profile {
                    let name = format!("{id}-{}-{when}.pb.gz", evidence.what);
                    self.write(id, &name, &profile.to_pprof())?;
                }
            }
        }
        Ok(())
    }
}

/// The incident that a file is of, by its name.
fn owner(name: &str) -> Option<&str> {
    let id = match name.strip_suffix(".html") {
        Some(id) => id,
        None => name.strip_suffix(".pb.gz")?.rsplitn(3, '-').nth(2)?,
    };
    is_id(id).then_some(id)
}

/// No room on the disk, or within what this user may have of it.
fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

fn failed(path: &Path, source: io::Error) -> ProfileError {
    ProfileError::Write { path: path.display().to_string(), source }
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;
    use crate::incident::example::{heap, incident};
    use crate::incident::{Evidence, id};
    use crate::{Frame, Stack};

    /// The example, so many seconds later.
    fn later(seconds: u64) -> Incident {
        let at = incident().at + std::time::Duration::from_secs(seconds);
        Incident { id: id(at, "leak"), at, ..incident() }
    }

    fn names(folder: &Path) -> Vec<String> {
        let name = |entry: fs::DirEntry| entry.file_name().into_string().unwrap();
        let mut names: Vec<String> = fs::read_dir(folder).unwrap().flatten().map(name).collect();
        names.sort();
        names
    }

    #[test]
    fn what_a_crash_left_of_an_incident_goes_like_any_other() {
        let folder = tempfile::tempdir().unwrap();
        for name in [
            "00000000000001-leak-heap-after.pb.gz", // its page was never written
            ".unfinished-00000000000002-leak.html",
            ".unfinished-00000000000002-leak-heap-before.pb.gz",
            ".unfinished-notes.html",
            "notes.txt",
        ] {
            fs::write(folder.path().join(name), "x").unwrap();
        }
        let sink = DirSink::new(folder.path(), 2).unwrap();
        (0..3).for_each(|nth| sink.put(&later(nth)).unwrap());
        let kept = names(folder.path());
        let ours =
            kept.iter().filter(|name| name.starts_with(&later(1).id) || name.starts_with(&later(2).id));
        assert_eq!(ours.count(), 6, "two pages with two profiles each: {kept:?}");
        assert!(kept.len() == 8 && kept.contains(&".unfinished-notes.html".to_owned()), "{kept:?}");
    }

    /// Letters that do not compress.
    fn noise(count: u64) -> String {
        (0..count).map(|n| format!("{:x}", n.wrapping_mul(0x9E37_79B9_7F4A_7C15))).collect()
    }

    /// Runs on a file system of 128 KiB; needs the right to mount, and says so where it is missing.
    fn on_a_small_disk(work: impl FnOnce(&Path)) {
        let folder = tempfile::tempdir().unwrap();
        let mount = ["-t", "tmpfs", "-o", "size=128k", "tmpfs"];
        let mounted = Command::new("mount").args(mount).arg(folder.path()).stderr(Stdio::null()).status();
        if !mounted.is_ok_and(|status| status.success()) {
            eprintln!("not run: mounting is not permitted here");
            return;
        }
        let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| work(folder.path())));
        assert!(Command::new("umount").arg(folder.path()).status().unwrap().success());
        done.unwrap();
    }

    #[test]
    fn on_a_full_disk_older_incidents_make_way_for_the_newest() {
        on_a_small_disk(|folder| {
            let sink = DirSink::new(folder, 100).unwrap();
            for nth in 0..6 {
                let large = Incident { notes: vec![noise(2_500)], ..later(nth) }; // 40 KB
                sink.put(&large).unwrap();
                assert!(sink.page(&large.id).is_some(), "{nth}");
            }
            assert!((1..=3).contains(&sink.ids().len()), "{:?}", sink.ids());
        });
    }

    /// The page says it all, and is written first.
    #[test]
    fn profiles_that_find_no_room_do_not_cost_the_page() {
        on_a_small_disk(|folder| {
            let sink = DirSink::new(folder, 100).unwrap();
            sink.put(&later(0)).unwrap();
            let mut huge = heap(1);
            let stack = |nth: u64| Stack {
                frames: vec![Frame::named(noise(40) + &nth.wrapping_mul(0x9E37_79B9_7F4A_7C15).to_string())],
                ..huge.stacks[0].clone()
            };
            huge.stacks = (0..20_000).map(stack).collect();
            let evidence = Evidence { what: "cpu".to_owned(), before: Some(huge), after: None };
            let incident = Incident { evidence: vec![evidence], ..later(1) };
            let refused = sink.put(&incident).unwrap_err().to_string();
            assert!(refused.starts_with("cannot write ") && refused.contains("cpu-before"), "{refused}");
            assert!(sink.page(&incident.id).is_some());
            assert!(names(folder).iter().all(|name| !name.contains("unfinished")), "{:?}", names(folder));
        });
    }
}
