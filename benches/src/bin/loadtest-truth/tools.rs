//! The load tester and its rivals: how each is called, and what each says.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use serde_json::Value;

use benches::figures::quantile;

use crate::{
    Failure,
    child::{Ended, Process},
};

/// A steady load.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Load<'a> {
    pub(crate) url: &'a str,
    pub(crate) per_sec: u32,
    pub(crate) seconds: u32,
}

/// Who sends it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rival {
    Wrk,
    Hey,
    Oha,
    OhaCorrected,
}

impl Rival {
    pub(crate) const ALL: [Self; 4] = [Self::Wrk, Self::Hey, Self::Oha, Self::OhaCorrected];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Wrk => "wrk",
            Self::Hey => "hey",
            Self::Oha => "oha",
            Self::OhaCorrected => "oha --latency-correction",
        }
    }

    /// Keep-alive on 64 connections (hey on 50, since its rate is one for each worker).
    pub(crate) fn start(self, load: Load<'_>) -> Result<Process, Failure> {
        let seconds = format!("{}s", load.seconds);
        let mut command = match self {
            Self::Wrk => Command::new("wrk"),
            Self::Hey => Command::new("hey"),
            Self::Oha | Self::OhaCorrected => {
                Command::new(std::env::var("OHA").unwrap_or_else(|_| "oha".into()))
            }
        };
        match self {
            Self::Wrk => {
                command.args(["-t1", "-c64", "-d", &seconds, "--timeout", "30s", "-s"]).arg(wrk_script()?);
            }
            Self::Hey => {
                let workers = if load.per_sec >= 500 { 50 } else { 10 };
                let each = format!("{}", f64::from(load.per_sec) / f64::from(workers));
                command.args([
                    "-z",
                    &seconds,
                    "-q",
                    &each,
                    "-c",
                    &workers.to_string(),
                    "-t",
                    "30",
                    "-o",
                    "csv",
                ]);
            }
            Self::Oha | Self::OhaCorrected => {
                let rate = load.per_sec.to_string();
                command.args([
                    "--no-tui",
                    "--output-format",
                    "json",
                    "-c",
                    "64",
                    "-z",
                    &seconds,
                    "-q",
                    &rate,
                ]);
                command.args(["-t", "30s", "-w"]);
                if self == Self::OhaCorrected {
                    command.arg("--latency-correction");
                }
            }
        }
        command.arg(load.url);
        Process::start(command)
    }

    /// p95, p99 and p99.9 in seconds.
    pub(crate) fn percentiles(self, ended: &Ended) -> Result<[f64; 3], Failure> {
        let strange = || {
            format!(
                "{} said something else: {}",
                self.name(),
                ended.output.chars().take(200).collect::<String>()
            )
        };
        match self {
            Self::Wrk => {
                let line = ended
                    .output
                    .lines()
                    .find_map(|line| line.strip_prefix("PERCENTILES "))
                    .ok_or_else(strange)?;
                let micros: Vec<f64> = line.split(' ').filter_map(|number| number.parse().ok()).collect();
                let [a, b, c] = micros[..] else { return Err(strange().into()) };
                Ok([a, b, c].map(|micros| micros / 1e6))
            }
            Self::Hey => {
                let first = |line: &str| line.split(',').next().and_then(|cell| cell.parse::<f64>().ok());
                let times: Vec<f64> = ended.output.lines().filter_map(first).collect();
                Ok([0.95, 0.99, 0.999].map(|q| quantile(&times, q)))
            }
            Self::Oha | Self::OhaCorrected => {
                let report: Value = serde_json::from_str(&ended.output).map_err(|_| strange())?;
                Ok(["p95", "p99", "p99.9"]
                    .map(|name| report["latencyPercentiles"][name].as_f64().unwrap_or(f64::NAN)))
            }
        }
    }
}

/// Our command for a load, with a report in `json`.
pub(crate) fn ours(load: Load<'_>, in_flight: u32, json: &Path) -> Command {
    let mut command = Command::new(ours_path());
    command.args([
        "run",
        load.url,
        "-q",
        "--rate",
        &load.per_sec.to_string(),
        "--for",
        &format!("{}s", load.seconds),
    ]);
    command.args(["-c", &in_flight.to_string(), "--timeout", "30s", "--json"]).arg(json);
    command
}

pub(crate) fn ours_path() -> PathBuf {
    std::env::var_os("OURS").map_or_else(|| "offgridflow-loadtest".into(), PathBuf::from)
}

/// A finished run of ours.
pub(crate) struct Ours {
    pub(crate) code: i32,
    pub(crate) report: Value,
}

impl Ours {
    /// Runs it to its end.
    pub(crate) fn run(command: Command, json: &Path) -> Result<Self, Failure> {
        Self::read(Process::start(command)?, json)
    }

    pub(crate) fn read(process: Process, json: &Path) -> Result<Self, Failure> {
        let ended = process.end(Duration::from_secs(120))?;
        let report = fs::read_to_string(json).ok().and_then(|text| serde_json::from_str(&text).ok());
        Ok(Self { code: ended.code.unwrap_or(-1), report: report.unwrap_or(Value::Null) })
    }

    /// The verdict in one word, as the command prints it.
    pub(crate) fn verdict(&self) -> String {
        let verdict = &self.report["verdict"];
        let name = |axis: &str| verdict[axis]["is"].as_str().unwrap_or("none").to_owned();
        let validity = name("validity");
        let limit = name("limit");
        let word = if validity != "valid" || limit == "not_reached" { validity } else { limit };
        word.split('_').map(capitalised).collect()
    }

    pub(crate) fn cause(&self) -> String {
        let cause = |axis: &str| self.report["verdict"][axis]["cause"].as_str().map(str::to_owned);
        cause("validity").or_else(|| cause("limit")).unwrap_or_default()
    }

    /// A number such as `total.response.p95.value`, in seconds from nanoseconds.
    pub(crate) fn seconds(&self, path: &str) -> f64 {
        let value = path.split('.').fold(&self.report, |value, key| &value[key]);
        value.as_f64().map_or(f64::NAN, |nanos| nanos / 1e9)
    }

    pub(crate) fn percentiles(&self, series: &str) -> [f64; 3] {
        ["p95", "p99", "p999"].map(|name| self.seconds(&format!("total.{series}.{name}.value")))
    }
}

fn capitalised(word: &str) -> String {
    let mut letters = word.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

/// wrk prints percentiles other than its own only from a script.
fn wrk_script() -> Result<PathBuf, Failure> {
    let path = PathBuf::from("target/verify/percentiles.lua");
    fs::create_dir_all("target/verify")?;
    let line = r#"io.write(string.format("PERCENTILES %f %f %f\n", latency:percentile(95), latency:percentile(99), latency:percentile(99.9)))"#;
    fs::write(&path, format!("done = function(summary, latency, requests)\n  {line}\nend\n"))?;
    Ok(path)
}
