//! Bundles in Redis: for shards that have no volume in common.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use fred::{
    clients::Client,
    interfaces::ClientLike,
    types::{ClusterHash, CustomCommand, Value},
};

use super::{Failure, runtime, set_up, usage};
use crate::{Bundle, target::redis::RedisTarget};

/// How long a bundle waits for whoever merges.
const KEPT: Duration = Duration::from_secs(24 * 3_600);
/// How often somebody who waits looks.
const LOOK: Duration = Duration::from_millis(500);

/// Where the bundles of one run are.
pub(super) struct Place {
    url: String,
    run: String,
}

impl Place {
    /// By the name of the run, in the server whose URL a variable of the environment holds.
    pub(super) fn new(run: &str, variable: &str) -> Result<Self, Failure> {
        let fits = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        if run.is_empty() || run.len() > 100 || !run.chars().all(fits) {
            return Err(usage(
                "a run in Redis is named by at most 100 letters, digits, dashes, dots and underscores",
            ));
        }
        let url = std::env::var(variable)
            .map_err(|_| usage(format!("--redis-url-env: the environment has no `{variable}`")))?;
        let _ = RedisTarget::new(&url)?;
        Ok(Self { url, run: run.to_owned() })
    }

    /// What it is called, without the server, whose URL may hold a password.
    pub(super) fn name(&self, shard: u64) -> String {
        format!("offgridflow-loadtest:{}:{shard}", self.run)
    }

    /// Tries the server before the run: that there is no bundle of this shard yet, and how far this machine's clock is ahead of the server's.
    pub(super) fn open(&self, shard: u64) -> Result<i64, Failure> {
        self.with(async |client| {
            let there = ask(client, "EXISTS", vec![self.name(shard)]).await?;
            if there.as_u64() == Some(1) {
                return Err(format!("{} is there already: name this run otherwise", self.name(shard)));
            }
            clock_ahead_ns(client).await
        })
    }

    /// Leaves a bundle, unless there is one of its shard.
    pub(super) fn put(&self, bundle: &Bundle) -> Result<(), Failure> {
        let name = self.name(bundle.shard());
        let json = bundle.to_json().map_err(set_up)?;
        self.with(async |client| {
            let kept = KEPT.as_secs().to_string();
            let arguments = vec![name.clone(), json, "NX".into(), "EX".into(), kept];
            let answer = ask(client, "SET", arguments).await?;
            if answer.is_null() {
                Err(format!("{name} is there already: a shard was run twice"))
            } else {
                Ok(())
            }
        })
    }

    /// The bundles of so many shards that are there, once all of them are or `wait` is over.
    pub(super) fn take(&self, expect: usize, wait: Duration) -> Result<Vec<Result<Bundle, String>>, Failure> {
        let names: Vec<_> = (0..).map(|shard| self.name(shard)).take(expect).collect();
        let begun = Instant::now();
        self.with(async |client| {
            loop {
                let answer = ask(client, "MGET", names.clone()).await?;
                let found: Vec<_> = answer.into_array().into_iter().zip(&names).collect();
                let all = found.iter().all(|(value, _)| !value.is_null());
                if all || begun.elapsed() >= wait {
                    let read = |(value, name): (Value, &String)| {
                        let text = value.as_string()?;
                        Some(
                            Bundle::from_json(&text)
                                .map_err(|error| format!("{name}: is no whole bundle: {error}")),
                        )
                    };
                    return Ok(found.into_iter().filter_map(read).collect());
                }
                tokio::time::sleep(LOOK).await;
            }
        })
    }

    /// Does something with a connection of its own.
    fn with<T>(&self, work: impl AsyncFnOnce(&Client) -> Result<T, String>) -> Result<T, Failure> {
        let target = RedisTarget::new(&self.url)?;
        let done = runtime()?.block_on(async {
            let client = target.client().await.map_err(|error| error.details().to_owned())?;
            let done = work(&client).await;
            let _ = client.quit().await;
            done
        });
        done.map_err(|why| set_up(format!("Redis: {why}")))
    }
}

async fn ask(client: &Client, command: &'static str, arguments: Vec<String>) -> Result<Value, String> {
    let command = CustomCommand::new_static(command, ClusterHash::FirstKey, false);
    client.custom(command, arguments).await.map_err(|error| error.details().to_owned())
}

/// By the clock that all shards see: the server's.
async fn clock_ahead_ns(client: &Client) -> Result<i64, String> {
    let before = SystemTime::now();
    let answer = ask(client, "TIME", Vec::new()).await?;
    let middle = before + before.elapsed().unwrap_or_default() / 2;
    let parts: Vec<_> = answer.into_array().iter().filter_map(Value::as_u64).collect();
    let [seconds, micros] = parts[..] else { return Err("TIME has no answer that can be read".into()) };
    let theirs = Duration::from_secs(seconds) + Duration::from_micros(micros);
    let ours = middle.duration_since(UNIX_EPOCH).unwrap_or_default();
    let ahead = i128::try_from(ours.as_nanos()).unwrap_or_default()
        - i128::try_from(theirs.as_nanos()).unwrap_or_default();
    i64::try_from(ahead).map_err(|_| "its clock is centuries off".into())
}
