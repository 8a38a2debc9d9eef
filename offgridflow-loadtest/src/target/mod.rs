//! Ready-made workloads.

#[cfg(feature = "cli")]
pub(crate) mod any;
#[cfg(feature = "http")]
pub(crate) mod http;
#[cfg(feature = "redis")]
pub(crate) mod redis;
#[cfg(feature = "sql")]
pub(crate) mod sql;
