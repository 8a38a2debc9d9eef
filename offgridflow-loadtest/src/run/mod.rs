//! Building a load test, and conducting its shards.

mod launch;
mod load_test;
mod planning;
mod runtime;
mod start;
mod wiring;

pub use load_test::LoadTest;
pub(crate) use runtime::on_a_thread;
