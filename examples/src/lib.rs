//! The example server: carbon accounting for many tenants. It composes the five crates and does nothing else of note.
#![forbid(unsafe_code)]

pub mod carbon;
pub mod intake;
