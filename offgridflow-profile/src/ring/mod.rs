//! The newest profiles, within bounds of bytes and of age: what was before the alarm.

mod name;
mod store;
mod window;

pub use store::{Ring, RingStats};
pub use window::Window;
