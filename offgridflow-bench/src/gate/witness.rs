use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::build::Executable;
use super::{Cancel, GateError, Judged, Verdict};

/// Counts differ by this share for reasons that no change of the code made: hash seeds, and what glibc picks for the processor.
const TOLERANCE: f64 = 0.005;

/// Instructions of one iteration of a benchmark with its set-up, under callgrind: a witness that no other load disturbs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Instructions {
    /// Of the base.
    pub base: u64,
    /// Of the head.
    pub head: u64,
}

/// What instructions say beside time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Grade {
    /// Both are slower.
    Confirmed,
    /// Only time is: a cache, a branch, a lock, a layout, or the machine.
    TimeOnly,
    /// Only instructions are.
    CountOnly,
    /// They say nothing against the verdict.
    Agrees,
}

impl Instructions {
    /// Head over base.
    #[must_use]
    pub fn ratio(self) -> f64 {
        self.head as f64 / self.base as f64
    }

    pub(crate) fn grade(self, verdict: Verdict, slowdown: f64) -> Grade {
        let red = matches!(verdict, Verdict::Regressed | Verdict::LayoutSensitive);
        match () {
            () if red && self.ratio() > 1.0 + TOLERANCE => Grade::Confirmed,
            () if red => Grade::TimeOnly,
            () if self.ratio() > 1.0 + slowdown.max(TOLERANCE) => Grade::CountOnly,
            () => Grade::Agrees,
        }
    }
}

impl Judged {
    /// What its instructions say, for the reader; empty without them.
    pub(crate) fn testimony(&self, slowdown: f64) -> String {
        let Some(instructions) = self.instructions else { return String::new() };
        let change = 100.0 * (instructions.ratio() - 1.0);
        let word = match instructions.grade(self.verdict, self.allowed.unwrap_or(slowdown)) {
            Grade::Confirmed => "confirmed: ",
            Grade::TimeOnly => "time only: ",
            Grade::CountOnly => "count only: ",
            Grade::Agrees => "",
        };
        format!("{word}instructions {change:+.2} %; ")
    }
}

/// Counts one iteration of `bench` on both sides: a run of it in criterion's test mode, less a run of none. `Err` in words where that cannot be had.
pub(crate) fn count(
    base: &Executable,
    head: &Executable,
    bench: &str,
    folder: &Path,
    cancel: &Cancel,
) -> Result<Result<Instructions, String>, GateError> {
    let mut counts = Vec::new();
    for program in [base, head] {
        for filter in [bench, "no benchmark is called this"] {
            match run(program, filter, folder, cancel)? {
                Ok(count) => counts.push(count),
                Err(why) => return Ok(Err(why)),
            }
        }
    }
    let [base, base_none, head, head_none] = counts[..] else {
        return Ok(Err("callgrind said too little".to_owned()));
    };
    let of = |with: u64, without: u64| with.saturating_sub(without);
    let instructions = Instructions { base: of(base, base_none), head: of(head, head_none) };
    Ok(if instructions.base == 0 {
        Err("an iteration has no instructions".to_owned())
    } else {
        Ok(instructions)
    })
}

fn run(
    program: &Executable,
    filter: &str,
    folder: &Path,
    cancel: &Cancel,
) -> Result<Result<u64, String>, GateError> {
    cancel.check()?;
    let out = folder.join("callgrind.out");
    let _ = std::fs::remove_file(&out); // an earlier run's: not there is fine
    let mut command = Command::new("valgrind");
    command
        .args(["--tool=callgrind", "--quiet"])
        .arg(format!("--callgrind-out-file={}", out.display()))
        .arg(&program.file)
        .args(["--bench", "--test", "--exact", "--", filter])
        .current_dir(&program.folder)
        .env("CARGO_MANIFEST_DIR", &program.folder)
        .env("CRITERION_HOME", folder.join("criterion"))
        .env_remove("CARGO_CRITERION_PORT")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let output = match cancel.output(command) {
        Ok(output) => output,
        Err(error) => return Ok(Err(format!("valgrind cannot be run: {error}"))),
    };
    cancel.check()?;
    if !output.status.success() {
        return Ok(Err(format!("under callgrind it failed ({})", output.status)));
    }
    let text = std::fs::read_to_string(&out).map_err(|error| GateError::read(&out, &error))?;
    Ok(total(&text).ok_or_else(|| "callgrind told no total".to_owned()))
}

/// The instructions in all of a callgrind file: its line `totals:` or `summary:`.
fn total(text: &str) -> Option<u64> {
    let line = text
        .lines()
        .rev()
        .find_map(|line| line.strip_prefix("totals: ").or_else(|| line.strip_prefix("summary: ")))?;
    line.split_whitespace().next()?.parse().ok()
}

/// Longest that all counting may take beyond the budget of measuring.
pub(crate) const LONGEST: Duration = Duration::from_secs(120);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn evidence_is_graded() {
        let of = |head: u64, verdict: Verdict| Instructions { base: 1_000, head }.grade(verdict, 0.02);
        assert_eq!(of(1_100, Verdict::Regressed), Grade::Confirmed);
        assert_eq!(of(1_004, Verdict::Regressed), Grade::TimeOnly);
        assert_eq!(of(1_100, Verdict::Undecided), Grade::CountOnly);
        assert_eq!(of(1_010, Verdict::NoRegression), Grade::Agrees);
    }

    #[test]
    fn the_total_of_a_callgrind_file_is_read() {
        assert_eq!(total("events: Ir\nsummary: 12\nfn=(1)\n3 4\ntotals: 345 \n"), Some(345));
        assert_eq!(total("events: Ir\n"), None);
    }
}
