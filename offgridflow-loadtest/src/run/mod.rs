//! Building a load test, and conducting its shards.

mod load_test;
mod planning;
mod runtime;

pub use load_test::LoadTest;
pub(crate) use runtime::on_a_thread;
