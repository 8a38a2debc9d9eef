//! The shared tier over Redis.

mod calls;
mod door;
mod messages;
mod plain;
mod scripts;
mod seen;
mod wire;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use fred::clients::Client;
use fred::types::config::{Config, ReconnectPolicy, UnresponsiveConfig};
use fred::types::{Builder, Key as RedisKey, Value};
use tokio::sync::watch;

use self::calls::Call;
use self::door::{Door, is_refusal};
use self::messages::{Connection, Messages};
use self::scripts::{Scripts, Tokens};
use self::seen::{Seen, farther};
use self::wire::{change, hashes, integer, lookup, millis, names, raw, slot, some_millis, text};
use super::{
    BackendStats, CacheBackend, Caps, Change, Fill, FillWith, Filled, Lookup, News, Position, Scope, Terms,
};
use crate::{BackendError, Key};

const NAME: &str = "Redis";
/// Keys a script is given at once: longer batches would keep Redis from its other clients.
const KEYS_A_CALL: usize = 512;
/// A command without an answer for so long fails; the cache's own limit is usually shorter.
const COMMAND_TIMEOUT: Duration = Duration::from_secs(2);
/// The longest value that is stored, unless another length is given; Redis itself takes 512 MiB.
const VALUE_BYTES: usize = 64 << 20;
/// Messages kept for a reader that is behind; it then looks for news of every namespace.
const MESSAGES: usize = 1_024;

/// The shared tier over Redis (6.2 or newer), by the `fred` client. Clones share the connection.
///
/// All keys of a namespace carry the hash tag `{namespace}`, so that one script may touch them; a namespace lives in one slot of a
/// cluster. Values, their expiry and the lease are fields of one hash a key, for each schema its own. Names used: `ogf:{namespace}:clock`, `:tags`, `:log`
/// and `:k:…`; what is found under one of the last kind and is no hash is replaced.
///
/// A user without the right to run scripts only reads: what others store and remove is seen, nothing is filled, and removals fail, which
/// the cache defers. `HMGET`, `ZMSCORE`, `ZRANGEBYSCORE`, `EXISTS` and `TIME` are what that takes. Rights that are given later are noticed.
///
/// A replica is read from as well, while it follows its primary and may say so (`INFO replication`): nothing is filled there, and removals fail
/// until it is promoted. What it tells is as old as it is behind, which adds to Δ.
#[derive(Clone)]
pub struct RedisBackend {
    client: Client,
    scripts: Arc<Scripts>,
    tokens: Arc<Tokens>,
    counts: Arc<Counts>,
    messages: Arc<Messages>,
    door: Arc<Door>,
    seen: Arc<Seen>,
    connection: Option<Arc<Connection<Client>>>, // closed with the last clone; `None`: the client is its owner's
    denied: Arc<AtomicBool>,                     // scripts, to this user
    replica: Arc<AtomicBool>,                    // as far as the last look for news told
    max_value_bytes: usize,
    trusts_restarts: bool,
}

#[derive(Default)]
struct Counts {
    commands: AtomicU64,
    errors: AtomicU64,
    too_long: AtomicU64,
    rolled_back: AtomicU64,
}

impl fmt::Debug for RedisBackend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisBackend").finish_non_exhaustive()
    }
}

