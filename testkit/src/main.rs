//! `testkit run -- COMMAND…`: one PostgreSQL and one Redis for everything that COMMAND runs, then its exit code.
use std::env;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, ExitCode};

use testkit::{Error, POSTGRES_ENV, Postgres, REDIS_ENV, Redis};

const USAGE: &str = "usage: testkit run -- COMMAND [ARGUMENT …]";

fn main() -> ExitCode {
    let arguments: Vec<_> = env::args_os().skip(1).collect();
    let [run, dashes, command @ ..] = arguments.as_slice() else {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    };
    if run != "run" || dashes != "--" || command.is_empty() {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    }
    match run_with_servers(command) {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            eprintln!("testkit: {error}");
            ExitCode::from(4)
        }
    }
}

fn run_with_servers(command: &[std::ffi::OsString]) -> Result<u8, Error> {
    let (postgres, redis) = (Postgres::start()?, Redis::start()?);
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
