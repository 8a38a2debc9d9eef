//! `compare`: two targets in turn, or two reports beside each other.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use clap::Args;

use super::{
    Failure,
    arguments::{
        Subject,
        values::{parse_count, parse_share},
    },
    complain, read_report,
    report_file::{ReportFile, is_stdout},
    runtime, say, set_up, tell, until_interrupted, usage,
};
use crate::{
    AnyTarget, Compare, Comparison, Error, LoadTest, Ran, Side, compare_saved, report::text::short,
    units::parse_duration,
};

#[derive(Debug, Args)]
pub(super) struct Comparing {
    #[command(flatten)]
    subject: Subject,
    /// What is in question (B), where the first is what it is compared with (A): both targets, or both reports that were saved as .json or .html
    #[arg(value_name = "B")]
    against: String,
    /// How many blocks of four runs [default: 16]
    #[arg(long, value_name = "COUNT", value_parser = parse_count::<usize>)]
    blocks: Option<usize>,
    /// Which percentile of the response time is compared: 50, 90, 95, 99 or 99.9 percent [default: 95%]
    #[arg(long, value_name = "PERCENT", value_parser = parse_share)]
    percentile: Option<f64>,
    /// By which share B may be slower [default: 2%]
    #[arg(long, value_name = "SHARE", value_parser = parse_share)]
    tolerance: Option<f64>,
    /// How long both are left alone between runs [default: 200ms]
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    cool_down: Option<Duration>,
    /// Also write the result as JSON to this file; `-` is standard output, and the text goes to standard error then.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// No line a run on standard error.
    #[arg(long, short)]
    quiet: bool,
}

/// The schema of the JSON.
const SCHEMA: &str = "offgridflow-loadtest.compare/1";
/// How long a run of a URL is, unless told otherwise.
const RUN: Duration = Duration::from_secs(2);
/// Nothing was compared.
const UNDECIDED: u8 = 3;

pub(super) fn run(asked: &Comparing) -> Result<ExitCode, Failure> {
    let saved = |name: &str| Path::new(name).extension().is_some_and(|end| end == "json" || end == "html");
    match (saved(&asked.subject.what), saved(&asked.against)) {
        (true, true) => beside(asked),
        (false, false) => in_turn(asked),
        _ => Err(usage("name two targets, or two reports: one of each cannot be compared")),
    }
}

/// Two reports, of which nothing can be decided.
fn beside(asked: &Comparing) -> Result<ExitCode, Failure> {
    let (a, b) = (read_report(Path::new(&asked.subject.what))?, read_report(Path::new(&asked.against))?);
    if asked.json.is_some() {
        return Err(usage("--json: two reports give a text and no finding"));
    }
    say(&compare_saved(&a, &b))?;
    Ok(ExitCode::from(UNDECIDED))
}

fn in_turn(asked: &Comparing) -> Result<ExitCode, Failure> {
    let compare = asked.compare();
    compare.validate()?;
    let sides = [asked.side(Side::A), asked.side(Side::B)];
    for side in &sides {
        let _ = side.load_test()?; // what cannot be run is refused before anything is
    }
    let file = asked.json.as_deref().map(|path| ReportFile::create("--json", path)).transpose();
    let file = file.map_err(usage)?;
    let mut number = 0;
    let found = compare.over(async |side| {
        number += 1;
        let test = sides[usize::from(side == Side::B)].load_test()?;
        tokio::time::sleep(asked.cool_down.unwrap_or(Duration::from_millis(200))).await;
        let ran = one(&compare, test).await?;
        if !asked.quiet {
            complain(&format_args!("run {number:>3}  {side:?}  {}", said(ran)));
        }
        Ok::<_, Failure>(ran)
    });
    let found = runtime()?.block_on(found)?;
    if asked.json.as_deref().is_some_and(is_stdout) { tell(&found) } else { say(&found) }?;
    if let Some(file) = file {
        file.write(&(json(&found)? + "\n")).map_err(set_up)?;
    }
    Ok(ExitCode::from(found.exit_code()))
}

async fn one(compare: &Compare, test: LoadTest<AnyTarget>) -> Result<Option<Ran>, Error> {
    let stop = test.stop_handle();
    compare.ran(&until_interrupted(&stop, test.run()).await?)
}

fn said(ran: Option<Ran>) -> String {
    match ran {
        Some(ran) => {
            format!("{}, {:.2} % failed", short(Duration::from_secs_f64(ran.seconds)), ran.failed * 100.0)
        }
        None => "not valid, its block is run again".into(),
    }
}

fn json(found: &Comparison) -> Result<String, Failure> {
    let json = serde_json::json!({ "schema": SCHEMA, "version": env!("CARGO_PKG_VERSION"), "found": found });
    serde_json::to_string_pretty(&json).map_err(set_up)
}

impl Comparing {
    fn compare(&self) -> Compare {
        let mut compare = Compare::default().seed(self.subject.seed.unwrap_or(0));
        if let Some(blocks) = self.blocks {
            compare = compare.blocks(blocks);
        }
        if let Some(percentile) = self.percentile {
            compare = compare.percentile(percentile);
        }
        if let Some(tolerance) = self.tolerance {
            compare = compare.tolerance(tolerance);
        }
        compare
    }

    /// A side with the flags of both.
    fn side(&self, side: Side) -> Subject {
        let what = match side {
            Side::A => self.subject.what.clone(),
            Side::B => self.against.clone(),
        };
        self.subject.of(what, RUN)
    }
}
