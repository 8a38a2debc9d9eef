//! The boards as files.

use std::path::{Path, PathBuf};
use std::{fmt, fs, io};

use crate::boards::all;
use crate::lint::lint;

/// Where they are, from the root of the repository.
pub const FOLDER: &str = "infra/grafana/dashboards";

/// What is wrong with a file.
#[derive(Debug)]
pub struct Fault {
    path: PathBuf,
    what: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path.display(), self.what)
    }
}

/// Writes every board below `folder`.
///
/// # Errors
/// What the file system says.
pub fn write(folder: &Path) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    all().iter().try_for_each(|board| fs::write(path_of(folder, board.name), board.to_json()))
}

/// What is wrong below `folder`: a board that is not as the code has it, a file that is no board of ours, a rule that is broken.
///
/// # Errors
/// When the folder cannot be read.
pub fn check(folder: &Path) -> io::Result<Vec<Fault>> {
    let mut faults = Vec::new();
    for board in all() {
        let path = path_of(folder, board.name);
        let Ok(found) = fs::read_to_string(&path) else {
            faults.push(Fault { path, what: "is missing: run `make boards`".to_owned() });
            continue;
        };
        let mut fault = |what| faults.push(Fault { path: path.clone(), what });
        if let Some((line, text)) = first_difference(&found, &board.to_json()) {
            fault(format!(
                "line {line} is not as the code has it: `{text}`. Change infra/boards, then run `make boards`"
            ));
        }
        match serde_json::from_str(&found) {
            Ok(found) => lint(&found).iter().for_each(|broken| fault(broken.to_string())),
            Err(error) => fault(format!("is no JSON: {error}")),
        }
    }
    faults.extend(strangers(folder)?);
    Ok(faults)
}

fn path_of(folder: &Path, name: &str) -> PathBuf {
    folder.join(format!("{name}.json"))
}

/// The first line that differs, and how it is in the first text.
fn first_difference(found: &str, wanted: &str) -> Option<(usize, String)> {
    let (mut theirs, mut ours, mut line) = (found.split('\n'), wanted.split('\n'), 0);
    loop {
        line += 1;
        match (theirs.next(), ours.next()) {
            (None, None) => return None,
            (one, other) if one == other => {}
            (one, _) => return Some((line, one.unwrap_or("the end").trim().to_owned())),
        }
    }
}

fn strangers(folder: &Path) -> io::Result<Vec<Fault>> {
    let ours: Vec<_> = all().iter().map(|board| path_of(folder, board.name)).collect();
    let paths = fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>()?;
    let strange = paths.into_iter().filter(|path| !ours.contains(path));
    Ok(strange.map(|path| Fault { path, what: "no code makes this file".to_owned() }).collect())
}
