//! What is usually composed by hand: moka's `get_with` in the process, Redis behind it, and messages to invalidate.

use std::sync::Arc;
use std::time::Duration;

use fred::clients::{Client, SubscriberClient};
use fred::interfaces::{ClientLike, EventInterface, PubsubInterface};
use fred::types::config::{Config, ReconnectPolicy};
use fred::types::{Builder, ClusterHash, CustomCommand, Value};
use tokio::time::timeout;

use crate::loader::{SourceLoader, Version};
use crate::plan::Shape;
use crate::record::{Saw, Trouble};

type Near = moka::future::Cache<u64, Option<Version>>;

pub(crate) struct Composition {
    space: String,
    near: Near,
    redis: Client,
    limit: Duration,
    load_limit: Duration,
    source: SourceLoader,
    _listens: SubscriberClient,
}

impl Composition {
    pub(crate) async fn connect(space: &str, url: &str, shape: &Shape, source: SourceLoader) -> Self {
        let config = Config { fail_fast: false, ..Config::from_url(url).unwrap() };
        let limit = Duration::from_millis(shape.shared_timeout);
        let mut builder = Builder::from_config(config);
        builder.set_policy(ReconnectPolicy::new_constant(0, 20));
        builder.with_performance_config(|performance| performance.default_command_timeout = limit);
        builder.with_connection_config(|connection| connection.max_command_attempts = 1);
        let (redis, listens) = (builder.build().unwrap(), builder.build_subscriber_client().unwrap());
        redis.connect();
        listens.connect();
        listens.manage_subscriptions();
        let near = Near::builder().max_capacity(1_000).time_to_live(Duration::from_millis(shape.ttl)).build();
        let (mut messages, hears) = (listens.message_rx(), near.clone());
        tokio::spawn(async move {
            while let Ok(message) = messages.recv().await {
                if let Some(key) = message.value.as_u64() {
                    hears.invalidate(&key).await;
                }
            }
        });
        let subscribed = timeout(Duration::from_secs(2), listens.subscribe(space)).await;
        let _ = subscribed; // where the store is away, it will be asked for again
        let load_limit = Duration::from_millis(shape.load_timeout);
        Self { space: space.to_owned(), near, redis, limit, load_limit, source, _listens: listens }
    }

    pub(crate) async fn get(&self, key: u64) -> Saw {
        let answer: Result<_, Arc<Trouble>> = self.near.try_get_with(key, self.fetch(key)).await;
        match answer {
            Ok(Some(value)) => Saw::Value(value.key, value.version),
            Ok(None) => Saw::Absent,
            Err(trouble) => Saw::Failed(*trouble),
        }
    }

    async fn fetch(&self, key: u64) -> Result<Option<Version>, Trouble> {
        let found = self.command("GET", vec![self.name(key)]).await;
        if let Some(version) = found.and_then(|value| value.as_u64()) {
            return Ok(Some(Version { key, version }));
        }
        let source = self.source.clone();
        let load = tokio::spawn(async move { source.version(key).await });
        let value = match timeout(self.load_limit, load).await {
            Ok(Ok(loaded)) => loaded?,
            Ok(Err(_)) => return Err(Trouble::Panic),
            Err(_) => return Err(Trouble::Timeout),
        };
        if let Some(value) = value {
            self.command("SET", vec![self.name(key), value.version.to_string()]).await;
        }
        Ok(value)
    }

    /// Deletes there and here, and tells the others.
    pub(crate) async fn invalidate(&self, keys: &[u64]) -> bool {
        let mut delivered = true;
        for key in keys {
            delivered &= self.command("DEL", vec![self.name(*key)]).await.is_some();
            self.near.invalidate(key).await;
            let told: Result<u64, _> = self.redis.publish(self.space.as_str(), key.to_string()).await;
            delivered &= told.is_ok();
        }
        delivered
    }

    fn name(&self, key: u64) -> String {
        format!("rival:{}:{key}", self.space)
    }

    async fn command(&self, name: &'static str, arguments: Vec<String>) -> Option<Value> {
        let command = CustomCommand::new_static(name, ClusterHash::FirstKey, false);
        let arguments: Vec<Value> = arguments.into_iter().map(Value::from).collect();
        timeout(self.limit, self.redis.custom(command, arguments)).await.ok()?.ok()
    }
}
