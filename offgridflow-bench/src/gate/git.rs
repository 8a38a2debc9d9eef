use std::path::{Path, PathBuf};
use std::process::Command;

use super::GateError;

/// A repository as git sees it from one of its folders.
#[derive(Debug)]
pub(crate) struct Repository {
    /// The root of the working tree.
    pub(crate) root: PathBuf,
    /// The folder inside it that the gate was started for; empty for the root.
    pub(crate) prefix: PathBuf,
}

/// The two sides of a comparison.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Sides {
    /// Commit of the base: the merge base of what was named and the head.
    pub(crate) base: String,
    /// Commit that is judged; with changes not committed, a commit made of them that no branch knows.
    pub(crate) head: String,
    /// Whether `head` holds changes that are not committed.
    pub(crate) dirty: bool,
    /// What the reader should know about the choice.
    pub(crate) notes: Vec<String>,
}

impl Repository {
    pub(crate) fn at(folder: &Path) -> Result<Self, GateError> {
        let out =
            run(folder, &["rev-parse", "--show-toplevel", "--show-prefix"]).map_err(|error| match error {
                Refused::NoGit(why) => {
                    setup(format!("cannot run git ({why}); the gate compares two git revisions"))
                }
                Refused::Said(said) => {
                    setup(format!("{} is not in a git repository: {said}", folder.display()))
                }
            })?;
        let mut lines = out.lines();
        let root = lines.next().unwrap_or_default().into();
        Ok(Self { root, prefix: lines.next().unwrap_or_default().into() })
    }

    fn git(&self, arguments: &[&str]) -> Result<String, String> {
        run(&self.root, arguments).map_err(|refused| match refused {
            Refused::NoGit(said) | Refused::Said(said) => said,
        })
    }

    /// Finds both sides: the merge base of `base` and `head`, and `head`, by default HEAD, with `dirty` including changes not committed.
    pub(crate) fn sides(&self, base: &str, head: Option<&str>, dirty: bool) -> Result<Sides, GateError> {
        let mut notes = Vec::new();
        let named = self.commit(base)?;
        let committed = self.commit(head.unwrap_or("HEAD"))?;
        let merge_base = self.git(&["merge-base", &named, &committed]).map_err(|said| {
            setup(format!(
                "`{base}` and the head have no commit in common{}{}",
                self.if_shallow(),
                if said.is_empty() { String::new() } else { format!(" ({said})") }
            ))
        })?;
        let changed = if head.is_none() { self.changes()? } else { Vec::new() };
        if !changed.is_empty() && !dirty {
            let some = changed.iter().take(3).cloned().collect::<Vec<_>>().join(", ");
            return Err(GateError::Usage(format!(
                "{} changed and not committed ({some}{}): commit, or pass --dirty to measure the tree as it is",
                if changed.len() == 1 {
                    "1 file is".to_owned()
                } else {
                    format!("{} files are", changed.len())
                },
                if changed.len() > 3 { ", …" } else { "" }
            )));
        }
        let mut head = committed;
        if !changed.is_empty() {
            head =
                self.git(&["stash", "create"]).map_err(|said| setup(format!("git stash create: {said}")))?;
            notes.push(
                "the head holds changes that are not committed; files git does not know are not in it"
                    .to_owned(),
            );
        }
        Ok(Sides { base: merge_base, head, dirty: !changed.is_empty(), notes })
    }

    fn commit(&self, revision: &str) -> Result<String, GateError> {
        if revision.starts_with('-') {
            return Err(GateError::Usage(format!("`{revision}` is no revision")));
        }
        let wanted = format!("{revision}^{{commit}}");
        self.git(&["rev-parse", "--verify", "--quiet", &wanted])
            .map_err(|_| setup(format!("git knows no commit `{revision}`{}", self.if_shallow())))
    }

    fn if_shallow(&self) -> &'static str {
        match self.git(&["rev-parse", "--is-shallow-repository"]).as_deref() {
            Ok("true") => {
                ": this clone is shallow; `git fetch --unshallow`, or `fetch-depth: 0` in a workflow, brings the history"
            }
            _ => "",
        }
    }

    /// What `file`, named from the folder that the gate was started for, holds at `commit`; `None` when it is not there.
    pub(crate) fn file_at(&self, commit: &str, file: &str) -> Option<String> {
        let path = self.prefix.join(file);
        self.git(&["show", &format!("{commit}:{}", path.display())]).ok()
    }

    /// Tracked files that differ from HEAD.
    fn changes(&self) -> Result<Vec<String>, GateError> {
        let out =
            self.git(&["diff", "--name-only", "HEAD"]).map_err(|said| setup(format!("git diff: {said}")))?;
        Ok(out.lines().map(str::to_owned).collect())
    }

    /// Puts `commit` into the working tree at `tree`, which is made when it is not there. What was built beside it stays.
    pub(crate) fn check_out(&self, commit: &str, tree: &Path) -> Result<(), GateError> {
        let said = |what: &str, said: String| {
            setup(format!("git {what} {} at {}: {said}", &commit[..12.min(commit.len())], tree.display()))
        };
        let path = tree.to_string_lossy().into_owned();
        if tree.join(".git").exists() {
            let there = Self { root: tree.to_owned(), prefix: PathBuf::new() };
            if there.git(&["checkout", "--quiet", "--force", "--detach", commit]).is_ok() {
                return there.git(&["clean", "-fdxq"]).map(drop).map_err(|error| said("clean", error));
            }
            std::fs::remove_dir_all(tree).map_err(|error| GateError::write(tree, &error))?;
        }
        self.git(&["worktree", "prune"]).map_err(|error| said("worktree prune", error))?;
        self.git(&["worktree", "add", "--quiet", "--force", "--detach", &path, commit])
            .map(drop)
            .map_err(|error| said("worktree add", error))
    }
}

fn setup(sentence: String) -> GateError {
    GateError::Setup(sentence)
}

enum Refused {
    NoGit(String),
    Said(String),
}

/// What git printed, without the last line's end.
fn run(folder: &Path, arguments: &[&str]) -> Result<String, Refused> {
    let output = Command::new("git")
        .arg("-C")
        .arg(folder)
        .args(arguments)
        .env_remove("GIT_DIR")
        .env_remove("GIT_WORK_TREE")
        .output()
        .map_err(|error| Refused::NoGit(error.to_string()))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).trim_end().to_owned());
    }
    Err(Refused::Said(String::from_utf8_lossy(&output.stderr).trim().replace('\n', "; ")))
}
