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

/// Writes each incident's page and its profiles into a folder, and lets the oldest incidents go.
#[derive(Debug)]
pub struct DirSink {
    folder: PathBuf,
    most: usize,
}

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
        Ok(Self { folder, most })
    }

    /// The page of an incident that is kept.
    #[must_use]
    pub fn page(&self, id: &str) -> Option<String> {
        is_id(id).then(|| fs::read_to_string(self.folder.join(format!("{id}.html"))).ok()).flatten()
    }

    /// What is kept, the oldest first.
    #[must_use]
    pub fn ids(&self) -> Vec<String> {
        let name = |entry: fs::DirEntry| Some(entry.file_name().to_str()?.strip_suffix(".html")?.to_owned());
        let entries = fs::read_dir(&self.folder).into_iter().flatten().flatten();
        let mut ids: Vec<String> = entries.filter_map(name).filter(|id| is_id(id)).collect();
        ids.sort_unstable();
        ids
    }

    /// Room for one more.
    fn make_room(&self) {
        let ids = self.ids();
        let kept = self.most - 1;
        for id in ids.iter().take(ids.len().saturating_sub(kept)) {
            let files = fs::read_dir(&self.folder).into_iter().flatten().flatten();
            let theirs = |name: &str| {
                name.strip_prefix(id.as_str()).is_some_and(|rest| rest == ".html" || rest.starts_with('-'))
            };
            for file in files.filter(|file| file.file_name().to_str().is_some_and(theirs)) {
                let _ = fs::remove_file(file.path());
            }
        }
    }
}

impl IncidentSink for DirSink {
    fn put(&self, incident: &Incident) -> Result<(), ProfileError> {
        self.make_room();
        for evidence in &incident.evidence {
            for (when, profile) in [("before", &evidence.before), ("after", &evidence.after)] {
                if let Some(profile) = profile {
                    let name = format!("{}-{}-{when}.pb.gz", incident.id, evidence.what);
                    self.write(&name, &profile.to_pprof())?;
                }
            }
        }
        self.write(&format!("{}.html", incident.id), incident.to_html().as_bytes())
    }
}

impl DirSink {
    /// Whole or not at all.
    fn write(&self, name: &str, bytes: &[u8]) -> Result<(), ProfileError> {
        let (unfinished, whole) = (self.folder.join(format!(".unfinished-{name}")), self.folder.join(name));
        let written = fs::write(&unfinished, bytes).and_then(|()| fs::rename(&unfinished, &whole));
        if written.is_err() {
            let _ = fs::remove_file(&unfinished);
        }
        written.map_err(|source| failed(&whole, source))
    }
}

fn failed(path: &Path, source: io::Error) -> ProfileError {
    ProfileError::Write { path: path.display().to_string(), source }
}
