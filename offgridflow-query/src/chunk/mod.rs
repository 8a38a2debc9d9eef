//! Rows by column: encoded once, looked at through slices.

mod bitmap;
mod column;
mod rows;
mod slice;
mod value;
mod writer;

pub use rows::Chunk;
pub use slice::Slice;
pub use value::{Items, Value};
pub use writer::ChunkWriter;
