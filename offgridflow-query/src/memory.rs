//! A pool and a database in memory, for tests: real transactions on keys, faults on demand.

use crate::chunk::{Slice, Value};
use crate::error::{Cause, Class};
use crate::executor::{BatchConnection, Limits};
use crate::gate::{Advice, Place, Places, Rules, default_reserve};
use crate::pool::{Acquire, Condition, ConnectionPool, Guard, Lease, PoolStatus};
use crate::pool_error::PoolError;
use crate::shape::{Conflict, Shape};
use crate::strategy::Prepared;
use crate::write::{Ending, WriteError, WritePlan, Wrote};
use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::future::Future;
use std::panic::Location;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;

/// A value kept by a [`MemoryPool`].
#[derive(Debug, Clone, PartialEq)]
pub enum Stored {
    /// NULL.
    Null,
    /// Booleans, integers, times in microseconds and dates in days.
    Int(i64),
    /// Doubles.
    Float(f64),
    /// Text, numbers as text and JSON.
    Text(String),
    /// Bytes and UUIDs.
    Bytes(Vec<u8>),
    /// Arrays.
    List(Vec<Self>),
}

impl From<Value<'_>> for Stored {
    fn from(value: Value<'_>) -> Self {
        match value {
            Value::Null => Self::Null,
            Value::Bool(v) => Self::Int(v.into()),
            Value::Int2(v) => Self::Int(v.into()),
            Value::Int4(v) | Value::Days(v) => Self::Int(v.into()),
            Value::Int8(v) | Value::Micros(v) => Self::Int(v),
            Value::Float4(v) => Self::Float(v.into()),
            Value::Float8(v) => Self::Float(v),
            Value::Text(v) => Self::Text(v.to_owned()),
            Value::Bytes(v) => Self::Bytes(v.to_vec()),
            Value::Uuid(v) => Self::Bytes(v.to_vec()),
            Value::Array(items) => Self::List(items.iter().map(Self::from).collect()),
        }
    }
}

type Poison = Box<dyn Fn(&[Stored]) -> Option<Cause> + Send>;

#[derive(Default, Clone)]
struct Table {
    rows: Vec<Vec<Stored>>,
    keys: HashMap<Vec<u8>, usize>,
}

#[derive(Default)]
struct Database {
    tables: HashMap<String, Table>,
    poison: Option<Poison>,
    faults: VecDeque<WriteError>,
    writes: Vec<usize>, // rows of every committed transaction
}

struct Shared {
    database: Mutex<Database>,
    stalled: watch::Sender<bool>,
    places: Arc<Places>,
}

impl Shared {
    fn database(&self) -> MutexGuard<'_, Database> {
        self.database.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An in-memory [`ConnectionPool`] whose connections a [`BatchWriter`](crate::BatchWriter) can write through.
///
/// A double for unit tests: keys are unique, transactions are atomic, and faults come when a test asks for them.
/// Nothing is durable. Clones share the database.
///
/// ```
/// # use offgridflow_query::*;
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// let pool = MemoryPool::new(2);
/// let one = pool.acquire(Acquire::default()).await.unwrap();
/// assert_eq!(pool.status().in_use, 1);
/// drop(one);
/// assert_eq!(pool.status().in_use, 0);
/// # }
/// ```
#[derive(Clone)]
pub struct MemoryPool {
    shared: Arc<Shared>,
}

impl MemoryPool {
    /// A pool of `max_open` connections (at least one) that lets callers wait for 5 s.
    #[must_use]
    pub fn new(max_open: usize) -> Self {
        let max_open = max_open.max(1);
        let places = Places::new(Rules {
            name: "memory".into(),
            max_open,
            reserve: default_reserve(max_open),
            timeout: Some(Duration::from_secs(5)),
            shed: true,
            leak_after: Some(Duration::from_secs(60)),
            server_cores: None,
        });
        let shared = Shared { database: Mutex::default(), stalled: watch::Sender::new(false), places };
        Self { shared: Arc::new(shared) }
    }

    /// The rows of a table, in the order they were stored.
    #[must_use]
    pub fn rows(&self, table: &str) -> Vec<Vec<Stored>> {
        self.shared.database().tables.get(table).map(|t| t.rows.clone()).unwrap_or_default()
    }

    /// Rows of every committed transaction, oldest first.
    #[must_use]
    pub fn transactions(&self) -> Vec<usize> {
        self.shared.database().writes.clone()
    }

    /// Refuses every row for which `poison` gives a cause, as a constraint would.
    pub fn set_poison(&self, poison: impl Fn(&[Stored]) -> Option<Cause> + Send + 'static) {
        self.shared.database().poison = Some(Box::new(poison));
    }

    /// Makes one of the next writes fail; several calls queue up. With [`WriteError::CommitUnknown`] the rows *are*
    /// stored, as they may be when a real link breaks.
    pub fn fail_next(&self, error: WriteError) {
        self.shared.database().faults.push_back(error);
    }

    /// Whether the size fits the load of the last one to two minutes, with the evidence.
    #[must_use]
    pub fn advice(&self) -> Advice {
        self.shared.places.advice()
    }

    /// Holds every write back until [`resume`](Self::resume).
    pub fn stall(&self) {
        self.shared.stalled.send_replace(true);
    }

