//! Who may hold a connection, for how long, and what that says about the size of the pool.
//!
//! `places` and what it is made of (`lane`, `holders`, `window`, `advice`) know nothing of databases and serve every
//! pool of this crate; the rest is [`Gate`], the pool over sqlx.

mod advice;
#[cfg(any(feature = "sqlite", feature = "postgres"))]
mod config;
mod holders;
#[cfg(any(feature = "sqlite", feature = "postgres"))]
mod idle;
#[cfg(any(feature = "sqlite", feature = "postgres"))]
mod keeper;
mod lane;
mod leak;
#[cfg(any(feature = "sqlite", feature = "postgres"))]
mod lease;
#[cfg(any(feature = "sqlite", feature = "postgres"))]
mod lend;
#[cfg(any(feature = "sqlite", feature = "postgres"))]
mod lifetime;
mod places;
#[cfg(any(feature = "sqlite", feature = "postgres"))]
mod pool;
#[cfg(any(feature = "sqlite", feature = "postgres"))]
mod tidy;
mod window;

pub use advice::{Advice, Evidence, Sizing};
#[cfg(any(feature = "sqlite", feature = "postgres"))]
pub use config::GateConfig;
pub use leak::{Leak, LeakStatus};
pub(crate) use places::{FOREVER, Place, Places, Rules, default_reserve};
#[cfg(any(feature = "sqlite", feature = "postgres"))]
pub use pool::{Gate, GateDatabase};
#[cfg(any(feature = "sqlite", feature = "postgres"))]
pub use tidy::Tidy;
