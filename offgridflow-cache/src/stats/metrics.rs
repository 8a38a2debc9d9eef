//! Figures for the `metrics` facade. Counters are absolute, so that recording twice counts once.

use std::sync::Arc;
use std::time::Duration;

use metrics::{describe_counter, describe_gauge, describe_histogram};

use super::Stats;
use crate::Bound;

/// Tells the recorder of the `metrics` facade what each figure of this crate means. Once a process, after the recorder was installed.
pub fn describe_metrics() {
    describe_counter!(
        "offgridflow_cache_requests_total",
        "Reads, by the tier that was asked and what came of it."
    );
    describe_counter!(
        "offgridflow_cache_stale_total",
        "Reads answered with a value that may be out of date, by why."
    );
    describe_counter!("offgridflow_cache_events_total", "What else happened to a cache, by what.");
    describe_counter!(
        "offgridflow_cache_evictions_total",
        "Entries thrown out of a tier, or not taken, by why."
    );
    describe_counter!(
        "offgridflow_cache_calls_total",
        "Calls of a shared tier, by what they ask and how they ended."
    );
    describe_gauge!("offgridflow_cache_entries", "Entries in a tier, roughly.");
    describe_gauge!("offgridflow_cache_capacity_entries", "Entries that a tier may keep.");
    describe_gauge!("offgridflow_cache_size_bytes", "Weight of a tier's entries, as its weigher counts it.");
    describe_gauge!(
        "offgridflow_cache_capacity_bytes",
        "Weight that a tier may keep, as its weigher counts it."
    );
    describe_gauge!("offgridflow_cache_loads_in_flight", "Keys whose load is under way.");
    describe_gauge!(
        "offgridflow_cache_deferred_invalidations",
        "Invalidations that wait for the shared tier to answer."
    );
    describe_gauge!("offgridflow_cache_outage", "1 while the shared tier fails, 0 while it answers.");
    describe_gauge!(
        "offgridflow_cache_circuit_state",
        "1 for the state that a breaker is in, 0 for the others."
    );
    describe_histogram!(
        "offgridflow_cache_load_duration_seconds",
        "How long loads took, a batch counted as one."
    );
    describe_histogram!(
        "offgridflow_cache_operation_duration_seconds",
        "How long calls of a shared tier took."
    );
}

/// A load that has ended.
pub(crate) fn load(cache: &Arc<str>, took: Duration) {
    metrics::histogram!("offgridflow_cache_load_duration_seconds", "cache" => Arc::clone(cache)).record(took);
}

pub(crate) fn record(cache: &Arc<str>, stats: &Stats) {
    requests(cache, stats);
    for (why, count) in [("ttl", stats.stale_hits), ("outage", stats.suspect_hits)] {
        let labels = [("cache", cache.to_string()), ("why", why.to_owned())];
        metrics::counter!("offgridflow_cache_stale_total", &labels).absolute(count);
    }
    for (event, count) in [
        ("decode_error", stats.decode_errors),
        ("distrusted", stats.distrusted),
        ("encode_error", stats.encode_errors),
        ("fenced", stats.fenced),
        ("gap", stats.gaps),
        ("invalidation", stats.invalidations),
        ("near_error", stats.near_errors),
        ("outage", stats.outages),
        ("refresh", stats.refreshes),
    ] {
        let labels = [("cache", cache.to_string()), ("event", event.to_owned())];
        metrics::counter!("offgridflow_cache_events_total", &labels).absolute(count);
    }
    if let Some(evictions) = stats.evictions {
        let labels =
            [("cache", cache.to_string()), ("tier", "near".to_owned()), ("reason", "capacity".to_owned())];
        metrics::counter!("offgridflow_cache_evictions_total", &labels).absolute(evictions);
    }
    gauges(cache, stats);
}

fn requests(cache: &Arc<str>, stats: &Stats) {
    for (tier, outcome, count) in [
        ("near", "hit", stats.near_hits),
        ("near", "coalesced", stats.coalesced),
        ("near", "miss", stats.misses),
        ("near", "refused", stats.refused),
        ("shared", "hit", stats.shared_hits),
        ("shared", "error", stats.shared_errors),
        ("loader", "miss", stats.loads),
        ("loader", "error", stats.load_errors),
    ] {
        let labels =
            [("cache", cache.to_string()), ("tier", tier.to_owned()), ("outcome", outcome.to_owned())];
        metrics::counter!("offgridflow_cache_requests_total", &labels).absolute(count);
    }
}

#[expect(clippy::cast_precision_loss, reason = "gauges are floats")]
fn gauges(cache: &Arc<str>, stats: &Stats) {
    let near = |name: &'static str, value: u64| {
        metrics::gauge!(name, "cache" => Arc::clone(cache), "tier" => "near").set(value as f64);
    };
    near("offgridflow_cache_entries", stats.near_entries);
    match stats.near_bound {
        Some(Bound::Entries(most)) => near("offgridflow_cache_capacity_entries", most),
        Some(Bound::Weight { kept, most }) => {
            near("offgridflow_cache_size_bytes", kept);
            near("offgridflow_cache_capacity_bytes", most);
        }
        None => {}
    }
    metrics::gauge!("offgridflow_cache_loads_in_flight", "cache" => Arc::clone(cache))
        .set(stats.loads_in_flight as f64);
    metrics::gauge!("offgridflow_cache_deferred_invalidations", "cache" => Arc::clone(cache))
        .set(stats.deferred as f64);
    let out = if stats.outage.is_some() { 1.0 } else { 0.0 };
    metrics::gauge!("offgridflow_cache_outage", "cache" => Arc::clone(cache)).set(out);
}
