//! Ready-made workloads.

pub(crate) mod http;