impl RedisBackend {
    /// A client of the server at `url` (`redis://`, `redis-cluster://`, `redis-sentinel://`), which connects in the background
    /// and again whenever the connection is lost, or the runtime that it was connected on has ended, until the last clone is dropped. A
    /// server that is down is no error here: reads go on without it.
    ///
    /// Users and passwords may stand in the address. Encryption (`rediss://` and so on) needs the feature `tls`, or another of [`fred`]'s own for it. The
    /// system's authorities are believed, and those of `SSL_CERT_FILE` in their place; others are set on a client of one's own ([`over`](Self::over)).
    ///
    /// # Errors
    /// When the address cannot be read, or asks for encryption and `fred` was built without.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn connect(url: &str) -> Result<Self, BackendError> {
        let refuse = |hint: &str| BackendError::Address { backend: NAME, hint: hint.to_owned() };
        if !["redis", "rediss", "valkey", "valkeys"].iter().any(|scheme| url.starts_with(scheme)) {
            return Err(refuse("it begins with redis://, redis-cluster:// or redis-sentinel://"));
        }
        let address = |error: fred::error::Error| {
            let shape = "SCHEME://[[USER:]PASSWORD@]HOST[:PORT][/DATABASE]";
            refuse(&format!("{}; it looks like {shape}", error.details().trim_end_matches('.')))
        };
        let mut config = Config::from_url(url).map_err(address)?;
        let encrypts = ["rediss", "valkeys"].iter().any(|scheme| url.starts_with(scheme));
        if encrypts && !config.uses_tls() {
            return Err(refuse(
                "it asks for encryption: enable the feature `tls` of offgridflow-cache (or `enable-native-tls` of fred)",
            ));
        }
        config.fail_fast = false; // a server that is down now may come later
        let client = Builder::from_config(config)
            .with_performance_config(|performance| {
                performance.default_command_timeout = COMMAND_TIMEOUT;
                performance.broadcast_channel_capacity = MESSAGES;
            })
            .with_connection_config(|connection| {
                connection.connection_timeout = COMMAND_TIMEOUT;
                connection.internal_command_timeout = COMMAND_TIMEOUT;
                connection.max_command_attempts = 1;
                connection.tcp.nodelay = Some(true);
                #[cfg(target_os = "linux")]
                {
                    connection.tcp.user_timeout = Some(COMMAND_TIMEOUT * 2); // bytes that nobody acknowledges
                }
                connection.unresponsive =
                    UnresponsiveConfig { max_timeout: Some(COMMAND_TIMEOUT), interval: COMMAND_TIMEOUT / 4 };
            })
            .set_policy(ReconnectPolicy::new_exponential(0, 50, 2_000, 2))
            .build()
            .map_err(address)?;
        let store = Self::over(client);
        let connection = Some(Arc::new(Connection::open(&store.client)));
        Ok(Self { connection, ..store })
    }

    /// Over a client that is connected, or will be: TLS, users, cluster and sentinel are its own to configure, through
    /// [`fred`] as this crate re-exports it. It should have a command timeout. It stays connected when the store is dropped.
    #[must_use]
    pub fn over(client: Client) -> Self {
        let messages = Arc::new(Messages::over(&client));
        let door = Arc::new(Door::of(&client));
        Self {
            client,
            scripts: Arc::new(Scripts::new()),
            tokens: Arc::new(Tokens::new()),
            counts: Arc::default(),
            messages,
            door,
            seen: Arc::default(),
            connection: None,
            denied: Arc::default(),
            replica: Arc::default(),
            max_value_bytes: VALUE_BYTES,
            trusts_restarts: false,
        }
    }

    /// The longest value that is stored, as its codec writes it, with a few bytes of frame. A longer one is not sent, but counted
    /// ([`BackendStats::too_long`]), and lives near only. Default: 64 MiB; Redis takes 512 MiB, and serves nobody else meanwhile.
    #[must_use]
    pub const fn max_value_bytes(mut self, bytes: usize) -> Self {
        self.max_value_bytes = bytes;
        self
    }

    /// Believes a Redis that was started again from its file, or took over from another: what it has stays. Default: nothing that was stored before is
    /// served any more.
    ///
    /// For one that loses no acknowledged write, as with `appendfsync always`: a removal that it has forgotten is undone, unless a node that asks has
    /// seen more removals than it knows. On all nodes alike: one that does not believe it begins another life of the namespace.
    #[must_use]
    pub const fn trust_restarts(mut self) -> Self {
        self.trusts_restarts = true;
        self
    }

    async fn look_up(&self, keys: &[Key], terms: &Terms) -> Result<Vec<Lookup>, BackendError> {
        let namespace = keys[0].namespace();
        if !self.scripts_denied() {
            let early = Value::Integer(i64::from(terms.early));
            let schema = text(keys[0].schema().to_string());
            let call = Call {
                keys: keys.iter().map(slot).collect(),
                arguments: vec![some_millis(terms.lease), early, some_millis(terms.patience), schema],
                ..Call::of(namespace)
            };
            match self.call(&self.scripts.look, call).await {
                Err(_) if self.scripts_denied() => {}
                answer => {
                    let answers = answer?.1.into_iter();
                    return Ok(answers.map(|one| lookup(one).unwrap_or(Lookup::Failed)).collect());
                }
            }
        }
        let seen = self.seen.of(namespace);
        let (told, lookups) = self.plainly(plain::look_up(&self.client, keys)).await?;
        self.takes_in(namespace, seen.as_ref(), &told)?;
        Ok(lookups)
    }

    fn failed(&self, error: fred::error::Error) -> BackendError {
        self.counts.errors.fetch_add(1, Ordering::Relaxed);
        let (backend, refused) = (NAME, is_refusal(&error));
        let source = Box::new(error);
        if refused {
            BackendError::Refused { backend, source }
        } else {
            BackendError::Failed { backend, source }
        }
    }

    /// What commands without scripts give, counted.
    async fn plainly<T>(
        &self,
        answer: impl Future<Output = Result<T, fred::error::Error>>,
    ) -> Result<T, BackendError> {
        self.revive();
        self.counts.commands.fetch_add(1, Ordering::Relaxed);
        self.door.pass(&self.client, answer).await.map_err(|error| self.failed(error))
    }

    /// Connects again where the runtime of a connection has ended.
    fn revive(&self) {
        if let Some(connection) = &self.connection {
            connection.revive();
        }
        self.messages.revive();
    }

    /// Whether fills are of any use: there are scripts, and this is no replica.
    fn takes_fills(&self) -> bool {
        !self.scripts_denied() && !self.replica.load(Ordering::Acquire)
    }

    fn scripts_denied(&self) -> bool {
        self.denied.load(Ordering::Acquire)
    }
}

