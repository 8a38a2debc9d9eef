//! `testkit run [--set NAME=VALUE …] -- COMMAND…`: one PostgreSQL, with these lines in its configuration, and one Redis for everything that COMMAND runs,
//! then its exit code.
use std::env;
use std::ffi::OsString;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, ExitCode};

use testkit::{Error, POSTGRES_ENV, Postgres, PostgresOptions, REDIS_ENV, Redis};

const USAGE: &str = "usage: testkit run [--set NAME=VALUE …] -- COMMAND [ARGUMENT …]";

fn main() -> ExitCode {
    let arguments: Vec<_> = env::args_os().skip(1).collect();
    let Some((options, command)) = asked(&arguments) else {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    };
    match run_with_servers(&options, command) {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            eprintln!("testkit: {error}");
            ExitCode::from(4)
        }
    }
}

/// The settings and the command, if that is what the arguments are.
fn asked(arguments: &[OsString]) -> Option<(PostgresOptions, &[OsString])> {
    let [run, rest @ ..] = arguments else { return None };
    let (mut options, mut rest) = (PostgresOptions::default(), (run == "run").then_some(rest)?);
    while let [set, setting, more @ ..] = rest
        && set == "--set"
    {
        let (name, value) = setting.to_str()?.split_once('=')?;
        options.settings.push((name.to_owned(), value.to_owned()));
        rest = more;
    }
    let [dashes, command @ ..] = rest else { return None };
    (dashes == "--" && !command.is_empty()).then_some((options, command))
}

fn run_with_servers(options: &PostgresOptions, command: &[OsString]) -> Result<u8, Error> {
    let (postgres, redis) = (Postgres::start_with(options)?, Redis::start()?);
    let status = Command::new(&command[0])
        .args(&command[1..])
        .env(POSTGRES_ENV, postgres.url())
        .env(REDIS_ENV, redis.addr().to_string())
        .status()
        .map_err(|source| Error::Io { doing: "run the command", source })?;
    let signalled = || status.signal().map(|signal| 128 + signal);
    let code = status.code().or_else(signalled).unwrap_or(1);
    Ok(u8::try_from(code).unwrap_or(1))
}
