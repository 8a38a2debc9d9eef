//! Redis commands under load, a connection a session.

mod command;

use std::{
    fmt,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use fred::{
    clients::Client,
    error::{Error, ErrorKind},
    interfaces::ClientLike,
    types::{
        Builder, Value,
        config::{Config, ReconnectPolicy, Server},
    },
};
use tokio::sync::OnceCell;

pub use command::RedisCommand;

use crate::{
    error::ConfigError,
    histogram::as_f64,
    keys::Keys,
    op::Op,
    outcome::{FailKind, Outcome, TargetError},
    workload::{ShardCtx, Workload},
};

/// A Redis server under load: commands by their weights, on keys by their law, several at a time if they are pipelined.
///
/// Each session has a connection of its own, whose opening is admission wait, so the report's service time is the server's. Reads that find a key and reads that do not
/// are told apart, and the note of the report has their share.
///
/// ```no_run
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use offgridflow_loadtest::{Keys, LoadTest, Rate, RedisCommand, RedisTarget};
/// use std::time::Duration;
/// let target = RedisTarget::new("redis://127.0.0.1:6379/0")?
///     .keys(Keys::zipf(100_000, 0.99)) // Default: 1 000 keys, each as often as the others.
///     .command(RedisCommand::get().weight(9))
///     .command(RedisCommand::set(100..=1_000)) // bytes
///     .fill(50_000);                           // the keys that most are asked for
/// let report = LoadTest::new(target).rate(Rate::constant(5_000.0, Duration::from_secs(30))).run().await?;
/// println!("{report}"); // … hit ratio 82.1 % of 135000 reads
/// # Ok(()) }
/// ```
#[must_use = "a target does nothing until it is loaded"]
pub struct RedisTarget {
    config: Config,
    keys: Keys,
    prefix: String,
    commands: Vec<RedisCommand>,
    pipeline: usize,
    fill: u64,
    refill: Option<Refill>,
    filled: OnceCell<()>,
    hits: AtomicU64,
    misses: AtomicU64,
}

/// How many keys are filled at a time.
const BATCH: u64 = 500;
/// The most commands in a pipeline.
const MOST_PIPELINED: usize = 10_000;

impl RedisTarget {
    /// The server of a URL such as `redis://user:password@host:6379/0`.
    ///
    /// # Errors
    /// A URL that cannot be read. It may hold a password and is never shown.
    pub fn new(url: &str) -> Result<Self, ConfigError> {
        if !(url.starts_with("redis://") || url.starts_with("valkey://")) {
            return Err(ConfigError::new("target.url", "a Redis server begins with redis://"));
        }
        let unread = |_: Error| {
            ConfigError::new(
                "target.url",
                "cannot be read: it looks like redis://[[USER:]PASSWORD@]HOST[:PORT][/DATABASE]",
            )
        };
        Ok(Self {
            config: Config::from_url(url).map_err(unread)?,
            keys: Keys::uniform(1_000),
            prefix: "load:".into(),
            commands: Vec::new(),
            pipeline: 1,
            fill: 0,
            refill: None,
            filled: OnceCell::new(),
            hits: AtomicU64::new(0),
            misses: AtomicU64::new(0),
        })
    }

    /// Which keys are asked for. Default: 1 000, each as often as the others.
    pub fn keys(mut self, keys: Keys) -> Self {
        self.keys = keys;
        self
    }

    /// What keys begin with. Default `load:`.
    pub fn prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = prefix.into();
        self
    }

    /// Adds a command, asked as often as its weight says among all.
    pub fn command(mut self, command: RedisCommand) -> Self {
        self.commands.push(command);
        self
    }

    /// So many commands an operation, sent together, each on a key of its own. Default 1; at most 10 000.
    pub fn pipeline(mut self, commands: usize) -> Self {
        self.pipeline = commands.clamp(1, MOST_PIPELINED);
        self
    }

    /// Sets so many keys, from the first, to 100 bytes before anything else is asked. Default: none.
    pub fn fill(mut self, keys: u64) -> Self {
        self.fill = keys;
        self
    }

    /// What a client of a cache does who knows of no others: whoever reads a key that is not there loads its value for so long, and sets it, so many bytes, to expire. The loads
    /// are within the operation's time, and counted in the report's notes: as many as there were misses, where one a key and expiry would do. Without pipelines.
    pub fn refill(mut self, bytes: usize, ttl: Duration, load: Duration) -> Self {
        self.refill = Some(Refill { bytes, ttl, load });
        self
    }

    /// Each command with its part of the operations.
    #[cfg(feature = "cli")]
    pub(crate) fn outline(&self) -> Vec<String> {
        let all: u64 = self.commands.iter().map(|command| command.weight).sum();
        let part = |weight: u64| as_f64(weight) * 100.0 / as_f64(all.max(1));
        let line =
            |one: &RedisCommand| format!("{:<11} {:5.1} %  {}", "command", part(one.weight), one.label);
        self.commands.iter().map(line).collect()
    }

    fn key(&self, number: u64) -> Value {
        Value::from(format!("{}{number}", self.prefix))
    }

    pub(crate) async fn client(&self) -> Result<Client, Error> {
        let mut config = self.config.clone();
        config.fail_fast = true;
        let client = Builder::from_config(config)
            .with_connection_config(|connection| {
                connection.max_command_attempts = 1;
                connection.tcp.nodelay = Some(true);
            })
            .set_policy(ReconnectPolicy::new_constant(1, 0))
            .build()?;
        client.init().await?;
        Ok(client)
    }

    /// Sets the keys that have to be there.
    async fn fill_keys(&self, client: &Client) -> Result<(), Error> {
        let value = "x".repeat(100);
        for from in (0..self.fill.min(self.keys.count())).step_by(usize::try_from(BATCH).unwrap_or(1)) {
            let pipeline = client.pipeline();
            for number in from..(from + BATCH).min(self.fill.min(self.keys.count())) {
                let pair = vec![self.key(number), Value::from(value.as_str())];
                pipeline.custom::<(), Value>(command::named("SET"), pair).await?;
            }
            pipeline.all::<Value>().await?;
        }
        Ok(())
    }

    async fn ask(&self, client: &Client, command: &RedisCommand, op: &Op) -> Result<(), Error> {
        let arguments = || command.arguments(self.key(self.keys.pick(op.rng())), op);
        if self.pipeline == 1 {
            let arguments = arguments();
            let key = arguments.first().cloned().unwrap_or(Value::Null);
            let answer: Value = client.custom(command.name(), arguments).await?;
            self.count(command, &answer);
            return match self.refill.filter(|_| command.is_read && answer.is_null()) {
                Some(refill) => refill.set(client, key).await,
                None => Ok(()),
            };
        }
        let pipeline = client.pipeline();
        for _ in 0..self.pipeline {
            pipeline.custom::<(), Value>(command.name(), arguments()).await?;
        }
        for answer in pipeline.try_all::<Value>().await {
            self.count(command, &answer?);
        }
        Ok(())
    }

    /// Whether a read found something.
    fn count(&self, command: &RedisCommand, answer: &Value) {
        if command.is_read {
            let counted = if answer.is_null() { &self.misses } else { &self.hits };
            counted.fetch_add(1, Relaxed);
        }
    }
}

