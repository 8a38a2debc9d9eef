//! Two servers on one database and one Redis: what one stores, the other tells within Δ.
mod common;

use std::time::{Duration, Instant};

use common::{Server, row};
use hyper::Method;
use serde_json::json;

/// The cache's `max_staleness`, and what the machine may take on top.
const DELTA: Duration = Duration::from_millis(2_000 + 500);

#[tokio::test(flavor = "multi_thread")]
async fn an_update_through_one_server_is_seen_by_the_other_within_delta() {
    let database = testkit::postgres().create_database("two").unwrap();
    let redis = testkit::redis().url();
    let servers = [
        Server::on(&database.url(), &["--redis-url", &redis]).await,
        Server::on(&database.url(), &["--redis-url", &redis]).await,
    ];
    let [one, other] = &servers;
    let headers = [("content-type", "application/x-ndjson")];
    for n in 1..=3 {
        let (_, before) = other.get("/api/v1/emissions").await;
        assert_eq!(
            before["groups"]
                .as_array()
                .unwrap()
                .first()
                .map_or(json!(0), |group| group["activities"].clone()),
            n - 1
        );
        one.send(Method::POST, "/api/v1/activities", &headers, row(&n.to_string(), "diesel", "1", "2024"))
            .await;
        let acknowledged = Instant::now();
        loop {
            let (_, totals) = other.get("/api/v1/emissions").await;
            if totals["groups"][0]["activities"] == n {
                break;
            }
            assert!(acknowledged.elapsed() < DELTA, "{totals}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
    let change =
        json!({ "unit": "GJ", "kg_co2e_per_unit": "100", "scope": 1, "source": "a test" }).to_string();
    assert_eq!(other.get("/api/v1/factors/diesel").await.1["kg_co2e_per_unit"], "74.1");
    one.send(Method::PUT, "/api/v1/factors/diesel", &[], &change).await;
    let changed = Instant::now();
    while other.get("/api/v1/factors/diesel").await.1["kg_co2e_per_unit"] != "100" {
        assert!(changed.elapsed() < DELTA);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    for server in servers {
        server.close().await;
    }
}
