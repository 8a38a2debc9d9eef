//! What is promised between nodes that share a tier: the same checks over the in-process store and a real Redis.
#![cfg(all(feature = "json", feature = "redis"))]

mod absent;
mod address;
mod coherence;
mod messages;
mod node;
mod schemas;
mod sentinel;
mod trips;
