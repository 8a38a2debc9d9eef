//! How many connections a database is worth.

use std::{fmt::Write, path::PathBuf, process::ExitCode, time::Duration};

use clap::Args;

use crate::{
    Climbed, Error, Executor, Level, LoadTest, Report, SqlStatement, SqlTarget, Staircase, Steps,
    command::{
        Failure,
        arguments::values::parse_count,
        complain,
        report_file::{ReportFile, is_stdout},
        runtime, say, set_up, tell, until_interrupted, usage,
    },
    report::text::short,
    steps::climbed,
    units::{measured_rate, parse_duration},
};

#[derive(Debug, Args)]
pub(super) struct DbConnections {
    /// The variable of the environment that holds the database's URL (postgres:// or sqlite://), which may hold a password.
    #[arg(long, value_name = "VARIABLE", default_value = "DATABASE_URL")]
    url_env: String,
    /// What each connection asks, over and over.
    #[arg(long, value_name = "SQL", default_value = "SELECT 1")]
    statement: String,
    /// The most connections that are tried [default: a tenth more than the server allows; 64 for SQLite]
    #[arg(long, value_name = "COUNT", value_parser = parse_count::<usize>)]
    most: Option<usize>,
    /// How long a run of a level is.
    #[arg(long, value_name = "DURATION", value_parser = parse_duration, default_value = "3s")]
    each: Duration,
    /// How often each level is run, in another order each time.
    #[arg(long, value_name = "COUNT", value_parser = parse_count::<usize>, default_value = "3")]
    rounds: usize,
    /// Also write the result as JSON to this file; `-` is standard output, and the text goes to standard error then.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// The schema of the JSON.
const SCHEMA: &str = "offgridflow-loadtest.db-connections/1";
/// A pool is large enough at this share of the best rate that was seen ...
const ENOUGH: f64 = 0.95;
/// ... and leaves this share of the server's connections to others: other services, replicas of this one, whoever looks what is wrong.
const OTHERS: f64 = 0.2;
/// For SQLite, which has no limit of its own.
const WITHOUT_LIMIT: usize = 64;

/// What came of it beside the staircase.
#[derive(Debug, Default, serde::Serialize)]
struct Advice {
    /// How many connections the server allows, if it has a limit.
    allowed: Option<usize>,
    /// The lowest level at which a connection was refused, and what it said.
    refused: Option<(usize, String)>,
    pool: Option<usize>,
    why: String,
}

impl DbConnections {
    pub(super) fn run(&self) -> Result<ExitCode, Failure> {
        let url = std::env::var(&self.url_env)
            .map_err(|_| usage(format!("--url-env: the environment has no `{}`", self.url_env)))?;
        let file = self.json.as_deref().map(|path| ReportFile::create("--json", path)).transpose();
        let file = file.map_err(usage)?;
        let runtime = runtime()?;
        let target = SqlTarget::new(&url)?;
        let allowed = runtime.block_on(target.allowed()).map_err(set_up)?;
        let steps = Steps::default().levels(levels(self.most(allowed))).rounds(self.rounds);
        steps.validate()?;
        let mut advice = Advice { allowed, ..Advice::default() };
        let found = runtime.block_on(steps.over(async |connections| {
            tokio::time::sleep(Duration::from_millis(500)).await;
            let report = self.level(&url, connections).await?;
            advice.note(connections, &report);
            let ran = climbed(&report)?;
            complain(&format_args!("{connections:>7} connections  {}", said(&ran)));
            Ok::<_, Failure>(ran)
        }))?;
        advice.conclude(&found);
        let text = format!("{found}{}", advice.text());
        if self.json.as_deref().is_some_and(is_stdout) { tell(&text) } else { say(&text) }?;
        if let Some(file) = file {
            let json = serde_json::json!({ "schema": SCHEMA, "version": env!("CARGO_PKG_VERSION"), "found": found, "advice": advice });
            file.write(&(serde_json::to_string_pretty(&json).map_err(set_up)? + "\n")).map_err(set_up)?;
        }
        Ok(ExitCode::from(found.exit_code()))
    }

