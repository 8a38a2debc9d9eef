//! Values past their time, or close to it: what is served, and what is loaded again behind whose back.
#![cfg(all(feature = "json", feature = "moka"))]

mod circular;
mod codec;
mod early;
mod errors;
mod outage;
mod refresh;
mod slow;
mod source;
mod stale;
mod unchanged;
