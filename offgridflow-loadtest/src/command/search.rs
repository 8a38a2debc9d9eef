//! `search`: the highest rate that meets the thresholds.

use std::{path::PathBuf, process::ExitCode, time::Duration};

use clap::Args;

use super::{
    Failure, INTERRUPTED,
    arguments::{
        Pace, Subject,
        values::{parse_count, parse_rate, parse_share},
    },
    complain, interrupt,
    report_file::{ReportFile, is_stdout},
    runtime, say, set_up, tell, until_interrupted, usage,
};
use crate::{
    AnyTarget, Error, Found, LoadTest, Observation, Report, Search, Trial,
    search::{observed, response_limit, row, ruled},
    threshold::Threshold,
    units::parse_duration,
};

#[derive(Debug, Args)]
pub(super) struct SearchFor {
    #[command(flatten)]
    subject: Subject,
    /// The first rate that is tried, a second [default: 100]
    #[arg(long, value_name = "PER_SECOND", value_parser = parse_rate)]
    from: Option<f64>,
    /// The highest rate that is tried, a second.
    #[arg(long, value_name = "PER_SECOND", value_parser = parse_rate)]
    to: Option<f64>,
    /// How far apart the highest rate that meets the thresholds and the lowest that does not may be in the end [default: 3%]
    #[arg(long, value_name = "SHARE", value_parser = parse_share)]
    tolerance: Option<f64>,
    /// How long a step is at first [default: 5s]
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    step: Option<Duration>,
    /// How long a step may become that does not decide [default: 40s]
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    longest_step: Option<Duration>,
    /// How long the answer is run once more; 0s leaves it unconfirmed [default: 15s]
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    confirm: Option<Duration>,
    /// How long the target is left alone between runs, four times as long after it broke a threshold [default: 1s]
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    cool_down: Option<Duration>,
    /// How many rates are tried at most [default: 14]
    #[arg(long, value_name = "COUNT", value_parser = parse_count::<usize>)]
    max_steps: Option<usize>,
    /// Also write the result as JSON to this file; `-` is standard output, and the text goes to standard error then.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// No line a run on standard error.
    #[arg(long, short)]
    quiet: bool,
}

/// The schema of the JSON.
const SCHEMA: &str = "offgridflow-loadtest.search/1";
/// In flight where nothing else is said: at least, and at most.
const IN_FLIGHT: (usize, usize) = (256, 16_384);

pub(super) fn run(asked: &SearchFor) -> Result<ExitCode, Failure> {
    let search = asked.search();
    search.validate()?;
    let subject = Slo::of(asked)?;
    let file = asked.json.as_deref().map(|path| ReportFile::create("--json", path)).transpose();
    let file = file.map_err(usage)?;
    let found = runtime()?.block_on(search.over(async |trial| asked.trial(&subject, trial).await))?;
    if asked.json.as_deref().is_some_and(is_stdout) { tell(&found) } else { say(&found) }?;
    if let Some(file) = file {
        file.write(&(subject.json(&found)? + "\n")).map_err(set_up)?;
    }
    Ok(ExitCode::from(found.exit_code()))
}

/// What is looked for.
struct Slo {
    target: String,
    thresholds: Vec<Threshold>,
}

impl Slo {
    /// Refuses a search for nothing.
    fn of(asked: &SearchFor) -> Result<Self, Failure> {
        let pace = Pace { rate: 100.0, length: Duration::from_secs(30), in_flight: IN_FLIGHT.0 };
        let plan = asked.subject.paced(pace)?.validate()?;
        if plan.thresholds.iter().all(Threshold::judges_failures) {
            return Err(usage(
                "say what has to hold at the rate that is looked for, for example --threshold 'p95(response) < 100ms'",
            ));
        }
        Ok(Self { target: plan.target, thresholds: plan.thresholds })
    }

    /// As many in flight as twice the time allows; more would break the SLO by Little's law.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped")]
    fn in_flight(&self, rate: f64) -> usize {
        let limit = response_limit(&self.thresholds).unwrap_or_default();
        (libm::ceil(rate * 2.0 * limit.as_secs_f64()) as usize).clamp(IN_FLIGHT.0, IN_FLIGHT.1)
    }

    fn json(&self, found: &Found) -> Result<String, Failure> {
        let thresholds: Vec<_> = self.thresholds.iter().map(ToString::to_string).collect();
        let json = serde_json::json!({
            "schema": SCHEMA,
            "version": env!("CARGO_PKG_VERSION"),
            "target": self.target,
            "thresholds": thresholds,
            "found": found,
        });
        serde_json::to_string_pretty(&json).map_err(set_up)
    }
}

impl SearchFor {
    fn search(&self) -> Search {
        let set = |search: Search, value: Option<Duration>, with: fn(Search, Duration) -> Search| match value
        {
            Some(value) => with(search, value),
            None => search,
        };
        let mut search = Search::default();
        if let Some(rate) = self.from {
            search = search.from(rate);
        }
        if let Some(rate) = self.to {
            search = search.to(rate);
        }
        if let Some(share) = self.tolerance {
            search = search.tolerance(share);
        }
        if let Some(steps) = self.max_steps {
            search = search.max_steps(steps);
        }
        search = set(search, self.step, Search::step);
        search = set(search, self.longest_step, Search::longest_step);
        search = set(search, self.confirm, Search::confirm);
        set(search, self.cool_down, Search::cool_down)
    }

    async fn trial(&self, slo: &Slo, trial: Trial) -> Result<Observation, Failure> {
        tokio::select! {
            () = tokio::time::sleep(trial.rest) => {}
            () = interrupt() => return Err(Failure { code: INTERRUPTED, message: "interrupted".into() }),
        }
        let seen = observed(&trial, self.run(slo, &trial).await)?;
        if !self.quiet {
            let mut line = String::new();
            let _ = row(&mut line, &trial, &seen);
            complain(&line.trim_end());
        }
        Ok(seen)
    }

    async fn run(&self, slo: &Slo, trial: &Trial) -> Result<Report, Error> {
        let test = self.test(slo, trial)?;
        until_interrupted(&test.stop_handle(), test.run()).await
    }

    fn test(&self, slo: &Slo, trial: &Trial) -> Result<LoadTest<AnyTarget>, Error> {
        let pace = Pace { rate: trial.rate, length: trial.length, in_flight: slo.in_flight(trial.rate) };
        ruled(self.subject.paced(pace)?, trial)
    }
}