    fn most(&self, allowed: Option<usize>) -> usize {
        self.most.or(allowed.map(|allowed| allowed + allowed.div_ceil(10))).unwrap_or(WITHOUT_LIMIT)
    }

    async fn level(&self, url: &str, connections: usize) -> Result<Report, Error> {
        let statement = SqlStatement::new("statement", self.statement.clone());
        // Each worker has a connection of its own: nobody waits for the pool, only for the database.
        let target = SqlTarget::new(url)?.pool(connections).statement(statement);
        let test = LoadTest::new(target).executor(Executor::closed(connections, self.each)).shards(1);
        let stop = test.stop_handle();
        until_interrupted(&stop, test.run()).await
    }
}

/// Powers of two up to the most, and the most.
fn levels(most: usize) -> Vec<usize> {
    let doubled = std::iter::successors(Some(1_usize), |level| level.checked_mul(2));
    doubled.take_while(|&level| level < most).chain([most]).collect()
}

fn said(ran: &Result<Climbed, String>) -> String {
    match ran {
        Ok(ran) => {
            let p95 = ran.p95.map_or_else(|| "-".into(), short);
            format!(
                "{}/s, p95 {p95}{}",
                measured_rate(ran.answered_per_sec),
                if ran.meets { "" } else { ", not all well" }
            )
        }
        Err(why) => why.clone(),
    }
}

impl Advice {
    /// Remembers the lowest level at which a connection was refused.
    fn note(&mut self, connections: usize, report: &Report) {
        let refused = report.errors.iter().find(|line| line.cause == "connect");
        if let Some(line) =
            refused.filter(|_| self.refused.as_ref().is_none_or(|(level, _)| connections < *level))
        {
            self.refused = Some((connections, line.message.clone()));
        }
    }

    fn conclude(&mut self, found: &Staircase) {
        let whole = found.levels.iter().filter(|level| level.meets());
        let best = whole.clone().map(Level::answered_per_sec).fold(0.0, f64::max);
        let enough = whole.clone().find(|level| level.answered_per_sec() >= ENOUGH * best);
        let Some(level) = enough.filter(|_| best > 0.0) else {
            self.why = "no level ended without failures in a valid run".into();
            return;
        };
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a part of a count")]
        let room =
            self.allowed.map(|allowed| ((1.0 - OTHERS) * crate::histogram::as_f64(allowed as u64)) as usize);
        let pool = room.map_or(level.workers, |room| level.workers.min(room.max(1)));
        self.pool = Some(pool);
        self.why = format!(
            "{} connections answer {}/s, {:.0} % of the best that was seen ({}/s); more of them wait for each other in the database in place of in the pool{}",
            level.workers,
            measured_rate(level.answered_per_sec()),
            level.answered_per_sec() / best * 100.0,
            measured_rate(best),
            if pool < level.workers {
                format!(", and {:.0} % of what the server allows are left to others", OTHERS * 100.0)
            } else {
                String::new()
            },
        );
    }

    fn text(&self) -> String {
        let mut text = String::new();
        let allowed =
            self.allowed.map_or_else(|| "no limit of its own".into(), |most| format!("{most} connections"));
        let _ = writeln!(text, "allowed     {allowed}");
        let _ = match &self.refused {
            Some((level, why)) => writeln!(text, "refused     first with {level} connections: {why}"),
            None => writeln!(text, "refused     none"),
        };
        let _ = match self.pool {
            Some(pool) => {
                writeln!(text, "pool        {pool} connections for all replicas together: {}", self.why)
            }
            None => writeln!(text, "pool        no advice: {}", self.why),
        };
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_double_up_to_the_most() {
        assert_eq!(levels(110), [1, 2, 4, 8, 16, 32, 64, 110]);
        assert_eq!(levels(64), [1, 2, 4, 8, 16, 32, 64]);
        assert_eq!(levels(1), [1]);
    }
}
