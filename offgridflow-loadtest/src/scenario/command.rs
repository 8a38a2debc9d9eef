//! What is asked of a Redis server.

use serde::Deserialize;

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(
    not(feature = "redis"),
    expect(dead_code, reason = "read, so that a build without Redis can say so")
)]
pub(super) struct Command {
    name: String,
    label: Option<String>,
    weight: Option<u64>,
    /// Of `SET`: the length of its values, or the shortest and the longest.
    value_bytes: Option<Bytes>,
    /// What follows the key.
    #[serde(default)]
    arguments: Vec<String>,
    /// Whether nil is a miss; `GET`'s is.
    hits: Option<bool>,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(untagged, expecting = "expected a number of bytes, or the least and the most: [100, 1000]")]
#[cfg_attr(
    not(feature = "redis"),
    expect(dead_code, reason = "read, so that a build without Redis can say so")
)]
enum Bytes {
    Always(usize),
    Between([usize; 2]),
}

#[cfg(feature = "redis")]
mod build {
    use super::{Bytes, Command};
    use crate::{
        error::ConfigError,
        keys::Keys,
        scenario::{File, Scenario, route::Around, value::text_of, within},
        target::{
            any::AnyTarget,
            redis::{RedisCommand, RedisTarget},
        },
    };

    /// The longest value.
    const MOST_BYTES: usize = 64 << 20;

    impl Scenario {
        /// Commands, by their weights.
        pub(in crate::scenario) fn redis_target(
            &self,
            url: &str,
            around: &Around<'_>,
        ) -> Result<AnyTarget, ConfigError> {
            let File { target: said, command, .. } = &self.file;
            let mut target = RedisTarget::new(url)?;
            let zipf = said.zipf.unwrap_or(0.0);
            if !(zipf.is_finite() && zipf >= 0.0) {
                return Err(ConfigError::new(
                    "target.zipf",
                    "is a number from 0, which is evenly; 0.99 is usual",
                ));
            }
            if said.keys == Some(0) {
                return Err(ConfigError::new("target.keys", "at least one key is needed"));
            }
            target = target.keys(Keys::zipf(said.keys.unwrap_or(1_000), zipf));
            if let Some(prefix) = &said.prefix {
                target = target.prefix(prefix);
            }
            if let Some(pipeline) = said.pipeline {
                if !(1..=10_000).contains(&pipeline) {
                    return Err(ConfigError::new(
                        "target.pipeline",
                        "is a number of commands from 1 to 10 000",
                    ));
                }
                target = target.pipeline(pipeline);
            }
            if let Some(fill) = said.fill {
                target = target.fill(fill);
            }
            if command.is_empty() {
                return Err(ConfigError::new("target", "say what to ask: add a [[command]]"));
            }
            let mut needs_row = false;
            for (index, one) in command.iter().enumerate() {
                let built = one.build(around, &mut needs_row).map_err(within(&format!("command.{index}")))?;
                target = target.command(built);
            }
            Ok(AnyTarget::from(target).needing_row(needs_row))
        }
    }

    impl Command {
        fn build(&self, around: &Around<'_>, needs_row: &mut bool) -> Result<RedisCommand, ConfigError> {
            if self.name.is_empty() {
                return Err(ConfigError::new("name", "a command has a name, such as \"GET\""));
            }
            let mut built = match (&*self.name.to_ascii_uppercase(), self.value_bytes) {
                ("GET", None) => RedisCommand::get(),
                ("SET", Some(bytes)) => RedisCommand::set(bytes.range()?),
                ("SET", None) if self.arguments.is_empty() => {
                    return Err(ConfigError::new(
                        "value_bytes",
                        "SET needs a value: how many bytes, or arguments",
                    ));
                }
                (_, Some(_)) => {
                    return Err(ConfigError::new("value_bytes", "is for SET: others have arguments"));
                }
                (name, None) => RedisCommand::named(name),
            };
            for (index, text) in self.arguments.iter().enumerate() {
                let template = text_of(text, around);
                let template =
                    template.map_err(|hint| ConfigError::new(format!("arguments.{index}"), hint))?;
                *needs_row |= template.needs_row();
                built = built.argument(move |op| template.fill(op));
            }
            if self.hits == Some(true) {
                built = built.counting_hits();
            }
            if let Some(label) = &self.label {
                built = built.label(label);
            }
            match self.weight {
                Some(0) => Err(ConfigError::new("weight", "must be at least 1; leave it out instead")),
                weight => Ok(built.weight(weight.unwrap_or(1))),
            }
        }
    }

    impl Bytes {
        fn range(self) -> Result<std::ops::RangeInclusive<usize>, ConfigError> {
            let (least, most) = match self {
                Self::Always(bytes) => (bytes, bytes),
                Self::Between([least, most]) => (least, most),
            };
            if least > most || most > MOST_BYTES {
                return Err(ConfigError::new(
                    "value_bytes",
                    "is at most 64 MiB, the smaller number first: [100, 1000]",
                ));
            }
            Ok(least..=most)
        }
    }
}
