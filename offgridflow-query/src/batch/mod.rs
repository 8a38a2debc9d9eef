//! Rows in, fates out: the writer, its flushes, and what happens to rows that do not fit.

pub(crate) mod flush;
mod isolate;
mod item;
pub(crate) mod outcome;
mod plan;
pub(crate) mod query;
pub(crate) mod report;
mod retry;
mod statement;
mod worker;
pub(crate) mod writer;

pub use outcome::{Fate, NotCommitted, Outcome, Receipt, Rejected, Returned, Why};
pub use query::{BatchedQuery, BatchedReport};
pub use report::{Report, WriterStats};
pub use retry::Retry;
pub use writer::{BatchWriter, BatchWriterBuilder, Permit, Refused, Ticket, Tickets, dropped_without_close};
