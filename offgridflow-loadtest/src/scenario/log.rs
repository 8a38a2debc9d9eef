//! A log to replay.

use std::{
    collections::BTreeMap,
    error::Error,
    path::{Path, PathBuf},
};

use serde::Deserialize;

use super::values::Share;
use crate::{
    error::ConfigError,
    replay::{Fields, LogFormat, Replay, ReplayError},
};

/// Where the host of an entry is, if nothing else is said.
const HOST: &str = "host";

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
    pub(super) hosts: Option<BTreeMap<String, String>>,
    max_refused: Option<Share>,
}

impl Log {
    pub(super) fn read(&self, folder: &Path) -> Result<Replay, ConfigError> {
        let host = self.host.clone().or_else(|| self.hosts.as_ref().map(|_| HOST.to_owned()));
        let (time, method, path) = (self.time.clone(), self.method.clone(), self.path.clone());
        let fields = Fields { time, method, path, host };
        let format: LogFormat = match &self.format {
            Some(name) => name.parse().map_err(within_replay)?,
            None => LogFormat::of_path(&self.file),
        };
        let field = if self.format.is_some() { "replay.format" } else { "replay" };
        let format = format.with_fields(fields).map_err(|error| ConfigError::new(field, error.hint))?;
        let mut builder = Replay::builder(format);
        if let Some(speed) = self.speed {
            builder = builder.speed(speed);
        }
        if let Some(Share(share)) = self.max_refused {
            builder = builder.max_refused(share);
        }
        builder.open(folder.join(&self.file)).map_err(|error| match error {
            ReplayError::Config(error) => within_replay(error),
            error => ConfigError::new("replay.file", explain(&self.file, &error)),
        })
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
