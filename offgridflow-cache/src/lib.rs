//! A tiered, typed cache whose stale fills are refused: **a fill needs a lease**.
//!
//! A miss hands out a lease; an invalidation kills it; a fill without a live lease is refused. So a load that began before an
//! invalidation never writes its old value after it: not in this process, and not in Redis.
//!
//! ```
//! use std::time::Duration;
//! use offgridflow_cache::{Cache, Loaded, loader_fn};
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let users = Cache::<u64, String>::builder("users")
//!     .ttl(Duration::from_secs(300))
//!     .build(loader_fn(|id: u64| async move {
//!         Ok::<_, std::io::Error>(Loaded::value(format!("user {id}")).tag("team:7"))
//!     }))?;
//! assert_eq!(users.get(&1).await?.as_deref(), Some(&"user 1".to_owned()));  // loaded, once, whoever asks meanwhile
//! assert!(users.peek(&1).is_some());                                        // synchronous, no allocation
//! let _ = users.invalidate_tag("team:7").await;
//! assert!(users.peek(&1).is_none());
//! # Ok(()) }
//! ```
//!
//! - *Near tier* ([`MemoryTier`]): in the process, typed, synchronous; [`QuickCache`], `Moka` (feature `moka`), or your own.
//! - *Shared tier* ([`CacheBackend`]): bytes, between processes; `RedisBackend` (feature `redis`), [`InProcess`], or your own.
//!
//! # What is promised
//!
//! 1. A read that starts after `invalidate(k)` returned on this node never sees the older value.
//! 2. Other nodes follow not later than [`max_staleness`](CacheBuilder::max_staleness) (Δ) after an invalidation was
//!    [`Delivered`](Delivery::Delivered), whatever messages are lost: a near value is served only within Δ of the last gap-free look
//!    at the shared tier's sequence of invalidations. [`Deferred`](Delivery::Deferred) is delivered later, or dies with the process.
//! 3. Once the shared tier is back, all nodes agree within Δ.
//! 4. One load a key and node, and one a fleet while the shared tier answers and the load is shorter than
//!    [`lease_wait`](CacheBuilder::lease_wait).
//! 5. A failing shared tier never fails a read that the loader could answer, and every read ends.
//!
//! The module `sim` (feature `sim`) holds seeded runs of whole fleets against them, over a store of your own as well.
//!
//! Not promised: freshness beyond what the loader reads (a lagging replica gives old values), and survival of invalidations
//! that a Redis failover forgets.
//!
//! # When this is the wrong tool
//!
//! For values that must never be stale on any node, read the source. For a cache without loads, use moka itself.
#![forbid(unsafe_code)]
#![cfg_attr(docsrs, feature(doc_cfg))]

/// Whether a simulation switched this mechanism off; without the feature `sim` it never is, and nothing is left of the question.
#[cfg(feature = "sim")]
macro_rules! mutated {
    ($inner:expr, $mutant:ident) => {
        $inner.settings.probe.mutant == Some(crate::sim::Mutant::$mutant)
    };
}
#[cfg(not(feature = "sim"))]
macro_rules! mutated {
    ($inner:expr, $mutant:ident) => {
        false
    };
}

/// Tells a simulation that the flight of a key lost its lease.
#[cfg(feature = "sim")]
macro_rules! note_fence {
    ($inner:expr, $key:expr) => {
        $inner.settings.probe.fence($key)
    };
}
#[cfg(not(feature = "sim"))]
macro_rules! note_fence {
    ($inner:expr, $key:expr) => {
        let _ = $key;
    };
}

/// An event of a cache, for who collects them; misses and troubles only, hits have none.
#[cfg(feature = "tracing")]
macro_rules! event {
    ($level:ident, $inner:expr, $($rest:tt)+) => {
        tracing::event!(target: "offgridflow_cache", tracing::Level::$level, cache = &*$inner.name, $($rest)+)
    };
}
#[cfg(not(feature = "tracing"))]
macro_rules! event {
    ($($ignored:tt)*) => {};
}

/// A future that goes on in the span that it is made in: work in a task of its own still belongs to who asked for it.
#[cfg(feature = "tracing")]
macro_rules! in_span {
    ($future:expr) => {
        tracing::Instrument::in_current_span($future)
    };
}
#[cfg(not(feature = "tracing"))]
macro_rules! in_span {
    ($future:expr) => {
        $future
    };
}

mod batch;
mod build;
mod cache;
mod caught;
mod codec;
#[cfg(feature = "conformance")]
#[cfg_attr(docsrs, doc(cfg(feature = "conformance")))]
pub mod conformance;
mod decorate;
mod error;
mod failures;
mod flight;
mod frame;
mod key;
mod loader;
mod near;
mod random;
mod recovery;
mod shared;
#[cfg(feature = "sim")]
#[cfg_attr(docsrs, doc(cfg(feature = "sim")))]
pub mod sim;
mod stats;
mod sync;
mod tags;
mod trust;

pub use build::CacheBuilder;
pub use cache::{Cache, Delivery, NoLoader, Outage, PutLease};
pub use codec::Codec;
#[cfg(feature = "json")]
#[cfg_attr(docsrs, doc(cfg(feature = "json")))]
pub use codec::Json;
#[cfg(feature = "lz4")]
#[cfg_attr(docsrs, doc(cfg(feature = "lz4")))]
pub use codec::Lz4;
#[cfg(feature = "postcard")]
#[cfg_attr(docsrs, doc(cfg(feature = "postcard")))]
pub use codec::Postcard;
pub use decorate::{Breaker, BreakerSettings, Calls, Chaos, Faults, Metered, Metering};
pub use error::{BackendError, CodecError, ConfigError, Error};
#[cfg(feature = "redis")]
#[cfg_attr(docsrs, doc(cfg(feature = "redis")))]
pub use fred;
pub use key::{CacheKey, Key, KeyParts};
pub use loader::{Loaded, Loader, LoaderFn, loader_fn};
#[cfg(feature = "moka")]
#[cfg_attr(docsrs, doc(cfg(feature = "moka")))]
pub use near::Moka;
#[cfg(feature = "quick_cache")]
#[cfg_attr(docsrs, doc(cfg(feature = "quick_cache")))]
pub use near::QuickCache;
pub use near::{Bound, Held, MemoryTier};
#[cfg(feature = "redis")]
#[cfg_attr(docsrs, doc(cfg(feature = "redis")))]
pub use shared::RedisBackend;
pub use shared::{
    BackendStats, CacheBackend, Caps, Change, Entry, Fill, FillWith, Filled, InProcess, Lease, Lookup, News,
    Position, Scope, Terms,
};
#[cfg(feature = "metrics")]
#[cfg_attr(docsrs, doc(cfg(feature = "metrics")))]
pub use stats::metrics::describe_metrics;
pub use stats::{Durations, Stats};

#[cfg(all(doctest, feature = "json", feature = "redis", feature = "moka"))]
#[doc = include_str!("../README.md")]
struct Readme;
