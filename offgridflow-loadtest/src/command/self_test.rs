//! `selftest`: what this machine's numbers are worth.

use std::{path::PathBuf, process::ExitCode};

use clap::Args;

use super::{
    Failure, complain,
    report_file::{ReportFile, is_stdout},
    runtime, say, set_up, tell, usage, with_source,
};
use crate::selftest::{Size, selftest};

#[derive(Debug, Args)]
pub(super) struct Selftest {
    /// Half the time, on less evidence.
    #[arg(long)]
    quick: bool,
    /// Also write the result as JSON to this file; `-` is standard output, and the text goes to standard error then.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// The environment is suspect.
const SUSPECT: u8 = 3;

pub(super) fn run(asked: &Selftest) -> Result<ExitCode, Failure> {
    let file = asked.json.as_deref().map(|path| ReportFile::create("--json", path)).transpose();
    let file = file.map_err(usage)?;
    let (size, time) = if asked.quick { (Size::Quick, "half a minute") } else { (Size::Usual, "a minute") };
    complain(&format_args!("about {time}; what else runs on this machine will show in it"));
    let before = |what: &str| complain(&format_args!("… {what}"));
    let result = runtime()?.block_on(selftest(size, before)).map_err(|error| set_up(with_source(&error)))?;
    if asked.json.as_deref().is_some_and(is_stdout) { tell(&result) } else { say(&result) }?;
    if let Some(file) = file {
        file.write(&(result.to_json().map_err(set_up)? + "\n")).map_err(set_up)?;
    }
    Ok(if result.passed { ExitCode::SUCCESS } else { ExitCode::from(SUSPECT) })
}
