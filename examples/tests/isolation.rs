//! Whatever tenants do, in whatever order, each sees what it would see alone: over every endpoint, through the caches and the worker.
mod common;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use axum::http::StatusCode;
use common::Server;
use hyper::Method;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde_json::{Value, json};
use tokio::runtime::Runtime;

const TENANTS: [&str; 3] = ["acme", "beta", "gamma"];
const CATEGORIES: [&str; 2] = ["diesel", "coal"];
const CASES: u32 = 40;

/// What a tenant does.
#[derive(Debug, Clone)]
enum Act {
    /// Stores rows whose ids other tenants use, too.
    Store { tenant: usize, category: usize, ids: Vec<u8>, quantity: u8 },
    /// Gives itself a factor.
    Factor { tenant: usize, category: usize, kg: u8 },
    /// Reads everything it can.
    Read { tenant: usize },
    /// Asks for another's data, by whatever a request can hold.
    Reach { tenant: usize, other: usize, way: u8 },
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let (tenant, category) = (0..TENANTS.len(), 0..CATEGORIES.len());
    let store = (tenant.clone(), category.clone(), prop::collection::vec(0_u8..12, 1..5), 1_u8..9)
        .prop_map(|(tenant, category, ids, quantity)| Act::Store { tenant, category, ids, quantity });
    let factor = (tenant.clone(), category, 1_u8..9).prop_map(|(tenant, category, kg)| Act::Factor {
        tenant,
        category,
        kg,
    });
    let read = tenant.clone().prop_map(|tenant| Act::Read { tenant });
    let reach = (tenant.clone(), tenant, any::<u8>()).prop_map(|(tenant, other, way)| Act::Reach {
        tenant,
        other,
        way,
    });
    prop::collection::vec(prop_oneof![4 => store, 1 => factor, 3 => read, 2 => reach], 1..24)
}

