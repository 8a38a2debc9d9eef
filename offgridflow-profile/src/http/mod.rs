//! The addresses of Go's `net/http/pprof`, and some of our own, as a `tower` service.

mod access;
mod answer;
mod capture;
mod index;
mod instant;
mod own;
mod query;
mod service;
mod symbol;

pub use access::Access;
pub use service::{ProfileService, ProfileServiceBuilder};
