//! Reading what criterion leaves in `target/criterion`.

mod folder;
mod sample;

pub use folder::CriterionDir;
