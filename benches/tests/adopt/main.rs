//! What the guides of `docs/adopt` show is this code, run: each block of Rust stands here, before and after, and what a guide says
//! about the difference is tried beside it.

mod cached;
mod guide;
mod moka;
mod query_builder;
mod redis_rs;
mod users;
