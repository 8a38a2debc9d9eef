use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::contest::Plan;
use super::{GateError, Round, Rule};
use crate::fnv::fnv1a;

/// What a run is about: one that goes on has to be about the same.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Start {
    pub(crate) schema: String,
    pub(crate) base: String,
    pub(crate) head: String,
    pub(crate) rule: Rule,
    /// A digest of each program, by side and name.
    pub(crate) programs: BTreeMap<String, String>,
}

/// One line of a journal, written as soon as it is known.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Line {
    Start(Start),
    Pilot { bench: String, plan: Plan, spent_ms: u64 },
    Round { round: Round, spent_ms: u64 },
    Broken { bench: String, why: String, spent_ms: u64 },
}

/// What was known when a run was cut short.
#[derive(Debug, Default)]
pub(crate) struct Past {
    pub(crate) plans: BTreeMap<String, Plan>,
    pub(crate) rounds: Vec<Round>,
    pub(crate) broken: BTreeMap<String, String>,
    /// Time it had taken, building not counted.
    pub(crate) spent: Duration,
}

/// The rounds of a run as JSON lines, appended as they are measured, so that a run that was killed can go on.
#[derive(Debug)]
pub(crate) struct Journal {
    file: File,
    path: PathBuf,
}

impl Journal {
    /// A new one in place of what was at `path`.
    pub(crate) fn begin(path: &Path, start: Start) -> Result<Self, GateError> {
        let file = File::create(path).map_err(|error| GateError::write(path, &error))?;
        let mut journal = Self { file, path: path.to_owned() };
        journal.append(&Line::Start(start))?;
        Ok(journal)
    }

    /// Goes on with the one at `path`. The seed of `start` is replaced by the journal's: the coins go on falling as they would have.
    pub(crate) fn resume(path: &Path, start: &mut Start) -> Result<(Self, Past), GateError> {
        let mut file = OpenOptions::new().read(true).append(true).open(path).map_err(|error| {
            GateError::Setup(format!("there is no run to go on with: {}: {error}", path.display()))
        })?;
        let mut text = String::new();
        file.read_to_string(&mut text).map_err(|error| GateError::read(path, &error))?;
        let whole = text.rfind('\n').map_or(0, |end| end + 1);
        text.truncate(whole); // a line half written when the run was killed was never looked at
        let cut = |error: io::Error| GateError::write(path, &error);
        file.set_len(whole as u64).map_err(cut)?;
        file.seek(io::SeekFrom::End(0)).map_err(cut)?;
        let mut lines = crate::history::parse_lines::<Line>(&text)
            .map_err(|(line, error)| {
                GateError::Invalid(format!(
                    "{}, line {line} is no line of a journal: {error}",
                    path.display()
                ))
            })?
            .into_iter();
        let Some(Line::Start(past)) = lines.next() else {
            return Err(GateError::Invalid(format!("{} does not begin as a journal does", path.display())));
        };
        start.rule.seed = past.rule.seed;
        if let Some(what) = difference(&past, start) {
            return Err(GateError::Usage(format!(
                "the run that was interrupted had {what}: run without --resume, or as it was run"
            )));
        }
        let mut told = Past::default();
        lines.for_each(|line| told.take(line));
        Ok((Self { file, path: path.to_owned() }, told))
    }

    pub(crate) fn pilot(&mut self, bench: &str, plan: &Plan, spent: Duration) -> Result<(), GateError> {
        let (bench, plan) = (bench.to_owned(), plan.clone());
        self.append(&Line::Pilot { bench, plan, spent_ms: milliseconds(spent) })
    }

    pub(crate) fn round(&mut self, round: &Round, spent: Duration) -> Result<(), GateError> {
        self.append(&Line::Round { round: round.clone(), spent_ms: milliseconds(spent) })
    }

    pub(crate) fn broken(&mut self, bench: &str, why: &str, spent: Duration) -> Result<(), GateError> {
        let (bench, why) = (bench.to_owned(), why.to_owned());
        self.append(&Line::Broken { bench, why, spent_ms: milliseconds(spent) })
    }

    /// One line, in one write.
    fn append(&mut self, line: &Line) -> Result<(), GateError> {
        let failed = |error: io::Error| GateError::write(&self.path, &error);
        let mut text = serde_json::to_string(line).map_err(|error| failed(error.into()))?;
        text.push('\n');
        self.file.write_all(text.as_bytes()).map_err(failed)
    }
}

