//! A git repository of its own in a temporary folder, and the command run in it.
#![allow(dead_code, unreachable_pub, reason = "each test file uses a part")]
use std::fs;
use std::path::Path;
use std::process::{Command, Output};

/// A repository that is gone when it is dropped.
pub struct Project(tempfile::TempDir);

impl Project {
    /// An empty one.
    pub fn empty() -> Self {
        let project = Self(tempfile::tempdir().unwrap());
        project.git(&["init", "--quiet", "--initial-branch=main"]);
        project.write(".gitignore", "target\n");
        project
    }

    pub fn path(&self) -> &Path {
        self.0.path()
    }

    pub fn write(&self, file: &str, text: &str) {
        let path = self.path().join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    pub fn read(&self, file: &str) -> String {
        fs::read_to_string(self.path().join(file)).unwrap()
    }

    /// Puts `with` in the place of `what`, which has to be there.
    pub fn replace(&self, file: &str, what: &str, with: &str) {
        let text = self.read(file);
        assert!(text.contains(what), "{file} has no {what}");
        self.write(file, &text.replace(what, with));
    }

    pub fn git(&self, arguments: &[&str]) -> String {
        let out = Command::new("git")
            .current_dir(self.path())
            .args(["-c", "user.name=t", "-c", "user.email=t@t"])
            .args(arguments)
            .output()
            .unwrap();
        assert!(out.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&out.stderr));
        String::from_utf8_lossy(&out.stdout).trim().to_owned()
    }

    /// Commits everything.
    pub fn commit_all(&self) {
        self.git(&["add", "-A"]);
        self.git(&["commit", "--quiet", "-m", "c"]);
    }

    /// The command, to be run here.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_offgridflow-bench"));
        command.current_dir(self.path()).args(arguments).env_remove("CARGO_TARGET_DIR");
        command
    }

    pub fn run(&self, arguments: &[&str]) -> (i32, String) {
        told(&self.command(arguments).output().unwrap())
    }
}

/// Exit status and all that was said.
pub fn told(out: &Output) -> (i32, String) {
    let text = String::from_utf8_lossy(&out.stdout).into_owned() + &String::from_utf8_lossy(&out.stderr);
    (out.status.code().unwrap_or(-1), text)
}
