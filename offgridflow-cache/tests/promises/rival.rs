//! What is usually composed by hand: moka in the process, Redis behind it, pub/sub to invalidate. Here all messages are lost, so that
//! nobody listens.

use std::time::Duration;

use fred::clients::Client;
use fred::interfaces::{ClientLike, PubsubInterface};
use fred::types::config::Config;
use fred::types::{Builder, ClusterHash, CustomCommand, Value};

const CHANNEL: &str = "rival";

#[derive(Clone)]
pub(crate) struct Composition {
    near: moka::future::Cache<u64, u64>,
    redis: Client,
}

impl Composition {
    /// Values stay near for `ttl`.
    pub(crate) async fn connect(url: &str, ttl: Duration) -> Self {
        let config = Config::from_url(url).unwrap();
        let redis = Builder::from_config(config).build().unwrap();
        redis.init().await.unwrap();
        Self { near: moka::future::Cache::builder().max_capacity(10_000).time_to_live(ttl).build(), redis }
    }

    /// `get_with` coalesces in this process; between processes nothing does.
    pub(crate) async fn get(&self, key: u64, load: impl Future<Output = u64>) -> u64 {
        self.near
            .get_with(key, async {
                if let Some(value) = self.command("GET", &[key]).await.as_u64() {
                    return value;
                }
                let value = load.await;
                self.command("SET", &[key, value]).await;
                value
            })
            .await
    }

    pub(crate) async fn invalidate(&self, key: u64) {
        self.near.invalidate(&key).await;
        self.command("DEL", &[key]).await;
        let _heard_by: Result<u64, _> = self.redis.publish(CHANNEL, key.to_string()).await;
    }

    async fn command(&self, name: &'static str, arguments: &[u64]) -> Value {
        let command = CustomCommand::new_static(name, ClusterHash::FirstKey, false);
        let arguments: Vec<Value> = arguments.iter().map(|number| Value::from(number.to_string())).collect();
        self.redis.custom(command, arguments).await.unwrap()
    }
}
