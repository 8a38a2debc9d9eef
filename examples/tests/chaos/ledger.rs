//! What is stored and told in the end, against what was sent.

use std::time::{Duration, Instant};

use offgridflow::http_client;
use serde_json::Value;

use crate::load::{QUIET_ROWS, Sent};
use crate::rig::{QUIET, key_of};
use crate::tally::Account;

/// Asks the database.
pub type Sql<'a> = dyn Fn(&str) -> Result<String, testkit::Error> + Sync + 'a;

/// How long totals may take to agree with the table once everything is well, the worker's work included.
const AGREE: Duration = Duration::from_secs(30);

/// What `sql` finds, and what each server tells, against `sent`.
pub async fn account(sql: &Sql<'_>, bases: &[String; 2], sent: &Sent) -> Account {
    let mut account = Account::default();
    let quiet = [(QUIET, QUIET_ROWS, QUIET_ROWS)].into_iter();
    let busy = sent.sent.iter().map(|(tenant, sent_rows)| (*tenant, *sent_rows, sent.acknowledged[tenant]));
    for (tenant, sent_rows, acknowledged) in busy.chain(quiet) {
        let of = format!("FROM activities WHERE tenant = '{tenant}'");
        let count = |statement: String| sql(&statement).unwrap().parse::<u64>().unwrap();
        // Rows are numbered as they are sent, and a number is only sent when those before it were acknowledged.
        let number = format!("CAST(substr(id, {}) AS BIGINT)", tenant.len() + 2);
        let stored = count(format!("SELECT count(*) {of}"));
        let kept = count(format!("SELECT count(DISTINCT id) {of} AND {number} < {acknowledged}"));
        let known = count(format!(
            "SELECT count(DISTINCT id) {of} AND id LIKE '{tenant}-%' AND {number} < {sent_rows}"
        ));
        account.acknowledged += acknowledged;
        account.stored += stored;
        account.lost += acknowledged - kept;
        account.foreign += stored - known;
        for base in bases {
            account.wrong.extend(agrees(base, tenant, stored, sql).await);
        }
    }
    account
}

/// Waits until a server tells exactly what is stored; otherwise what it tells instead.
async fn agrees(base: &str, tenant: &str, stored: u64, sql: &Sql<'_>) -> Option<String> {
    let began = Instant::now();
    loop {
        // Each row is one GJ of diesel at the tenant's factor: what the table should hold is told by its number and the factor alone.
        let factor = "COALESCE((SELECT numerator::numeric / denominator FROM factors WHERE category = 'diesel' AND tenant IN ('', '%') ORDER BY tenant DESC LIMIT 1), 0)".replace('%', tenant);
        let expected =
            sql(&format!("SELECT trim_scale(count(*) * {factor}) FROM activities WHERE tenant = '{tenant}'"))
                .ok();
        let key = key_of(tenant);
        let asked = http_client::get(base, "/api/v1/emissions", &[("x-api-key", key.as_str())]).await.ok();
        let totals: Value =
            asked.and_then(|answer| serde_json::from_slice(&answer.body).ok()).unwrap_or_default();
        let told = totals["groups"][0]["activities"].as_u64();
        if told == Some(stored) && totals["total_co2e_kg"].as_str() == expected.as_deref() {
            return None;
        }
        if began.elapsed() > AGREE {
            return Some(format!(
                "{base} tells of {tenant} {told:?} activities and {} kg, not {stored} and {expected:?}",
                totals["total_co2e_kg"]
            ));
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