/// How long what is stored is.
fn length(fill: &Fill) -> usize {
    match &fill.with {
        FillWith::Entry(entry) => entry.frame.len(),
        FillWith::Release => 0,
    }
}

/// Cuts a batch where a script would get more keys than it is given at once, or more bytes than one value may have.
fn portions(mut fills: &[Fill], most_bytes: usize) -> impl Iterator<Item = &[Fill]> {
    std::iter::from_fn(move || {
        let mut bytes = 0_usize;
        let fits = |fill: &&Fill| {
            bytes = bytes.saturating_add(length(fill));
            bytes <= most_bytes
        };
        let count = fills.iter().take(KEYS_A_CALL).take_while(fits).count().max(1);
        let (portion, rest) = fills.split_at_checked(count)?;
        fills = rest;
        Some(portion)
    })
}

fn protocol(what: &'static str) -> BackendError {
    BackendError::Protocol { backend: NAME, what }
}

#[async_trait]
impl CacheBackend for RedisBackend {
    async fn get_or_lease(&self, keys: &[Key], terms: &Terms) -> Result<Vec<Lookup>, BackendError> {
        let mut lookups = Vec::with_capacity(keys.len());
        let of_a_schema = keys.chunk_by(|one, next| one.schema() == next.schema());
        for portion in of_a_schema.flat_map(|keys| keys.chunks(KEYS_A_CALL)) {
            lookups.extend(self.look_up(portion, terms).await?);
        }
        Ok(lookups)
    }

    async fn fill_if(&self, mut fills: Vec<Fill>) -> Result<Vec<Filled>, BackendError> {
        if !self.takes_fills() {
            return Ok(vec![Filled::Fenced; fills.len()]);
        }
        let too_long: Vec<bool> = fills.iter().map(|fill| length(fill) > self.max_value_bytes).collect();
        for (fill, _) in fills.iter_mut().zip(&too_long).filter(|(_, too_long)| **too_long) {
            fill.with = FillWith::Release; // so that nobody waits for it
            self.counts.too_long.fetch_add(1, Ordering::Relaxed);
        }
        let mut filled = Vec::with_capacity(fills.len());
        for portion in portions(&fills, self.max_value_bytes) {
            let keys = portion.iter().map(|fill| slot(&fill.key)).collect();
            let mut arguments = Vec::with_capacity(portion.len() * 8);
            for Fill { key, lease, with } in portion {
                let born = Value::Integer(integer(lease.born));
                arguments.extend([text(key.schema().to_string()), raw(&lease.token), born]);
                arguments.extend(match with {
                    FillWith::Entry(entry) => [
                        Value::Bytes(entry.frame.clone()),
                        some_millis(entry.left),
                        millis(entry.grace),
                        text(hashes(&entry.tags)),
                        raw(&names(&entry.tags)),
                    ],
                    FillWith::Release => [text(""), Value::Integer(0), Value::Integer(0), text(""), text("")],
                });
            }
            let call = Call { keys, arguments, ..Call::of(portion[0].key.namespace()) };
            let (_, answer) = self.call(&self.scripts.fill, call).await?;
            filled.extend(
                answer
                    .iter()
                    .map(|one| if one.as_u64() == Some(1) { Filled::Stored } else { Filled::Fenced }),
            );
        }
        let refused = |(filled, too_long)| if too_long { Filled::Fenced } else { filled };
        Ok(filled.into_iter().zip(too_long).map(refused).collect())
    }

