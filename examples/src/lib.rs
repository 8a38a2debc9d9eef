//! The example server: carbon accounting for many tenants, composed of the five crates.
