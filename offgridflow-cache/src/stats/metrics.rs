//! Figures for the `metrics` facade. Counters are absolute, so that recording twice counts once.

use std::sync::Arc;
use std::time::Duration;

use super::Stats;

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
    metrics::gauge!("offgridflow_cache_entries", "cache" => Arc::clone(cache), "tier" => "near")
        .set(stats.near_entries as f64);
    metrics::gauge!("offgridflow_cache_deferred_invalidations", "cache" => Arc::clone(cache))
        .set(stats.deferred as f64);
    let out = if stats.outage.is_some() { 1.0 } else { 0.0 };
    metrics::gauge!("offgridflow_cache_outage", "cache" => Arc::clone(cache)).set(out);
}