    async fn remove(&self, namespace: &str, scope: Scope) -> Result<(), BackendError> {
        let channel = text(messages::channel(namespace));
        let call = |kind: &str, keys: Vec<RedisKey>, members: Vec<Value>| {
            let arguments = [channel.clone(), text(kind)].into_iter().chain(members).collect();
            Call { check: true, keys, arguments, ..Call::of(namespace) }
        };
        let calls: Vec<Call<'_>> = match &scope {
            Scope::Keys(keys) => {
                let name = |key: &Key| raw(&[b"k".as_slice(), key.name()].concat());
                let portion = |keys: &[Key]| {
                    call("k", keys.iter().map(slot).collect(), keys.iter().map(name).collect())
                };
                keys.chunks(KEYS_A_CALL).map(portion).collect()
            }
            Scope::Tags(tags) => {
                let pair = |tag| [text(format!("t{tag}")), text(hashes(std::slice::from_ref(tag)))];
                vec![call("t", Vec::new(), tags.iter().flat_map(pair).collect())]
            }
            Scope::Namespace => vec![call("n", Vec::new(), vec![text("n")])],
        };
        for call in calls {
            self.call(&self.scripts.remove, call).await?;
        }
        Ok(())
    }

    async fn news(&self, namespace: &str, seen: Option<Position>) -> Result<News, BackendError> {
        let since = seen.as_ref().map_or(-1, |seen| integer(seen.sequence));
        let arguments = vec![Value::Integer(since)];
        let call = Call { seen: seen.as_ref(), check: true, arguments, ..Call::of(namespace) };
        let (position, answer) = match self.call(&self.scripts.news, call).await {
            Err(_) if self.scripts_denied() => {
                let asked = farther(self.seen.of(namespace), seen.as_ref());
                let news = self.plainly(plain::news(&self.client, namespace, seen.as_ref())).await?;
                self.takes_in(namespace, asked.as_ref(), &news.position)?;
                return Ok(news);
            }
            answer => answer?,
        };
        let [forgotten, replica, changes @ ..] = answer.as_slice() else {
            return Err(protocol("too few fields"));
        };
        let number = |value: &Value| value.as_u64().ok_or_else(|| protocol("no number"));
        let forgotten = number(forgotten)?;
        self.replica.store(number(replica)? == 1, Ordering::Release);
        let followed = seen.is_some_and(|seen| {
            seen.epoch == position.epoch && seen.sequence >= forgotten && seen.sequence <= position.sequence
        });
        let changes: Option<Vec<Change>> = changes.iter().map(change).collect();
        Ok(News { position, changes: changes.filter(|_| followed) })
    }

    fn messages(&self, namespace: &str) -> Option<watch::Receiver<()>> {
        Some(self.messages.of(namespace))
    }

    fn caps(&self) -> Caps {
        Caps::new(NAME, self.takes_fills())
    }

    fn stats(&self) -> BackendStats {
        let counts = &self.counts;
        BackendStats {
            commands: counts.commands.load(Ordering::Relaxed),
            errors: counts.errors.load(Ordering::Relaxed),
            too_long: counts.too_long.load(Ordering::Relaxed),
            rolled_back: counts.rolled_back.load(Ordering::Relaxed),
            unheard: self.messages.unheard(),
            ..BackendStats::default()
        }
    }
}
