//! The five boards.

mod api;
mod database;
mod stack;
mod system;
mod worker;

use crate::board::Board;

/// All of them.
#[must_use]
pub fn all() -> [Board; 5] {
    [api::board(), database::board(), worker::board(), system::board(), stack::board()]
}
