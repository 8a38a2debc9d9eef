//! What the ledger keeps of the store: factors and totals, in this process and in Redis.

use std::hash::Hash;
use std::sync::Arc;
use std::time::Duration;

use offgridflow_cache::{
    BackendError, Breaker, Cache, CacheBuilder, CacheKey, Json, KeyParts, Loaded, Loader, Metered,
    QuickCache, RedisBackend, Stats,
};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::carbon::Factor;
use crate::store::{Grouping, Store, StoreError, Total};

/// Bytes kept in this process, a cache, and how many entries that may be.
const NEAR: (u64, u64) = (16 << 20, 50_000);
/// Bytes of an entry beside its strings: the map's own, links, tags.
const ENTRY: usize = 200;
/// How long totals and factors stay when nobody invalidates them. Without Redis, a process does not hear of the others'
/// changes: then this bounds how old its totals are.
const TTL: (Duration, Duration) = (Duration::from_secs(300), Duration::from_secs(10));

/// Tenant and category.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct FactorKey(pub(super) String, pub(super) String);

impl CacheKey for FactorKey {
    fn parts(&self, parts: &mut KeyParts) {
        self.0.parts(parts);
        self.1.parts(parts);
    }
}

/// Tenant and grouping.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct TotalsKey(pub(super) String, pub(super) Grouping);

impl CacheKey for TotalsKey {
    fn parts(&self, parts: &mut KeyParts) {
        self.0.parts(parts);
        (self.1 as u8).parts(parts);
    }
}

#[derive(Debug)]
pub(super) struct FactorLoader(pub(super) Arc<Store>);

impl Loader<FactorKey, Factor> for FactorLoader {
    type Error = StoreError;

    async fn load(&self, FactorKey(tenant, category): FactorKey) -> Result<Loaded<Factor>, StoreError> {
        Ok(Loaded::maybe(self.0.factor(&tenant, &category).await?))
    }
}

#[derive(Debug)]
pub(super) struct TotalsLoader(pub(super) Arc<Store>);

impl Loader<TotalsKey, Vec<Total>> for TotalsLoader {
    type Error = StoreError;

    async fn load(&self, TotalsKey(tenant, by): TotalsKey) -> Result<Loaded<Vec<Total>>, StoreError> {
        Ok(Loaded::value(self.0.totals(&tenant, by).await?).tag(tenant))
    }
}

/// Redis, its calls timed, left alone while it is down.
#[derive(Debug, Clone)]
pub(super) struct Shared {
    pub(super) breaker: Arc<Breaker<Arc<Metered<RedisBackend>>>>,
    pub(super) metered: Arc<Metered<RedisBackend>>,
}

impl Shared {
    pub(super) fn connect(url: &str) -> Result<Self, BackendError> {
        let metered = Arc::new(Metered::new(RedisBackend::connect(url)?));
        Ok(Self { breaker: Arc::new(Breaker::new(Arc::clone(&metered))), metered })
    }
}

/// About what an entry takes in this process.
fn weight(parts: impl IntoIterator<Item = usize>) -> u32 {
    u32::try_from(parts.into_iter().sum::<usize>() + ENTRY).unwrap_or(u32::MAX)
}

pub(super) fn weigh_factor(FactorKey(tenant, category): &FactorKey, factor: &Factor) -> u32 {
    let texts = [tenant, category, &factor.category, &factor.unit, &factor.source];
    weight(texts.map(String::len).into_iter().chain([size_of::<Factor>()]))
}

#[expect(clippy::ptr_arg, reason = "what the cache keeps is a vector")]
pub(super) fn weigh_totals(TotalsKey(tenant, _): &TotalsKey, totals: &Vec<Total>) -> u32 {
    let groups = totals.iter().map(|total| size_of::<Total>() + total.group.len());
    weight([2 * tenant.len()].into_iter().chain(groups))
}

/// The settings that both caches share.
pub(super) fn cache<K, V>(
    name: &'static str,
    space: &str,
    weigh: fn(&K, &V) -> u32,
    redis: Option<&Shared>,
) -> CacheBuilder<K, V>
where
    K: CacheKey + Hash + Eq + Clone + Send + Sync + 'static,
    V: Serialize + DeserializeOwned + Send + Sync + 'static,
{
    let namespace = format!("{name}-{space}"); // two databases may share a Redis
    let near = QuickCache::weighted(NEAR.0, NEAR.1, weigh);
    let builder = Cache::builder(namespace).label(name).near(near);
    match redis {
        Some(redis) => builder.ttl(TTL.0).shared(Arc::clone(&redis.breaker), Json),
        None => builder.ttl(TTL.1),
    }
}

/// What the caches did so far.
#[derive(Debug, Clone, Serialize)]
pub struct CacheFigures {
    /// Totals by tenant and grouping.
    pub totals: CacheFigure,
    /// Factors by tenant and category, missing ones included.
    pub factors: CacheFigure,
}

/// What one cache did so far.
#[derive(Debug, Clone, Serialize)]
pub struct CacheFigure {
    /// Reads.
    pub asked: u64,
    /// Share of reads that needed no load; `None` before the first read.
    pub hit_ratio: Option<f64>,
    /// All of it.
    pub stats: Stats,
}

impl From<Stats> for CacheFigure {
    fn from(stats: Stats) -> Self {
        Self { asked: stats.asked(), hit_ratio: stats.hit_ratio(), stats }
    }
}
