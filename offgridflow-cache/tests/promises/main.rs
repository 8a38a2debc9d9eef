//! Promises that take time or processes: `scripts/verify/C*.sh` runs each as an ignored test, and takes the line it prints.
//!
//! `VERIFY_SIZE=quick|full` as in `scripts/verify.sh`.
#![cfg(all(feature = "json", feature = "redis", feature = "moka"))]

mod c2;
mod c4;
mod c5;
mod c6;
mod rival;

use std::collections::BTreeSet;
use std::process::{Child, Command, Stdio};

fn full() -> bool {
    std::env::var("VERIFY_SIZE").is_ok_and(|size| size == "full")
}

/// The verdict of a promise, as `scripts/verify.sh` reads it.
fn say(passed: bool, line: &str) {
    println!("{} {line}", if passed { "PASS" } else { "FAIL" });
    assert!(passed, "{line}");
}

/// A process that runs one ignored test of this program, and ends with its owner.
struct Node(Child);

impl Node {
    fn start(test: &str, environment: &[(&str, String)]) -> Self {
        let program = std::env::current_exe().unwrap();
        let mut command = Command::new(program);
        command
            .args(["--ignored", "--exact", test, "--nocapture"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        command.envs(environment.iter().map(|(name, value)| (*name, value.as_str())));
        Self(command.spawn().unwrap())
    }

    /// What it said after `name=`, once it has ended.
    fn result(mut self, name: &str) -> u64 {
        let mut said = String::new();
        std::io::Read::read_to_string(self.0.stdout.as_mut().unwrap(), &mut said).unwrap();
        assert!(self.0.wait().unwrap().success(), "{said}");
        let found: BTreeSet<&str> =
            said.split_whitespace().filter_map(|word| word.strip_prefix(name)?.strip_prefix('=')).collect();
        found.first().and_then(|number| number.parse().ok()).unwrap_or_else(|| panic!("no {name} in: {said}"))
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
