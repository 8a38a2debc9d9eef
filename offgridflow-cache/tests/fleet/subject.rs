//! What stands in a process: the cache, or what is usually composed in its place.

use std::sync::Arc;
use std::time::{Duration, Instant};

use fred::interfaces::ClientLike;
use fred::types::Builder;
use fred::types::config::{Config, ReconnectPolicy, UnresponsiveConfig};
use offgridflow_cache::sim::Mutant;
use offgridflow_cache::{
    Cache, Delivery, Error, Json, Loaded, Moka, Outage, PutLease, QuickCache, RedisBackend,
};
use tokio::time::sleep;

use crate::RIVAL;
use crate::loader::{SourceLoader, Version};
use crate::node::PATIENCE;
use crate::plan::{KEYS, Reach, Shape, is_absent, tag};
use crate::record::{Saw, Trouble};
use crate::rival::Composition;

pub(crate) enum Subject {
    Cache(Cache<u64, Version, SourceLoader>),
    Composition(Box<Composition>),
}

pub(crate) fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn store(url: &str, shape: &Shape) -> RedisBackend {
    if !shape.hasty {
        return RedisBackend::connect(url).unwrap();
    }
    let client = Builder::from_config(Config { fail_fast: false, ..Config::from_url(url).unwrap() })
        .with_performance_config(|performance| performance.default_command_timeout = ms(1_000))
        .with_connection_config(|connection| {
            connection.connection_timeout = ms(500);
            connection.internal_command_timeout = ms(500);
            connection.max_command_attempts = 1;
            connection.unresponsive = UnresponsiveConfig { max_timeout: Some(ms(400)), interval: ms(100) };
        })
        .set_policy(ReconnectPolicy::new_constant(0, 20))
        .build()
        .unwrap();
    let _connecting = client.connect();
    RedisBackend::over(client)
}

fn cache(space: &str, url: &str, shape: &Shape, source: &SourceLoader, mutant: Option<Mutant>) -> Subject {
    let builder = Cache::<u64, Version>::builder(space)
        .shared(store(url, shape), Json)
        .max_staleness(ms(shape.delta))
        .shared_timeout(ms(shape.shared_timeout))
        .lease_wait(ms(shape.lease_wait))
        .load_timeout(ms(shape.load_timeout))
        .ttl(ms(shape.ttl))
        .negative_ttl(ms(shape.ttl / 2))
        .stale_while_revalidate(ms(shape.revalidate))
        .stale_on_error(ms(shape.on_error))
        .retry_after(ms(shape.retry_after))
        .outage(if shape.suspects { Outage::ServeSuspect(ms(400)) } else { Outage::Reload })
        .mutant(mutant);
    let builder = match shape.soft_timeout {
        Some(wait) => builder.soft_timeout(ms(wait)),
        None => builder,
    };
    let builder = if shape.over_moka {
        builder.near(Moka::entries(1_000))
    } else {
        builder.near(QuickCache::entries(1_000))
    };
    let cache = builder.build(source.clone()).unwrap();
    let _ = source.cache.set(cache.clone());
    Subject::Cache(cache)
}

impl Subject {
    /// The cache, without one of its mechanisms or whole, or the usual composition: as `name` says.
    pub(crate) async fn named(
        name: &str,
        space: &str,
        url: &str,
        shape: &Shape,
        source: SourceLoader,
    ) -> Self {
        match Mutant::ALL.into_iter().find(|mutant| format!("{mutant:?}") == name) {
            None if name == RIVAL => {
                Self::Composition(Box::new(Composition::connect(space, url, shape, source).await))
            }
            mutant => cache(space, url, shape, &source, mutant),
        }
    }

    pub(crate) async fn get(&self, key: u64) -> Saw {
        match self {
            Self::Cache(cache) => saw(cache.get(&key).await),
            Self::Composition(composition) => composition.get(key).await,
        }
    }

    pub(crate) fn peek(&self, key: u64) -> Saw {
        let value = match self {
            Self::Cache(cache) => cache.peek(&key),
            Self::Composition(_) => None,
        };
        value.map_or(Saw::Nothing, |value| Saw::Value(value.key, value.version))
    }

    pub(crate) async fn get_all(&self) -> Vec<Saw> {
        let keys: Vec<u64> = (0..KEYS).collect();
        match self {
            Self::Cache(cache) => cache.get_many(&keys).await.into_iter().map(saw).collect(),
            Self::Composition(composition) => {
                let mut all = Vec::new();
                for key in keys {
                    all.push(composition.get(key).await);
                }
                all
            }
        }
    }

    pub(crate) async fn invalidate(&self, reach: Reach, key: u64) -> bool {
        let delivery = match self {
            Self::Cache(cache) => match reach {
                Reach::Key => cache.invalidate(&key).await,
                Reach::Tag => cache.invalidate_tag(tag(key)).await,
                Reach::Everything => cache.clear().await,
            },
            Self::Composition(composition) => {
                let reached: Vec<u64> = (0..KEYS).filter(|other| reach.covers(key, *other)).collect();
                return composition.invalidate(&reached).await;
            }
        };
        delivery == Delivery::Delivered
    }

    pub(crate) async fn put(&self, key: u64, version: u64) -> bool {
        match self {
            Self::Cache(cache) => cache.put(&key, loaded(key, version)).await == Delivery::Delivered,
            Self::Composition(composition) => composition.invalidate(&[key]).await,
        }
    }

    pub(crate) async fn lease(&self, key: u64) -> Option<PutLease<u64, Version, SourceLoader>> {
        match self {
            Self::Cache(cache) => Some(cache.lease(&key).await),
            Self::Composition(_) => None,
        }
    }

    /// What was not delivered yet, and how often the shared tier failed.
    pub(crate) fn stats(&self) -> (u64, u64) {
        match self {
            Self::Cache(cache) => {
                let stats = cache.stats();
                (stats.deferred, stats.shared_errors)
            }
            Self::Composition(_) => (0, 0),
        }
    }

    /// Until the near tier is trusted.
    pub(crate) async fn warmed(&self) {
        let Self::Cache(cache) = self else { return };
        let began = Instant::now();
        while cache.peek(&0).is_none() {
            assert!(began.elapsed() < PATIENCE, "no news of the store");
            let _ = cache.get(&0).await;
            sleep(ms(5)).await;
        }
    }
}

pub(crate) fn loaded(key: u64, version: u64) -> Loaded<Version> {
    Loaded::maybe((!is_absent(key, version)).then_some(Version { key, version })).tag(tag(key))
}

fn saw(answer: Result<Option<Arc<Version>>, Error<Trouble>>) -> Saw {
    match answer {
        Ok(Some(value)) => Saw::Value(value.key, value.version),
        Ok(None) => Saw::Absent,
        Err(Error::Load(_)) => Saw::Failed(Trouble::Error),
        Err(Error::LoadPanicked) => Saw::Failed(Trouble::Panic),
        Err(Error::LoadTimeout(_)) => Saw::Failed(Trouble::Timeout),
        Err(_) => Saw::Failed(Trouble::Other),
    }
}
