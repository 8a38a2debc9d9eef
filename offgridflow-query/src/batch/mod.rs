//! Rows in, fates out: the writer, its flushes, and what happens to rows that do not fit.

mod board;
mod builder;
mod controller;
mod crossover;
mod crowd;
mod flight;
pub(crate) mod flush;
mod isolate;
mod item;
pub(crate) mod outcome;
mod partition;
mod path;
mod pending;
mod plan;
mod portion;
pub(crate) mod query;
mod rehearse;
pub(crate) mod report;
mod retry;
mod sent;
mod setup;
mod shipment;
mod statement;
mod ticket;
mod worker;
pub(crate) mod writer;

pub use builder::BatchWriterBuilder;
pub use flush::Atomicity;
pub use outcome::{Fate, NotCommitted, Outcome, Receipt, Rejected, Returned, Why};
pub use path::Step;
pub use query::{BatchedQuery, BatchedReport};
pub use report::{Report, WriterStats};
pub use retry::Retry;
pub use shipment::StrategyUse;
pub use ticket::{Permit, Refused, Ticket, TicketIter, Tickets};
pub use writer::{BatchWriter, dropped_without_close};