/// What who missed a key does.
#[derive(Debug, Clone, Copy)]
struct Refill {
    bytes: usize,
    ttl: Duration,
    load: Duration,
}

impl Refill {
    async fn set(self, client: &Client, key: Value) -> Result<(), Error> {
        tokio::time::sleep(self.load).await;
        let (value, ttl) = (Value::from("x".repeat(self.bytes)), self.ttl.as_millis().max(1).to_string());
        let set = vec![key, value, Value::from_static_str("PX"), Value::from(ttl)];
        client.custom::<Value, Value>(command::named("SET"), set).await.map(drop)
    }
}

impl Workload for RedisTarget {
    type Session = Client;

    async fn open(&self, _: &ShardCtx) -> Result<Client, TargetError> {
        let opened = async {
            let client = self.client().await?;
            self.filled.get_or_try_init(|| self.fill_keys(&client)).await?;
            Ok::<_, Error>(client)
        };
        opened.await.map_err(|error| TargetError::unanswered(FailKind::Connect, error.details().to_owned()))
    }

    async fn call(&self, client: &mut Client, op: &mut Op) -> Outcome {
        let Some(command) = op.picked().and_then(|picked| self.commands.get(picked)) else {
            return TargetError::unanswered(FailKind::App, "there is no command: add one").into();
        };
        match self.ask(client, command, op).await {
            Ok(()) => Outcome::ok(),
            Err(error) => failed(&error).into(),
        }
    }

    fn routes(&self) -> Vec<String> {
        self.commands.iter().map(|command| command.label.clone()).collect()
    }

    fn pick(&self, op: &Op) -> usize {
        op.rng().weighted(self.commands.iter().map(|command| command.weight))
    }

    async fn close(&self, client: Client) {
        let _ = client.quit().await;
    }

    async fn check(&self) -> Result<String, String> {
        let found = async {
            let client = self.client().await?;
            let info: String = client.custom(command::named("INFO"), vec![Value::from("server")]).await?;
            let _ = client.quit().await;
            Ok::<_, Error>(info)
        };
        let info = found.await.map_err(|error| format!("{}: {}", self.describe(), error.details()))?;
        let version = info.lines().find_map(|line| line.strip_prefix("redis_version:"));
        Ok(format!("Redis {}", version.unwrap_or("of an unknown version")))
    }

    fn open_files(&self) -> u64 {
        1
    }

    fn describe(&self) -> String {
        let servers = self.config.server.hosts();
        let hosts: Vec<_> =
            servers.iter().map(|Server { host, port, .. }| format!("{host}:{port}")).collect();
        let pipelined =
            if self.pipeline > 1 { format!(", {} commands at a time", self.pipeline) } else { String::new() };
        format!("redis://{}, {} keys{pipelined}", hosts.join(","), self.keys.count())
    }

    fn findings(&self) -> Vec<String> {
        let (hits, misses) = (self.hits.load(Relaxed), self.misses.load(Relaxed));
        if hits + misses == 0 {
            return Vec::new();
        }
        let share = as_f64(hits) * 100.0 / as_f64(hits + misses);
        let mut found =
            vec![format!("hit ratio {share:.1} % of {} reads, the warm-up's included", hits + misses)];
        found.extend(self.refill.map(|_| format!("{misses} loads, one for each miss")));
        found
    }
}

/// An error of the server's is an answer; one of the connection is not.
fn failed(error: &Error) -> TargetError {
    let said = error.details().to_owned();
    match error.kind() {
        ErrorKind::IO | ErrorKind::Canceled | ErrorKind::Timeout => {
            TargetError::unanswered(FailKind::Reset, said)
        }
        ErrorKind::Protocol | ErrorKind::Parse => TargetError::unanswered(FailKind::Protocol, said),
        ErrorKind::Backpressure | ErrorKind::Config | ErrorKind::Url => {
            TargetError::unanswered(FailKind::App, said)
        }
        _ => {
            let code = said.split_whitespace().next().unwrap_or("error").to_owned();
            TargetError::answered(FailKind::Check(code.into()), said)
        }
    }
}

impl fmt::Debug for RedisTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisTarget")
            .field("keys", &self.keys)
            .field("commands", &self.commands)
            .finish_non_exhaustive()
    }
}
