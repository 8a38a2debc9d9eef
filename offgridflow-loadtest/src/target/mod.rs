//! Ready-made workloads.

#[cfg(feature = "http")]
pub(crate) mod http;
#[cfg(feature = "redis")]
pub(crate) mod redis;
#[cfg(feature = "sql")]
pub(crate) mod sql;
