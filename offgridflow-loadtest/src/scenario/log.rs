//! A log to replay.

use std::{
    collections::BTreeMap,
    error::Error,
    path::{Path, PathBuf},
};

use serde::Deserialize;

use super::values::{Share, Span};
use crate::{
    error::ConfigError,
    replay::{Fields, LogFormat, Replay, ReplayError},
    settings::Settings,
};

/// Where the host of an entry and who asked are, if nothing else is said.
const HOST: &str = "host";
pub(crate) const CLIENT: &str = "client";

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Log {
    file: PathBuf,
    format: Option<String>,
    speed: Option<f64>,
    time: Option<String>,
    method: Option<String>,
    path: Option<String>,
    host: Option<String>,
    client: Option<String>,
    visits: Option<Span>,
    pub(super) hosts: Option<BTreeMap<String, String>>,
    max_refused: Option<Share>,
}

impl Log {
    pub(super) fn read(&self, folder: &Path) -> Result<Replay, ConfigError> {
        let format: LogFormat = match &self.format {
            Some(name) => name.parse().map_err(within_replay)?,
            None => LogFormat::of_path(&self.file),
        };
        let fields = self.fields(format.has_names());
        let field = if self.format.is_some() { "replay.format" } else { "replay" };
        let format = format.with_fields(fields).map_err(|error| ConfigError::new(field, error.hint))?;
        let mut builder = Replay::builder(format);
        if let Some(speed) = self.speed {
            builder = builder.speed(speed);
        }
        if let Some(Share(share)) = self.max_refused {
            builder = builder.max_refused(share);
        }
        if let Some(Span(longest_pause)) = self.visits {
            builder = builder.visits(longest_pause);
        }
        builder.open(folder.join(&self.file)).map_err(|error| match error {
            ReplayError::Config(error) => within_replay(error),
            error => ConfigError::new("replay.file", explain(&self.file, &error)),
        })
    }

    /// What its columns are called, where they have names; some of those that are only read on demand have a usual one.
    fn fields(&self, named: bool) -> Fields {
        let usual = |said: &Option<String>, wanted: bool, usual: &str| {
            said.clone().or_else(|| (named && wanted).then(|| usual.to_owned()))
        };
        Fields {
            time: self.time.clone(),
            method: self.method.clone(),
            path: self.path.clone(),
            host: usual(&self.host, self.hosts.is_some(), HOST),
            client: usual(&self.client, self.visits.is_some(), CLIENT),
        }
    }
}

/// How many operations may be in flight for the visits of a log: as many as was said, else twice what there are where answers take no time.
pub(crate) fn visits_in_flight(replay: &Replay, said: Option<usize>) -> Result<usize, ConfigError> {
    let at_once = replay.visits_at_once().unwrap_or(0);
    match said {
        Some(workers) if workers < at_once => Err(ConfigError::new(
            "concurrent_workers",
            format!(
                "{at_once} visits of the log go on at a time, each an operation in flight: allow more than that, or leave it out"
            ),
        )),
        Some(workers) => Ok(workers),
        None => Ok((at_once * 2).max(Settings::default().concurrent_workers)),
    }
}

fn within_replay(error: ConfigError) -> ConfigError {
    ConfigError { field: format!("replay.{}", error.field), ..error }
}

/// An error about a log, with the file it is about and its cause.
pub(crate) fn explain(file: &Path, error: &ReplayError) -> String {
    let cause = error.source().map(|cause| format!(": {cause}")).unwrap_or_default();
    match error {
        ReplayError::Open { .. } => format!("{error}{cause}"), // names the file itself
        _ => format!("{}: {error}{cause}", file.display()),
    }
}
