//! The example server: carbon accounting for many tenants. It composes the five crates and does nothing else of note.
#![forbid(unsafe_code)]

pub mod api;
pub mod app;
pub mod carbon;
pub mod config;
pub mod demo;
pub mod faults;
pub mod health;
pub mod http_client;
pub mod import;
pub mod intake;
pub mod ledger;
pub mod load;
#[cfg(feature = "otlp")]
pub mod otlp;
mod profiler;
pub mod serve;
pub mod store;
mod trace;
pub mod upload;
pub mod web;
pub mod worker;