/// What a tenant would see alone.
#[derive(Debug, Default)]
struct Alone {
    rows: BTreeMap<String, (&'static str, u8)>,
    factors: BTreeMap<&'static str, u8>,
}

struct Tenant {
    key: String,
    name: String,
    alone: Alone,
}

impl Tenant {
    async fn ask(
        &self,
        server: &Server,
        method: Method,
        path: &str,
        more: &[(&str, &str)],
        body: String,
    ) -> (StatusCode, Value) {
        let headers = [&[("x-api-key", self.key.as_str())], more].concat();
        server.send(method, path, &headers, body).await
    }
}

async fn run(server: &Server, case: u32, acts: Vec<Act>) -> Result<(), TestCaseError> {
    let mut tenants = Vec::new();
    for name in TENANTS {
        let name = format!("{name}-{case}");
        let (status, issued) = server
            .send(
                Method::POST,
                "/api/v1/keys",
                &[("x-api-key", ADMIN)],
                json!({ "tenant": name }).to_string(),
            )
            .await;
        prop_assert_eq!(status, StatusCode::CREATED);
        tenants.push(Tenant {
            key: issued["key"].as_str().unwrap().to_owned(),
            name,
            alone: Alone::default(),
        });
    }
    for act in acts {
        step(server, &mut tenants, act).await?;
    }
    for tenant in &tenants {
        settled(server, tenant).await?;
        same(server, tenant, &tenants).await?;
    }
    Ok(())
}

const ADMIN: &str = "admin-0123456789abcdef";

async fn step(server: &Server, tenants: &mut [Tenant], act: Act) -> Result<(), TestCaseError> {
    match act {
        Act::Store { tenant, category, ids, quantity } => {
            let (tenant, category) = (&mut tenants[tenant], CATEGORIES[category]);
            let row = |id: &u8| {
                json!({ "id": format!("row-{id}"), "category": category, "quantity": quantity, "period": "2024" }).to_string() + "\n"
            };
            let body: String = ids.iter().map(row).collect();
            let sent = tenant
                .ask(
                    server,
                    Method::POST,
                    "/api/v1/activities",
                    &[("content-type", "application/x-ndjson")],
                    body,
                )
                .await;
            prop_assert_eq!(sent.0, StatusCode::OK);
            for id in ids {
                tenant.alone.rows.entry(format!("row-{id}")).or_insert((category, quantity));
            }
        }
        Act::Factor { tenant, category, kg } => {
            let (tenant, category) = (&mut tenants[tenant], CATEGORIES[category]);
            let change = json!({ "unit": "GJ", "kg_co2e_per_unit": kg.to_string(), "scope": 1, "source": format!("of {}", tenant.name) });
            let sent = tenant
                .ask(server, Method::PUT, &format!("/api/v1/factors/{category}"), &[], change.to_string())
                .await;
            prop_assert_eq!(sent.0, StatusCode::OK, "{}", sent.1);
            tenant.alone.factors.insert(category, kg);
        }
        Act::Read { tenant } => same(server, &tenants[tenant], tenants).await?,
        Act::Reach { tenant, other, way } => {
            let (tenant, other) = (&tenants[tenant], &tenants[other].name);
            let path = match way % 6 {
                0 => format!("/api/v1/activities?after=&limit=1000&tenant={other}"),
                1 => format!("/api/v1/factors/{other}"),
                2 => format!("/api/v1/factors/..%2F{other}%2Fdiesel"),
                3 => format!("/api/v1/activities?after={other}"),
                4 => format!("/api/v1/emissions?by=category%27%20OR%20tenant%3D%27{other}"),
                _ => "/api/v1/activities?limit=1000".to_owned(),
            };
            let claim = [("x-tenant", other.as_str()), ("x-forwarded-for", "127.0.0.1")];
            let (_, seen) = tenant.ask(server, Method::GET, &path, &claim, String::new()).await;
            foreign(&seen, tenant, tenants)?;
        }
    }
    Ok(())
}

/// Whether an answer holds another tenant's name, which stands in its factors' sources and in its totals.
fn foreign(seen: &Value, tenant: &Tenant, tenants: &[Tenant]) -> Result<(), TestCaseError> {
    let text = seen.to_string();
    for other in tenants.iter().filter(|other| other.name != tenant.name) {
        prop_assert!(
            !text.contains(&format!("of {}", other.name)) && seen["tenant"] != other.name,
            "{} sees {text}",
            tenant.name
        );
    }
    Ok(())
}

/// What the tenant sees is what it would see alone.
async fn same(server: &Server, tenant: &Tenant, tenants: &[Tenant]) -> Result<(), TestCaseError> {
    let get = async |path: &str| tenant.ask(server, Method::GET, path, &[], String::new()).await;
    let (_, page) = get("/api/v1/activities?limit=1000").await;
    let listed = page["activities"].as_array().unwrap().iter();
    let rows: BTreeMap<String, (String, String)> = listed
        .map(|row| {
            (
                row["id"].as_str().unwrap().to_owned(),
                (row["category"].as_str().unwrap().to_owned(), row["quantity"].as_str().unwrap().to_owned()),
            )
        })
        .collect();
    let alone = tenant
        .alone
        .rows
        .iter()
        .map(|(id, (category, quantity))| (id.clone(), ((*category).to_owned(), quantity.to_string())));
    prop_assert_eq!(rows, alone.collect::<BTreeMap<_, _>>());
    let (_, totals) = get("/api/v1/emissions?by=category").await;
    for category in CATEGORIES {
        let count = tenant.alone.rows.values().filter(|(one, _)| *one == category).count();
        let group = totals["groups"].as_array().unwrap().iter().find(|group| group["group"] == category);
        prop_assert_eq!(
            group.map_or(0, |group| group["activities"].as_u64().unwrap()),
            count as u64,
            "{} of {}",
            category,
            tenant.name
        );
        let (_, factor) = get(&format!("/api/v1/factors/{category}")).await;
        foreign(&factor, tenant, tenants)?;
        if let Some(kg) = tenant.alone.factors.get(category) {
            prop_assert_eq!(&factor["kg_co2e_per_unit"], &json!(kg.to_string()));
        }
    }
    foreign(&totals, tenant, tenants)
}

/// The worker has recalculated with the tenant's own factors, and with nobody else's.
async fn settled(server: &Server, tenant: &Tenant) -> Result<(), TestCaseError> {
    let own = tenant.alone.rows.values().filter_map(|(category, quantity)| {
        Some((category, u64::from(*quantity), u64::from(*tenant.alone.factors.get(category)?)))
    });
    let mut expected: BTreeMap<&str, u64> = BTreeMap::new();
    for (category, quantity, kg) in own {
        *expected.entry(category).or_default() += quantity * kg;
    }
    let began = Instant::now();
    loop {
        let (_, totals) =
            tenant.ask(server, Method::GET, "/api/v1/emissions?by=category", &[], String::new()).await;
        let group = |category: &str| {
            totals["groups"]
                .as_array()
                .unwrap()
                .iter()
                .find(|group| group["group"] == category)
                .map(|group| group["co2e_kg"].clone())
        };
        if expected.iter().all(|(category, kg)| group(category) == Some(json!(kg.to_string()))) {
            return Ok(());
        }
        prop_assert!(
            began.elapsed() < Duration::from_secs(20),
            "{}: {expected:?} is not {totals}",
            tenant.name
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn isolated(server: impl AsyncFnOnce() -> Server, cases: u32) {
    let runtime = Runtime::new().unwrap();
    let server = runtime.block_on(server());
    let config = Config { failure_persistence: None, max_shrink_iters: 30, ..Config::with_cases(cases) };
    let number = std::cell::Cell::new(0);
    let held = TestRunner::new(config).run(&acts(), |acts| {
        number.set(number.get() + 1);
        runtime.block_on(run(&server, number.get(), acts))
    });
    held.unwrap();
    runtime.block_on(server.close());
}

#[test]
fn tenants_are_alone_on_sqlite() {
    isolated(async || Server::on_sqlite(&["--admin-keys", ADMIN]).await, CASES);
}

#[test]
fn tenants_are_alone_on_postgres_and_a_shared_cache() {
    let database = testkit::postgres().create_database("isolated").unwrap();
    let redis = testkit::redis().url();
    isolated(
        async || Server::on(&database.url(), &["--redis-url", &redis, "--admin-keys", ADMIN]).await,
        CASES / 2,
    );
}
