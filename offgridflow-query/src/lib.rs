//! Batched writes, a connection gate and query insight over sqlx: acknowledged means committed.
//!
//! ```
//! use offgridflow_query::{BatchWriter, Conflict, MemoryPool, row};
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! struct Reading { id: i64, watts: f64 }
//! row!(Reading in "readings" { id, watts } key { id });
//!
//! let pool = MemoryPool::new(4); // in production: SqliteGate or PgGate
//! let writer = BatchWriter::<Reading>::builder(pool).conflict(Conflict::Update).start()?;
//! let receipt = writer.reserve().await?.push(Reading { id: 1, watts: 230.5 }).committed().await?;
//! assert_eq!(receipt.flush, 1);
//! assert!(writer.close().await?.is_clean());
//! # Ok(()) }
//! ```
//!
//! Each part works alone:
//! - [`BatchWriter`] gathers rows from many tasks into few transactions, finds the rows that a database refuses, and
//!   hands them back. [`BatchedQuery`] does the same for one statement and rows at hand.
//! - [`ConnectionPool`] lends connections: `Gate` over `sqlx::Pool` (features `sqlite`, `postgres`), [`MemoryPool`] for tests.
//! - [`Tx`] is a transaction that a dropped future cannot leave open.
//! - [`Loader`] makes one query of the keys that many readers ask for.
//! - `Observer` (feature `observe`) keeps latency statistics per statement fingerprint, in bounded memory.
//!
//! It is the wrong tool for reading, for single writes whose latency must not wait for a flush, for moving whole tables
//! (use COPY or `.import`), and where every row needs values back (RETURNING).
#![forbid(unsafe_code)]
#![cfg_attr(docsrs, feature(doc_cfg))]

#[cfg(any(feature = "sqlite", feature = "postgres"))]
mod backend;
mod batch;
#[cfg_attr(
    not(any(feature = "sqlite", feature = "postgres")),
    allow(dead_code, reason = "its text forms are for databases")
)]
mod calendar;
mod chunk;
#[cfg(feature = "conformance")]
pub mod conformance;
mod decimal;
mod delivery;
mod error;
mod executor;
mod finish;
mod gate;
mod histogram;
mod ident;
mod loader;
mod memory;
#[cfg(feature = "observe")]
mod observe;
mod pool;
mod pool_error;
mod row;
mod shape;
mod strategy;
mod telemetry;
mod transaction;
mod turn;
mod write;

#[cfg(feature = "postgres")]
pub use backend::postgres::PgGate;
#[cfg(feature = "sqlite")]
pub use backend::sqlite::SqliteGate;
pub use batch::{
    Atomicity, BatchWriter, BatchWriterBuilder, BatchedQuery, BatchedReport, Fate, NotCommitted, Outcome,
    Permit, Receipt, Refused, Rejected, Report, Retry, Returned, Step, StrategyUse, Ticket, TicketIter,
    Tickets, Why, WriterStats, dropped_without_close,
};
pub use chunk::{Chunk, ChunkWriter, Items, Slice, Value};
pub use delivery::{Delivery, LedgerEntry, TxOutcome, TxToken, ledger_table_sql};
pub use error::{Cause, Class, ConfigError, Error, Scope};
pub use executor::{BatchConnection, BatchExecutor, DynBatchExecutor, Limits};
pub use gate::{Advice, Evidence, Leak, LeakStatus, Sizing};
#[cfg(any(feature = "sqlite", feature = "postgres"))]
pub use gate::{Gate, GateConfig, GateDatabase, Tidy};
pub use histogram::{Histogram, HistogramSnapshot};
pub use ident::Ident;
pub use loader::{LoadError, Loader};
pub use memory::{MemoryConnection, MemoryPool, Stored};
#[cfg(feature = "layer")]
pub use observe::ObserverLayer;
#[cfg(all(feature = "plans", any(feature = "sqlite", feature = "postgres")))]
pub use observe::{
    AdviceLimits, Advisor, IdleIndex, IdleReason, IndexAdvice, IndexVerdict, StatementAdvice, TryIndex,
    WriteCost,
};
#[cfg(feature = "observe")]
pub use observe::{
    By, ErrorCount, Finding, Fingerprint, Hint, Hints, Observation, Observer, ObserverReport,
    ObserverSnapshot, OverBudget, QueryBudget, QueryScope, RepeatedQuery, ScopeReport, StatementStats,
    normalize, write_set,
};
#[cfg(all(feature = "plans", any(feature = "sqlite", feature = "postgres")))]
pub use observe::{
    Detail, Explain, ExplainFor, Insight, Measured, NamedPool, Plan, PlanBudget, PlanDiff, PlanNode,
    PlanRegression, PlanShape, PlanStats, PlanWatcher, SlowLog, SlowStatement, Slower,
};
#[cfg(all(feature = "observe", any(feature = "sqlite", feature = "postgres")))]
pub use observe::{IsConnection, Observed, Watched};
#[cfg(feature = "tower")]
pub use observe::{QueryScopeLayer, QueryScopeService};
pub use pool::{Acquire, Condition, ConnectionPool, Guard, Lane, Lease, PoolStatus};
pub use pool_error::{Holder, PoolError};
#[doc(hidden)]
pub use row::__column_name;
pub use row::{Date, Field, Fields, Json, Numeric, Row, Timestamp, TimestampTz, Uuid};
pub use shape::{Column, Conflict, Element, Kind, Shape};
#[cfg(any(feature = "sqlite", feature = "postgres"))]
pub use sqlx;
pub use strategy::{Prepared, Strategy};
#[cfg(feature = "metrics")]
pub use telemetry::describe_metrics;
pub use transaction::{Transact, Tx};
pub use write::{Ending, Pooling, WriteError, WritePlan, Wrote};

#[cfg(all(doctest, feature = "sqlite"))]
#[doc = include_str!("../README.md")]
struct ReadmeDoctests;
