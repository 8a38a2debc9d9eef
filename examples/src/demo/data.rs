use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::path::Path;
use std::time::{Duration, Instant};

use hyper::Method;
use hyper::body::Bytes;
use serde_json::Value;

use super::{Account, DemoError};
use crate::http_client;
use crate::intake::{Draft, Mismatch, WideTable};
use crate::keys::ApiKey;

/// Generated companies, and activities of each: two years of monthly readings.
const COMPANIES: [&str; 8] = ["alder", "birch", "cedar", "elm", "hazel", "larch", "maple", "rowan"];
/// Category, the least a month, and the spread, in the category's unit.
const READINGS: [(&str, u64, u64); 5] = [
    ("electricity", 20_000, 60_000),
    ("natural-gas", 200, 900),
    ("diesel", 40, 300),
    ("petrol", 20, 120),
    ("coal", 1, 30),
];
const SITES: u64 = 5;

/// What was sent to the server and acknowledged.
pub(super) struct Ingested {
    pub(super) accounts: Vec<Account>,
    pub(super) activities: u64,
    pub(super) mismatches: Vec<Mismatch>,
    took: Duration,
}

impl fmt::Display for Ingested {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rate = self.activities as f64 / self.took.as_secs_f64();
        write!(
            f,
            "{} activities of {} tenants acknowledged, {rate:.0} a second",
            self.activities,
            self.accounts.len()
        )?;
        if !self.mismatches.is_empty() {
            write!(
                f,
                "\n{} rows state a total that is not the sum of their cells; listed, not corrected",
                self.mismatches.len()
            )?;
        }
        for Mismatch { line, tenant, year, stated, summed } in self.mismatches.iter().take(3) {
            write!(f, "\n  line {line}: {tenant} {year} states {stated}, its cells add up to {summed}")?;
        }
        Ok(())
    }
}

/// Sends a table, or generated readings, tenant by tenant.
pub(super) async fn ingest(base: &str, admin: &ApiKey, input: Option<&Path>) -> Result<Ingested, DemoError> {
    let (bodies, mismatches) = match input {
        Some(path) => table(path)?,
        None => {
            (COMPANIES.iter().map(|company| ((*company).to_owned(), readings(company))).collect(), Vec::new())
        }
    };
    let mut accounts = Vec::new();
    for tenant in bodies.keys() {
        accounts.push(open_account(base, admin, tenant).await?);
    }
    let began = Instant::now();
    let mut activities = 0;
    for (account, body) in accounts.iter().zip(bodies.values()) {
        activities += send(base, account, body).await?;
    }
    Ok(Ingested { accounts, activities, mismatches, took: began.elapsed() })
}

type Bodies = BTreeMap<String, String>;

fn table(path: &Path) -> Result<(Bodies, Vec<Mismatch>), DemoError> {
    let file = std::fs::read(path).map_err(|error| DemoError::File(path.to_owned(), error))?;
    let table = WideTable::read(&file).map_err(DemoError::Data)?;
    if let Some(rejection) = table.rejections.first() {
        return Err(DemoError::Data(format!("line {}: {}", rejection.line, rejection.reason)));
    }
    let mut bodies = Bodies::new();
    for (tenant, draft) in &table.activities {
        let body = bodies.entry(tenant.clone()).or_default();
        line(body, draft);
    }
    Ok((bodies, table.mismatches))
}

/// NDJSON; quantities of the table are plain decimals and need no quotes.
fn line(body: &mut String, draft: &Draft) {
    let Draft { id, category, quantity, period, adjustment, .. } = draft;
    let id = id.as_deref().unwrap_or_default();
    let _ = writeln!(
        body,
        r#"{{"id":"{id}","category":"{category}","quantity":"{quantity}","period":"{period}","adjustment":{adjustment}}}"#
    );
}

/// The same readings each time: a multiplicative hash of the place stands in for chance.
fn readings(company: &str) -> String {
    let mut body = String::new();
    let name = company.bytes().fold(7_u64, |hash, byte| hash.wrapping_mul(31).wrapping_add(u64::from(byte)));
    for (site, year, month) in (0..SITES).flat_map(|site| {
        (2023..2025_u64).flat_map(move |year| (1..=12_u64).map(move |month| (site, year, month)))
    }) {
        for (kind, (category, least, spread)) in (0_u64..).zip(READINGS) {
            let place = (((name * 8 + kind) * 8 + site) * 4_096 + year) * 16 + month;
            let drawn = least + (place.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 40) % spread;
            let draft = Draft {
                id: Some(format!("{year}-{month:02}-site{site}-{category}")),
                category: category.to_owned(),
                quantity: drawn.to_string(),
                period: format!("{year}-{month:02}"),
                ..Draft::default()
            };
            line(&mut body, &draft);
        }
    }
    body
}

/// Has the server issue a key to a tenant.
async fn open_account(base: &str, admin: &ApiKey, tenant: &str) -> Result<Account, DemoError> {
    let wish = serde_json::json!({ "tenant": tenant }).to_string();
    let headers = [("x-api-key", admin.reveal())];
    let answer = http_client::send(base, Method::POST, "/api/v1/keys", &headers, Bytes::from(wish)).await?;
    if !answer.status.is_success() {
        return Err(DemoError::Data(format!("no key for {tenant}: {}", answer.status)));
    }
    let issued: Value = serde_json::from_slice(&answer.body)?;
    let key = issued["key"].as_str().unwrap_or_default().to_owned();
    Ok(Account { tenant: tenant.to_owned(), credential: ("x-api-key", key) })
}

async fn send(base: &str, account: &Account, body: &str) -> Result<u64, DemoError> {
    let headers = [("content-type", "application/x-ndjson"), (account.credential.0, &account.credential.1)];
    let body = Bytes::copy_from_slice(body.as_bytes());
    let answer = http_client::send(base, Method::POST, "/api/v1/activities", &headers, body).await?;
    if !answer.status.is_success() {
        return Err(DemoError::Data(format!(
            "{}: {} {}",
            account.tenant,
            answer.status,
            String::from_utf8_lossy(&answer.body)
        )));
    }
    let receipt: Value = serde_json::from_slice(&answer.body)?;
    Ok(receipt["accepted"].as_u64().unwrap_or(0))
}
