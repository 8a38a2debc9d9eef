//! Reading what criterion leaves in `target/criterion`, and listening to it while it runs.

mod folder;
#[cfg(feature = "gate")]
mod protocol;
mod sample;

pub use folder::CriterionDir;
#[cfg(feature = "gate")]
pub(crate) use protocol::{Block, CONTINUE, Event, Frames, HELLO};