impl Past {
    fn take(&mut self, line: Line) {
        let spent_ms = match line {
            Line::Start(_) => return,
            Line::Pilot { bench, plan, spent_ms } => {
                self.plans.insert(bench, plan);
                spent_ms
            }
            Line::Round { round, spent_ms } => {
                self.rounds.push(round);
                spent_ms
            }
            Line::Broken { bench, why, spent_ms } => {
                self.broken.insert(bench, why);
                spent_ms
            }
        };
        self.spent = Duration::from_millis(spent_ms);
    }
}

/// The first thing in which two runs are not the same.
fn difference(past: &Start, now: &Start) -> Option<&'static str> {
    match () {
        () if past.schema != now.schema => Some("another version of this program"),
        () if past.base != now.base || past.head != now.head => Some("other revisions"),
        () if past.rule != now.rule => Some("other settings"),
        () if past.programs != now.programs => Some("other programs, built from the same revisions"),
        () => None,
    }
}

/// Whole milliseconds.
pub(crate) fn milliseconds(spent: Duration) -> u64 {
    u64::try_from(spent.as_millis()).unwrap_or(u64::MAX)
}

/// A digest of a program, to tell whether it is still the same file.
pub(crate) fn digest(path: &Path) -> Result<String, GateError> {
    let bytes = std::fs::read(path).map_err(|error| GateError::read(path, &error))?;
    Ok(format!("{:016x}", fnv1a(&bytes)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn start(seed: u64) -> Start {
        let rule = Rule { seed, ..Rule::default() };
        let programs = BTreeMap::from([("base p/t".to_owned(), "1".to_owned())]);
        Start { schema: "s".to_owned(), base: "b".to_owned(), head: "h".to_owned(), rule, programs }
    }

    fn round(round: usize) -> Round {
        let (bench, base, head) = ("p/t: b".to_owned(), vec![1.5], vec![2.5]);
        Round {
            bench,
            round,
            control: false,
            base_first: true,
            layout: 0,
            base,
            head,
            waited_ms: 3,
            took_ms: 4,
        }
    }

    #[test]
    fn a_killed_run_is_read_back_to_its_last_whole_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal.jsonl");
        let mut journal = Journal::begin(&path, start(7)).unwrap();
        journal.round(&round(0), Duration::from_secs(2)).unwrap();
        journal.broken("p/t: c", "it failed", Duration::from_secs(3)).unwrap();
        let whole = std::fs::read(&path).unwrap();
        std::fs::write(&path, [whole.clone(), br#"{"round":{"round":{"be"#.to_vec()].concat()).unwrap();
        let mut again = start(1);
        let (mut journal, past) = Journal::resume(&path, &mut again).unwrap();
        assert_eq!((again.rule.seed, past.rounds, past.spent), (7, vec![round(0)], Duration::from_secs(3)));
        assert_eq!(past.broken["p/t: c"], "it failed");
        journal.round(&round(1), Duration::from_secs(4)).unwrap();
        assert_eq!(Journal::resume(&path, &mut start(1)).unwrap().1.rounds, [round(0), round(1)]);
    }

    #[test]
    fn another_run_is_not_gone_on_with() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal.jsonl");
        let said = |change: fn(&mut Start)| {
            let mut other = start(1);
            change(&mut other);
            let error = Journal::resume(&path, &mut other).unwrap_err();
            (error.exit_code(), error.to_string())
        };
        let (code, text) = said(|_| {});
        assert!(code == 4 && text.contains("no run to go on with"), "{text}");
        drop(Journal::begin(&path, start(7)).unwrap());
        for (change, words) in [
            ((|start| start.head = "x".to_owned()) as fn(&mut Start), "other revisions"),
            (|start| start.rule.slowdown = 0.5, "other settings"),
            (|start| drop(start.programs.insert("base p/t".to_owned(), "2".to_owned())), "other programs"),
            (|start| start.schema = "t".to_owned(), "another version"),
        ] {
            let (code, text) = said(change);
            assert!(code == 2 && text.contains(words), "{code} {text}");
        }
        std::fs::write(&path, "{}\n").unwrap();
        assert_eq!(said(|_| {}).0, 3);
    }
}
