//! `steps`: more and more workers, the law that fits, and how many replicas a rate takes.

use std::{path::PathBuf, process::ExitCode, time::Duration};

use clap::Args;

use super::{
    Failure,
    arguments::{
        Subject,
        values::{parse_count, parse_rate, parse_share},
    },
    complain,
    report_file::{ReportFile, is_stdout},
    runtime, say, set_up, tell, until_interrupted, usage,
};
use crate::{
    Climbed, Error, Staircase, Steps,
    report::text::short,
    steps::climbed,
    units::{measured_rate, parse_duration},
};

#[derive(Debug, Args)]
pub(super) struct Climb {
    #[command(flatten)]
    subject: Subject,
    /// How many workers on each level, from four levels on [default: 1,2,4,8,16,32,64,128]
    #[arg(long, value_name = "COUNTS", value_delimiter = ',', value_parser = parse_count::<usize>)]
    levels: Vec<usize>,
    /// How long a run of a level is.
    #[arg(long, value_name = "DURATION", value_parser = parse_duration, default_value = "3s")]
    each: Duration,
    /// How often each level is run, in another order each time [default: 3]
    #[arg(long, value_name = "COUNT", value_parser = parse_count::<usize>)]
    rounds: Option<usize>,
    /// Say how many replicas this many operations a second take, by the highest level that meets the thresholds.
    #[arg(long, value_name = "PER_SECOND", value_parser = parse_rate)]
    wanted: Option<f64>,
    /// Up to which share of what it can do a replica is used.
    #[arg(long, value_name = "SHARE", value_parser = parse_share, default_value = "70%", requires = "wanted")]
    used: f64,
    /// Also write the result as JSON to this file; `-` is standard output, and the text goes to standard error then.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// No line a run on standard error.
    #[arg(long, short)]
    quiet: bool,
}

/// The schema of the JSON.
const SCHEMA: &str = "offgridflow-loadtest.steps/1";

pub(super) fn run(asked: &Climb) -> Result<ExitCode, Failure> {
    let steps = asked.steps();
    steps.validate()?;
    let _ = asked.subject.stepped(1, asked.each)?; // what cannot be run is refused before anything is
    let file = asked.json.as_deref().map(|path| ReportFile::create("--json", path)).transpose();
    let file = file.map_err(usage)?;
    let found = runtime()?.block_on(steps.over(async |workers| {
        tokio::time::sleep(Duration::from_millis(500)).await;
        let ran = asked.level(workers).await?;
        if !asked.quiet {
            complain(&format_args!("{workers:>7} workers  {}", said(&ran)));
        }
        Ok::<_, Failure>(ran)
    }))?;
    let answer = asked.text(&found);
    if asked.json.as_deref().is_some_and(is_stdout) { tell(&answer) } else { say(&answer) }?;
    if let Some(file) = file {
        file.write(&(asked.written(&found)? + "\n")).map_err(set_up)?;
    }
    Ok(ExitCode::from(found.exit_code()))
}

fn said(ran: &Result<Climbed, String>) -> String {
    match ran {
        Ok(ran) => {
            let p95 = ran.p95.map_or_else(|| "-".into(), short);
            format!("{}/s, p95 {p95}", measured_rate(ran.answered_per_sec))
        }
        Err(why) => why.clone(),
    }
}

impl Climb {
    fn steps(&self) -> Steps {
        let mut steps = Steps::default().seed(self.subject.seed.unwrap_or(0));
        if !self.levels.is_empty() {
            steps = steps.levels(self.levels.iter().copied());
        }
        match self.rounds {
            Some(rounds) => steps.rounds(rounds),
            None => steps,
        }
    }

    async fn level(&self, workers: usize) -> Result<Result<Climbed, String>, Error> {
        let test = self.subject.stepped(workers, self.each)?;
        let stop = test.stop_handle();
        climbed(&until_interrupted(&stop, test.run()).await?)
    }

    fn text(&self, found: &Staircase) -> String {
        let mut text = found.to_string();
        if let Some(wanted) = self.wanted {
            let plan = found.replicas(wanted, self.used).map(|plan| plan.to_string());
            let none = || "no number can be given: no level met every threshold in every run".into();
            text += &format!("replicas    {}\n", plan.unwrap_or_else(none));
        }
        text
    }

    fn written(&self, found: &Staircase) -> Result<String, Failure> {
        let replicas = self.wanted.and_then(|wanted| found.replicas(wanted, self.used));
        let json = serde_json::json!({
            "schema": SCHEMA,
            "version": env!("CARGO_PKG_VERSION"),
            "found": found,
            "replicas": replicas,
        });
        serde_json::to_string_pretty(&json).map_err(set_up)
    }
}
