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
mod key_command;
pub mod keys;
pub mod ledger;
pub mod limiter;
mod listen;
pub mod load;
mod not_stored;
#[cfg(feature = "otlp")]
pub mod otlp;
pub mod overview;
mod profiler;
mod secret;
pub mod serve;
pub mod store;
mod trace;
pub mod upload;
pub mod web;
pub mod worker;

pub use key_command::{KeyCommand, KeyError, run as run_key_command};
pub use secret::Secret;
