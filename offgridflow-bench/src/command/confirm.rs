use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use offgridflow_bench::gate::{Gate, GateError, GateReport, Rule, Verdict};
use offgridflow_bench::history::{Finding, HistoryOptions, Movement};

/// Measures the two commits of each finding side by side: statistics over a history propose, an A/B disposes.
///
/// Exit status: 0 no slow-down is confirmed, 1 one is, 3 something is undecided, 4 the commits cannot be compared.
#[derive(Debug, Args)]
pub(crate) struct Confirm {
    #[command(flatten)]
    files: super::history::Files,
    /// Seconds for measuring each finding.
    #[arg(long, default_value_t = 120)]
    budget: u64,
    /// More arguments for `cargo bench`, after `--`.
    #[arg(last = true)]
    cargo: Vec<String>,
}

/// What the A/B says of a finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Confirmed,
    Refuted,
    Open,
}

pub(crate) fn run(confirm: &Confirm) -> Result<ExitCode, offgridflow_bench::Error> {
    let judged = confirm.files.judge(&HistoryOptions::default())?;
    let suspects: Vec<&Finding> = judged.found.iter().filter(|finding| finding.blessed.is_none()).collect();
    if suspects.is_empty() {
        println!("nothing to confirm: {} of {} series are long enough to judge", judged.long, judged.all);
    }
    let mut code = if judged.long == 0 { 3 } else { 0 };
    for finding in suspects {
        match confirm.measure(finding) {
            Ok(report) => {
                let outcome = outcome(finding, &report);
                print(finding, outcome, &report);
                match outcome {
                    Outcome::Confirmed if finding.ln_change > 0.0 => code = 1,
                    Outcome::Open if code == 0 => code = 3,
                    _ => {}
                }
            }
            Err(error) => return Ok(super::gate::finish(Err(error))),
        }
    }
    Ok(ExitCode::from(code))
}

impl Confirm {
    fn measure(&self, finding: &Finding) -> Result<GateReport, GateError> {
        let (package, target, bench) = parts(&finding.bench).ok_or_else(|| {
            GateError::Usage(format!(
                "`{}` is no name that the gate gives: `package/target: benchmark`",
                finding.bench
            ))
        })?;
        let own = ["-p", package, "--bench", target].map(str::to_owned);
        // Half of what was found, so that it is either there or not.
        let slowdown = (finding.ln_change.abs().exp_m1() / 2.0).min(Rule::default().slowdown);
        super::gate::watched(&Gate {
            head: Some(finding.after.clone()),
            cargo: own.into_iter().chain(self.cargo.iter().cloned()).collect(),
            filter: bench.to_owned(),
            rule: Rule { slowdown, seed: super::selftest::fresh_seed(), ..Rule::default() },
            budget: Duration::from_secs(self.budget),
            ..Gate::new(finding.before.clone())
        })
    }
}

/// `package/target: benchmark`.
fn parts(name: &str) -> Option<(&str, &str, &str)> {
    let (program, bench) = name.split_once(": ")?;
    let (package, target) = program.split_once('/')?;
    Some((package, target, bench))
}

fn outcome(finding: &Finding, report: &GateReport) -> Outcome {
    let verdict = report.benches.iter().find(|one| one.bench == finding.bench).map(|one| one.verdict);
    let slower = finding.ln_change > 0.0;
    match verdict {
        _ if report.environment_suspect => Outcome::Open,
        Some(Verdict::Regressed) if slower => Outcome::Confirmed,
        Some(Verdict::Improved) if !slower => Outcome::Confirmed,
        Some(Verdict::Regressed | Verdict::Improved | Verdict::NoRegression | Verdict::Identical) => {
            Outcome::Refuted
        }
        _ => Outcome::Open,
    }
}

fn print(finding: &Finding, outcome: Outcome, report: &GateReport) {
    let word = match outcome {
        Outcome::Confirmed => "confirmed",
        Outcome::Refuted => "refuted",
        Outcome::Open => "open",
    };
    let how = match finding.movement {
        Movement::Step => "step",
        Movement::Drift => "drift",
    };
    let (bench, change) = (&finding.bench, 100.0 * finding.ln_change.exp_m1());
    println!("{word}: {bench}: {how} of {change:+.1} % from {} to {}", finding.before, finding.after);
    println!("{report}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_three_parts() {
        assert_eq!(parts("p/t: a/b: c"), Some(("p", "t", "a/b: c")));
        assert_eq!(parts("parse/100 %"), None);
    }
}
