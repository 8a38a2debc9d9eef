use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::allowance::Allowances;
use super::build::{Built, Executable};
use super::contest::Contest;
use super::identical::identical;
use super::session::{Stage, Trouble};
use super::{GateError, GateReport, Judged, Verdict};

/// Sorts the benchmarks of both sides into those that can be told without a run, which go into the report, and those that have to be
/// measured.
#[derive(Debug)]
pub(crate) struct Sorter<'a> {
    pub(crate) stage: &'a Stage,
    pub(crate) filter: &'a str,
    pub(crate) allowances: &'a Allowances,
    /// Measures even what is identical.
    pub(crate) force: bool,
    /// Longest a program may take to name its benchmarks.
    pub(crate) limit: Duration,
}

/// A benchmark program as both sides have it.
struct Program<'a> {
    name: &'a str,
    base: Option<&'a Executable>,
    head: Option<&'a Executable>,
}

impl Sorter<'_> {
    pub(crate) fn sort(
        &self,
        base: Built,
        head: Built,
        report: &mut GateReport,
    ) -> Result<Vec<Contest>, GateError> {
        let (base, head) = (by_name(base), by_name(head));
        let mut contests = Vec::new();
        let names: BTreeSet<&String> = base.keys().chain(head.keys()).collect();
        for name in names {
            let program = Program { name, base: base.get(name), head: head.get(name) };
            match self.names(&program) {
                Ok((before, now)) => self.assign(&program, &before, &now, report, &mut contests)?,
                Err(Trouble::Gate(error)) => return Err(error),
                Err(Trouble::Bench(what)) => {
                    report.benches.push(Judged::told(name.clone(), Verdict::Broken, what));
                }
            }
        }
        Ok(contests)
    }

    /// The benchmarks of either side, by name; of a side that does not have the program, none.
    fn names(&self, program: &Program<'_>) -> Result<(Vec<String>, Vec<String>), Trouble> {
        let list = |side: &str, executable: Option<&Executable>| {
            let Some(executable) = executable else { return Ok(Vec::new()) };
            self.stage.list(executable, self.limit).map_err(|trouble| match trouble {
                Trouble::Bench(what) => {
                    Trouble::Bench(format!("the {side} cannot name its benchmarks: {what}"))
                }
                ours @ Trouble::Gate(_) => ours,
            })
        };
        Ok((list("base", program.base)?, list("head", program.head)?))
    }

    fn assign(
        &self,
        program: &Program<'_>,
        before: &[String],
        now: &[String],
        report: &mut GateReport,
        contests: &mut Vec<Contest>,
    ) -> Result<(), GateError> {
        if before.is_empty() && now.is_empty() {
            report.notes.push(format!("{} has no criterion benchmark", program.name));
        }
        let same = match (program.base, program.head) {
            (Some(one), Some(other)) if !self.force => {
                identical((&one.file, &report.base), (&other.file, &report.head))?
            }
            _ => false,
        };
        for bench in now.iter().filter(|bench| bench.contains(self.filter)) {
            let full = format!("{}: {bench}", program.name);
            match (program.base, program.head) {
                _ if same => report.benches.push(Judged::told(full, Verdict::Identical, String::new())),
                (Some(base), Some(head)) if before.contains(bench) => {
                    let allowed = self.allowances.of(&full, report.rule.slowdown);
                    contests.push(Contest::new(full, bench, base, head, allowed));
                }
                _ => report.benches.push(Judged::told(full, Verdict::New, String::new())),
            }
        }
        for bench in before.iter().filter(|bench| bench.contains(self.filter) && !now.contains(bench)) {
            report.benches.push(self.gone(format!("{}: {bench}", program.name)));
        }
        Ok(())
    }

    fn gone(&self, bench: String) -> Judged {
        if self.allowances.may_be_gone(&bench) {
            Judged::told(bench, Verdict::Retired, "the head does not have it, as allowed".to_owned())
        } else {
            Judged::told(bench, Verdict::Missing, "the head does not have it".to_owned())
        }
    }
}

fn by_name(built: Built) -> BTreeMap<String, Executable> {
    built.executables.into_iter().map(|one| (one.name.clone(), one)).collect()
}
