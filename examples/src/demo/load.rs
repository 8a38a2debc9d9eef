use std::time::Duration;

use offgridflow_loadtest::{ConfigError, HttpRoute, HttpTarget, LoadTest, OnCap, Rate};

use super::Account;

/// Tenants the load speaks for; more would only make the table of routes longer.
const TENANTS: usize = 8;
const SEED: u64 = 42;

/// Mostly reads of totals, some lists, a few writes, spread over tenants: an open loop, latency from the intended start.
pub(crate) fn load_test(
    base: &str,
    accounts: &[Account],
    rate: f64,
    time: Duration,
) -> Result<LoadTest<HttpTarget>, ConfigError> {
    let mut target = HttpTarget::new(base)?;
    for Account { credential: (name, value), .. } in accounts.iter().take(TENANTS) {
        for route in routes()? {
            target = target.route(route.header(name, value)?);
        }
    }
    Ok(LoadTest::new(target)
        .rate(Rate::constant(rate, time))
        .max_in_flight(1_000, OnCap::CountAsFailure)
        .timeout(Duration::from_secs(5))
        .seed(SEED)
        .threshold("p95(response) < 100ms")
        .threshold("failure_ratio < 1%"))
}

fn routes() -> Result<Vec<HttpRoute>, ConfigError> {
    const BY: [&str; 4] = ["scope", "category", "year", "month"];
    let totals = HttpRoute::get("/api/v1/emissions").weight(70).path_with(|op| {
        let by = BY[usize::try_from(op.rng().below(4)).unwrap_or(0)];
        format!("/api/v1/emissions?by={by}")
    });
    let factor = HttpRoute::get("/api/v1/factors/{category}").weight(10).path_with(|op| {
        let category = ["electricity", "diesel", "cement"][usize::try_from(op.rng().below(3)).unwrap_or(0)];
        format!("/api/v1/factors/{category}")
    });
    let list = HttpRoute::get("/api/v1/activities")
        .weight(15)
        .path_with(|_| "/api/v1/activities?limit=20".to_owned());
    let ingest =
        HttpRoute::post("/api/v1/activities").weight(5).header("content-type", "application/x-ndjson")?;
    let ingest = ingest.body_with(|op| {
        let row = |n| format!("{{\"id\":\"load-{}-{n}\",\"category\":\"diesel\",\"quantity\":\"{}.25\",\"period\":\"2025-01\"}}\n", op.index(), 1 + op.index() % 90);
        (0..5).map(row).collect::<String>()
    });
    Ok(vec![totals, factor, list, ingest])
}
