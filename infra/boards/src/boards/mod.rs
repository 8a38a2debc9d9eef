//! The five boards.

mod api;
mod database;
mod stack;
mod system;
mod worker;

use crate::board::Board;

/// Share of cache reads that needed no load.
const CACHE_HITS: &str = r#"1 - sum by (cache) (rate(offgridflow_cache_requests_total{$sel, tier="loader", outcome="miss"}[$__rate_interval])) / sum by (cache) (rate(offgridflow_cache_requests_total{$sel, tier="near"}[$__rate_interval]))"#;

/// All of them.
#[must_use]
pub fn all() -> [Board; 5] {
    [api::board(), database::board(), worker::board(), system::board(), stack::board()]
}