    /// Lets stalled writes go on.
    pub fn resume(&self) {
        self.shared.stalled.send_replace(false);
    }
}

impl fmt::Debug for MemoryPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryPool").field("places", &self.shared.places).finish_non_exhaustive()
    }
}

/// A connection of a [`MemoryPool`].
pub struct MemoryConnection {
    shared: Arc<Shared>,
}

impl fmt::Debug for MemoryConnection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryConnection").finish_non_exhaustive()
    }
}

struct MemoryLease {
    conn: MemoryConnection,
    place: Place,
}

impl Lease<MemoryConnection> for MemoryLease {
    fn conn(&self) -> &MemoryConnection {
        &self.conn
    }

    fn conn_mut(&mut self) -> &mut MemoryConnection {
        &mut self.conn
    }

    fn give_back(self: Box<Self>, condition: Condition) {
        self.place.came_back(Instant::now());
        if condition == Condition::Broken {
            self.conn.shared.places.books.broken.fetch_add(1, Relaxed);
        }
    }
}

impl ConnectionPool for MemoryPool {
    type Conn = MemoryConnection;

    #[track_caller]
    fn acquire(
        &self,
        ask: Acquire,
    ) -> impl Future<Output = Result<Guard<MemoryConnection>, PoolError>> + Send {
        let at = Location::caller();
        async move {
            let places = &self.shared.places;
            let place = places.enter(ask, at, Instant::now()).await?;
            let conn = MemoryConnection { shared: Arc::clone(&self.shared) };
            Ok(Guard::new(Box::new(MemoryLease { conn, place })))
        }
    }

    fn status(&self) -> PoolStatus {
        let mut status = self.shared.places.status(0);
        status.open = status.in_use;
        status
    }

    async fn close(&self) {
        self.shared.places.refuse();
        self.shared.places.all_free().await;
    }
}

impl BatchConnection for MemoryConnection {
    const DATABASE: &'static str = "memory";

    fn limits(_: &Shape) -> Limits {
        Limits {
            max_columns: 1_600,
            max_name_bytes: 63,
            max_bytes: 1 << 30,
            statement_rows: usize::MAX,
            arrays: true,
            ignores_case: false,
        }
    }

    async fn prepare(&mut self, _: &Shape, _: &WritePlan) -> Result<Prepared, WriteError> {
        Ok(Prepared::default().with_exact_key())
    }

    async fn write(&mut self, parts: &[Slice<'_>], plan: &WritePlan) -> Result<Wrote, WriteError> {
        let mut stalled = self.shared.stalled.subscribe();
        // The sender lives in `self.shared`, so waiting cannot fail.
        let _ = stalled.wait_for(|stalled| !stalled).await;
        let mut database = self.shared.database();
        let fault = database.faults.pop_front();
        match fault {
            Some(unknown @ WriteError::CommitUnknown { .. }) => database.write(parts, plan).and(Err(unknown)),
            Some(failure) => Err(failure),
            None => database.write(parts, plan),
        }
    }
}

impl Database {
    fn write(&mut self, parts: &[Slice<'_>], plan: &WritePlan) -> Result<Wrote, WriteError> {
        let Some(first) = parts.first() else { return Ok(Wrote::default()) };
        let name = first.shape().table().to_owned();
        let mut table = self.tables.get(&name).cloned().unwrap_or_default();
        let (mut position, mut skipped) = (0, Vec::new());
        for part in parts {
            for row in 0..part.len() {
                if !self.insert(&mut table, part, row, &plan.conflict)? {
                    skipped.push(position);
                }
                position += 1;
            }
        }
        if plan.ending == Ending::Commit {
            self.tables.insert(name, table);
            self.writes.push(position);
        }
        Ok(Wrote::new(skipped, parts.len() as u64))
    }

    /// Whether the row was stored; `false` if it was skipped.
    fn insert(
        &self,
        table: &mut Table,
        part: &Slice<'_>,
        row: usize,
        how: &Conflict,
    ) -> Result<bool, WriteError> {
        let values: Vec<Stored> =
            (0..part.shape().columns().len()).map(|c| part.value(row, c).into()).collect();
        if let Some(cause) = self.poison.as_ref().and_then(|poison| poison(&values)) {
            return Err(WriteError::failed(cause));
        }
        let (positions, mut key) = (part.shape().key_positions(), Vec::new());
        let keyed = !positions.is_empty() && part.key_bytes(row, &positions, &mut key);
        match table.keys.get(&key).filter(|_| keyed) {
            None => {
                if keyed {
                    table.keys.insert(key, table.rows.len());
                }
                table.rows.push(values);
                Ok(true)
            }
            Some(&at) => match how {
                Conflict::Error => Err(WriteError::failed(Cause::new(Class::Unique, "the key exists"))),
                Conflict::Ignore => Ok(false),
                Conflict::Update => {
                    table.rows[at] = values;
                    Ok(true)
                }
                Conflict::UpdateOnly(names) => {
                    for column in names.iter().filter_map(|name| part.shape().position(name)) {
                        table.rows[at][column] = values[column].clone();
                    }
                    Ok(true)
                }
            },
        }
    }
}
