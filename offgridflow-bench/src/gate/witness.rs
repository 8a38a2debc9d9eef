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

/// Requests for memory of one iteration of a benchmark with its set-up, as a [counting allocator](crate::allocations) counted them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Allocations {
    /// Requests, of the base and of the head.
    pub calls: [u64; 2],
    /// Bytes asked for, of the base and of the head.
    pub bytes: [u64; 2],
}

/// What the program is run with when no benchmark of it should be.
const NONE: &str = "no benchmark is called this";

/// What counts say beside time.
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

    fn words(self) -> String {
        format!("instructions {:+.2} %; ", 100.0 * (self.ratio() - 1.0))
    }
}

impl Allocations {
    fn words(self) -> String {
        let of = |[base, head]: [u64; 2]| {
            if base == head { base.to_string() } else { format!("{base} → {head}") }
        };
        format!("allocations {} ({} bytes); ", of(self.calls), of(self.bytes))
    }
}

/// Grades a verdict by what was counted: `None` where nothing was.
fn grade(
    verdict: Verdict,
    slowdown: f64,
    instructions: Option<Instructions>,
    allocations: Option<Allocations>,
) -> Option<Grade> {
    let ratio = instructions.map(Instructions::ratio);
    if ratio.is_none() && allocations.is_none() {
        return None;
    }
    let executes = |beyond: f64| ratio.is_some_and(|ratio| ratio > 1.0 + beyond);
    let allocates = allocations.is_some_and(|counts| counts.calls[1] > counts.calls[0]);
    let red = matches!(verdict, Verdict::Regressed | Verdict::LayoutSensitive);
    Some(match () {
        () if red && (executes(TOLERANCE) || allocates) => Grade::Confirmed,
        () if red => Grade::TimeOnly,
        () if executes(slowdown.max(TOLERANCE)) || allocates => Grade::CountOnly,
        () => Grade::Agrees,
    })
}

impl Judged {
    /// What its instructions and allocations say, for the reader; empty without them.
    pub(crate) fn testimony(&self, slowdown: f64) -> String {
        let slowdown = self.allowed.unwrap_or(slowdown);
        let word = match grade(self.verdict, slowdown, self.instructions, self.allocations) {
            Some(Grade::Confirmed) => "confirmed: ",
            Some(Grade::TimeOnly) => "time only: ",
            Some(Grade::CountOnly) => "count only: ",
            Some(Grade::Agrees) | None => "",
        };
        let instructions = self.instructions.map_or_else(String::new, Instructions::words);
        let allocations = self.allocations.map_or_else(String::new, Allocations::words);
        format!("{word}{instructions}{allocations}")
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
        for filter in [bench, NONE] {
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
        .arg(&program.file);
    once(&mut command, program, filter, folder);
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

/// Once through the benchmarks that `filter` names, in criterion's test mode.
fn once(command: &mut Command, program: &Executable, filter: &str, folder: &Path) {
    command
        .args(["--bench", "--test", "--exact", "--", filter])
        .current_dir(&program.folder)
        .env("CARGO_MANIFEST_DIR", &program.folder)
        .env("CRITERION_HOME", folder.join("criterion"))
        .env_remove("CARGO_CRITERION_PORT")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
}

/// Counts what one iteration of `bench` asks of the allocator on both sides, as above. What differs from run to run of one program is no count. `Err`
/// in words where it cannot be had.
pub(crate) fn count_allocations(
    base: &Executable,
    head: &Executable,
    bench: &str,
    folder: &Path,
    cancel: &Cancel,
) -> Result<Result<Allocations, String>, GateError> {
    let mut counts = Vec::new();
    for program in [base, head] {
        for filter in [bench, NONE] {
            let [first, second] = [
                run_counted(program, filter, folder, cancel)?,
                run_counted(program, filter, folder, cancel)?,
            ];
            match (first, second) {
                (Ok(first), Ok(second)) if first == second => counts.push(first),
                (Ok(_), Ok(_)) => return Ok(Err("they differ from run to run".to_owned())),
                (Err(why), _) | (_, Err(why)) => return Ok(Err(why)),
            }
        }
    }
    let of = |side: usize| {
        let (with, without) = (counts[2 * side], counts[2 * side + 1]);
        (with.0.saturating_sub(without.0), with.1.saturating_sub(without.1))
    };
    let (base, head) = (of(0), of(1));
    Ok(Ok(Allocations { calls: [base.0, head.0], bytes: [base.1, head.1] }))
}

fn run_counted(
    program: &Executable,
    filter: &str,
    folder: &Path,
    cancel: &Cancel,
) -> Result<Result<(u64, u64), String>, GateError> {
    cancel.check()?;
    let file = folder.join("allocations");
    std::fs::write(&file, [0; 16]).map_err(|error| GateError::write(&file, &error))?;
    let mut command = Command::new(&program.file);
    once(&mut command, program, filter, folder);
    command.env(crate::allocations::FILE, &file);
    let output = match cancel.output(command) {
        Ok(output) => output,
        Err(error) => return Ok(Err(format!("it cannot be run: {error}"))),
    };
    cancel.check()?;
    if !output.status.success() {
        return Ok(Err(format!("in test mode it failed ({})", output.status)));
    }
    let bytes = std::fs::read(&file).map_err(|error| GateError::read(&file, &error))?;
    Ok(match crate::allocations::read(&bytes) {
        Some((0, _)) | None => Err(
            "the program has no counting allocator; one line gives it one (`offgridflow_bench::allocations`)"
                .to_owned(),
        ),
        Some(counts) => Ok(counts),
    })
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
        let of = |head: u64, verdict: Verdict| {
            grade(verdict, 0.02, Some(Instructions { base: 1_000, head }), None)
        };
        assert_eq!(of(1_100, Verdict::Regressed), Some(Grade::Confirmed));
        assert_eq!(of(1_004, Verdict::Regressed), Some(Grade::TimeOnly));
        assert_eq!(of(1_100, Verdict::Undecided), Some(Grade::CountOnly));
        assert_eq!(of(1_010, Verdict::NoRegression), Some(Grade::Agrees));
        let with = |calls: [u64; 2], verdict: Verdict| {
            let same = Instructions { base: 1_000, head: 1_000 };
            grade(verdict, 0.02, Some(same), Some(Allocations { calls, bytes: [8, 9] }))
        };
        assert_eq!(with([3, 4], Verdict::Regressed), Some(Grade::Confirmed), "one allocation more is exact");
        assert_eq!(with([3, 4], Verdict::NoRegression), Some(Grade::CountOnly));
        assert_eq!(with([3, 3], Verdict::Regressed), Some(Grade::TimeOnly));
        assert_eq!(with([4, 3], Verdict::Undecided), Some(Grade::Agrees));
        assert_eq!(grade(Verdict::Regressed, 0.02, None, None), None);
        let words = Allocations { calls: [3, 4], bytes: [8, 8] }.words();
        assert_eq!(words, "allocations 3 → 4 (8 bytes); ");
    }

    #[test]
    fn the_total_of_a_callgrind_file_is_read() {
        assert_eq!(total("events: Ir\nsummary: 12\nfn=(1)\n3 4\ntotals: 345 \n"), Some(345));
        assert_eq!(total("events: Ir\n"), None);
    }
}
