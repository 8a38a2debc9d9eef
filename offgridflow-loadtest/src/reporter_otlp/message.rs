//! The messages of OTLP in their JSON form (`opentelemetry/proto`, version 1): whole numbers of 64 bits are text there.

use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use crate::{
    histogram::as_f64,
    totals::{BOUNDS, Totals},
};

/// Since the start of the run.
const CUMULATIVE: u8 = 2;

/// When the run began, and when it was looked at.
#[derive(Debug, Clone, Copy)]
pub(super) struct Moment {
    pub(super) began: SystemTime,
    pub(super) now: SystemTime,
}

/// One push.
pub(super) fn request(
    attributes: &[(String, String)],
    totals: &Totals,
    moment: Moment,
    valid: Option<bool>,
) -> String {
    let resource: Vec<_> = attributes.iter().map(|(name, value)| attribute(name, value)).collect();
    json!({ "resourceMetrics": [{
        "resource": { "attributes": resource },
        "scopeMetrics": [{
            "scope": { "name": env!("CARGO_PKG_NAME"), "version": env!("CARGO_PKG_VERSION") },
            "metrics": metrics(totals, moment, valid),
        }],
    }] })
    .to_string()
}

fn metrics(totals: &Totals, moment: Moment, valid: Option<bool>) -> Vec<Value> {
    let by_outcome = [("ok", totals.ok), ("failed", totals.failed)]
        .map(|(outcome, count)| count_of(moment, count, &[attribute("outcome", outcome)]));
    let mut all = vec![
        sum("requests", "Operations that ended, by outcome, warm-up included.", by_outcome.to_vec()),
        duration(totals, moment),
        gauge("in_flight", "{operation}", "Operations under way.", moment, as_f64(totals.in_flight)),
        gauge(
            "behind_schedule",
            "s",
            "How late the generator itself was, 99th percentile of the newest window.",
            moment,
            totals.lag_p99.as_secs_f64(),
        ),
    ];
    all.extend(totals.offered.map(|offered| {
        sum("offered", "Operations that the schedule wanted.", vec![count_of(moment, offered, &[])])
    }));
    all.extend(valid.map(|valid| {
        let value = f64::from(u8::from(valid));
        gauge("valid", "1", "1 where the numbers of the run can be believed.", moment, value)
    }));
    all
}

fn attribute(name: &str, value: &str) -> Value {
    json!({ "key": name, "value": { "stringValue": value } })
}

fn sum(name: &str, help: &str, points: Vec<Value>) -> Value {
    json!({
        "name": format!("offgridflow.loadtest.{name}"), "description": help, "unit": "{operation}",
        "sum": { "dataPoints": points, "aggregationTemporality": CUMULATIVE, "isMonotonic": true },
    })
}

fn count_of(moment: Moment, count: u64, attributes: &[Value]) -> Value {
    json!({
        "startTimeUnixNano": nanos(moment.began), "timeUnixNano": nanos(moment.now),
        "asInt": count.to_string(), "attributes": attributes,
    })
}

fn gauge(name: &str, unit: &str, help: &str, moment: Moment, value: f64) -> Value {
    json!({
        "name": format!("offgridflow.loadtest.{name}"), "description": help, "unit": unit,
        "gauge": { "dataPoints": [{ "timeUnixNano": nanos(moment.now), "asDouble": value }] },
    })
}

/// Counts of OTLP are those of each bucket alone; what was never answered is in the last.
fn duration(totals: &Totals, moment: Moment) -> Value {
    let within = totals.within();
    let below = std::iter::once(0).chain(within);
    let beyond = totals.responses.count() - within[within.len() - 1];
    let each = within.iter().zip(below).map(|(upper, lower)| upper - lower).chain([beyond]);
    let counts: Vec<_> = each.map(|count| count.to_string()).collect();
    let bounds: Vec<_> = BOUNDS.iter().map(|&(_, micros)| as_f64(micros) / 1e6).collect();
    json!({
        "name": "offgridflow.loadtest.request.duration", "unit": "s",
        "description": "From the intended start to the end.",
        "histogram": {
            "dataPoints": [{
                "startTimeUnixNano": nanos(moment.began), "timeUnixNano": nanos(moment.now),
                "count": totals.responses.count().to_string(), "sum": totals.seconds(),
                "bucketCounts": counts, "explicitBounds": bounds,
            }],
            "aggregationTemporality": CUMULATIVE,
        },
    })
}

fn nanos(at: SystemTime) -> String {
    at.duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos().to_string()
}
