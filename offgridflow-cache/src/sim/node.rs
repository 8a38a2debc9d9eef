//! A node of a run: the cache, or the plain composition that stands beside it as a control.

use std::sync::Arc;

#[cfg(feature = "moka")]
use super::composition::Composition;
use super::history::{Fault, Seen};
use super::near::Map;
use super::network::Network;
use super::plan::{DELTA_MS, KEYS, MS, Reach, Shape};
use super::source::{Plain, Source, Version, in_source, tag};
use crate::{Cache, Delivery, Error, Outage, PutLease};

#[derive(Debug)]
pub(super) enum Node {
    Cache(Cache<u64, Version, Source>),
    #[cfg(feature = "moka")]
    Composition(Composition),
}

impl Node {
    pub(super) fn cache(shape: &Shape, network: Network, source: Source) -> Self {
        let schema = if shape.schemas { 1 + u32::from(network.node % 2 == 1) } else { 1 };
        let millis = |millis: u64| MS * u32::try_from(millis).unwrap_or(u32::MAX);
        let builder = Cache::<u64, Version>::builder("sim")
            .schema(schema)
            .near(Map::default())
            .shared(network, Plain)
            .max_staleness(millis(DELTA_MS))
            .shared_timeout(millis(shape.shared_timeout))
            .lease_wait(millis(shape.lease_wait))
            .load_timeout(millis(shape.hard_timeout))
            .ttl(millis(shape.ttl))
            .negative_ttl(millis(shape.ttl / 2))
            .stale_while_revalidate(millis(shape.revalidate))
            .stale_on_error(millis(shape.on_error))
            .retry_after(millis(shape.retry_after))
            .outage(if shape.suspects { Outage::ServeSuspect(millis(400)) } else { Outage::Reload })
            .probe(source.probe.clone());
        let builder = match shape.soft_timeout {
            Some(wait) => builder.soft_timeout(millis(wait)),
            None => builder,
        };
        Self::Cache(builder.build(source).expect("settings of a run make sense"))
    }

    pub(super) async fn get(&self, key: u64) -> Seen {
        match self {
            Self::Cache(cache) => seen(cache.get(&key).await),
            #[cfg(feature = "moka")]
            Self::Composition(composition) => composition.get(key).await,
        }
    }

    pub(super) fn peek(&self, key: u64) -> Seen {
        let value = match self {
            Self::Cache(cache) => cache.peek(&key),
            #[cfg(feature = "moka")]
            Self::Composition(_) => None,
        };
        value.map_or(Seen::Nothing, |value| found(&value))
    }

    pub(super) async fn get_all(&self) -> Vec<Seen> {
        let keys: Vec<u64> = (0..KEYS).collect();
        match self {
            Self::Cache(cache) => cache.get_many(&keys).await.into_iter().map(seen).collect(),
            #[cfg(feature = "moka")]
            Self::Composition(composition) => {
                let mut all = Vec::new();
                for key in keys {
                    all.push(composition.get(key).await);
                }
                all
            }
        }
    }

    pub(super) async fn invalidate(&self, reach: Reach, key: u64) -> bool {
        let delivery = match self {
            Self::Cache(cache) => match reach {
                Reach::Key => cache.invalidate(&key).await,
                Reach::Tag => cache.invalidate_tag(tag(key)).await,
                Reach::Everything => cache.clear().await,
            },
            #[cfg(feature = "moka")]
            Self::Composition(composition) => {
                let reached = (0..KEYS).filter(|other| reach.covers(key, *other)).collect();
                return composition.invalidate(reached).await;
            }
        };
        delivery == Delivery::Delivered
    }

    pub(super) async fn put(&self, key: u64, version: u64) -> bool {
        match self {
            Self::Cache(cache) => cache.put(&key, in_source(key, version)).await == Delivery::Delivered,
            #[cfg(feature = "moka")]
            Self::Composition(composition) => composition.invalidate(vec![key]).await,
        }
    }

    /// A lease, where there are any.
    pub(super) async fn lease(&self, key: u64) -> Option<PutLease<u64, Version, Source>> {
        match self {
            Self::Cache(cache) => Some(cache.lease(&key).await),
            #[cfg(feature = "moka")]
            Self::Composition(_) => None,
        }
    }

    pub(super) async fn put_leased(
        &self,
        lease: Option<PutLease<u64, Version, Source>>,
        key: u64,
        version: u64,
    ) -> bool {
        match lease {
            Some(lease) => lease.put(in_source(key, version)).await == Delivery::Delivered,
            None => self.put(key, version).await,
        }
    }

    /// Removals that the store was not told of yet.
    pub(super) fn deferred(&self) -> u64 {
        match self {
            Self::Cache(cache) => cache.stats().deferred,
            #[cfg(feature = "moka")]
            Self::Composition(_) => 0,
        }
    }
}

fn found(value: &Version) -> Seen {
    Seen::Value { key: value.key, version: value.version }
}

fn seen(answer: Result<Option<Arc<Version>>, Error<&'static str>>) -> Seen {
    match answer {
        Ok(Some(value)) => found(&value),
        Ok(None) => Seen::Absent,
        Err(Error::Load(_)) => Seen::Failed(Fault::Error),
        Err(Error::LoadPanicked) => Seen::Failed(Fault::Panic),
        Err(Error::LoadTimeout(_)) => Seen::Failed(Fault::Timeout),
        Err(_) => Seen::Failed(Fault::Other),
    }
}
