//! The parts of the command `offgridflow-bench`, one file a subcommand.

pub(crate) mod confirm;
pub(crate) mod document;
pub(crate) mod gate;
pub(crate) mod history;
pub(crate) mod replay;
pub(crate) mod selftest;
