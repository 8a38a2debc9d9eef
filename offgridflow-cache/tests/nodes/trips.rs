//! What a read costs the network.

use std::convert::Infallible;
use std::time::Duration;

use offgridflow_cache::{Cache, Json, Loaded, Loader, RedisBackend};
use testkit::FaultProxy;
use tokio::time::sleep;

use crate::node::{DELTA, Source, eventually, read, unique, warmed};

/// Reads many keys at once: where each is a load of its own, outcomes that are far apart go to Redis apart.
struct Together(Source);

impl Loader<String, u64> for Together {
    type Error = Infallible;

    async fn load(&self, key: String) -> Result<Loaded<u64>, Infallible> {
        self.0.load(key).await
    }

    async fn load_many(&self, keys: Vec<String>) -> Vec<Result<Loaded<u64>, Infallible>> {
        keys.into_iter().map(|_| Ok(Loaded::value(0))).collect()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cold_get_is_one_trip_to_ask_and_one_to_fill_and_a_batch_costs_the_same() {
    let redis = testkit::redis();
    let proxy = FaultProxy::start(redis.addr()).unwrap();
    let url = format!("redis://{}", proxy.addr());
    let builder = Cache::builder(unique("trips"))
        .shared(RedisBackend::connect(&url).unwrap(), Json)
        .max_staleness(Duration::from_secs(3_600));
    let cache = builder.build(Together(Source::default())).unwrap();
    warmed(&cache, "warm").await; // scripts are loaded, and the next look for news is far away
    let trips = || proxy.counters().round_trips;
    eventually("looked, filled and heard the news", DELTA * 50, async || cache.stats().shared.commands >= 3)
        .await;
    eventually("nothing is under way", DELTA * 50, async || {
        let before = trips();
        sleep(Duration::from_millis(200)).await;
        trips() == before
    })
    .await;
    let before = trips();
    assert_eq!(read(&cache, "cold").await, Some(0));
    eventually("asked and filled", DELTA * 5, async || trips() == before + 2).await;
    let keys: Vec<String> = (0..100).map(|n| n.to_string()).collect();
    assert!(cache.get_many(&keys).await.into_iter().all(|answer| answer.unwrap().is_some()));
    eventually("asked and filled", DELTA * 5, async || trips() == before + 4).await;
    sleep(Duration::from_millis(50)).await;
    assert_eq!(trips(), before + 4, "no further trip");
}
