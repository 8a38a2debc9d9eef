//! What is asked: statements, transactions, and the values that go with them.

use std::{fmt, sync::Arc};

use crate::op::Op;

/// A value of a statement.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum SqlValue {
    /// No value.
    Null,
    /// A whole number: `bigint`.
    Int(i64),
    /// A number: `double precision`.
    Real(f64),
    /// `boolean`.
    Bool(bool),
    /// `text`.
    Text(String),
    /// `bytea`.
    Bytes(Vec<u8>),
}

macro_rules! from {
    ($($variant:ident($kind:ty)),*) => {$(
        impl From<$kind> for SqlValue {
            fn from(value: $kind) -> Self {
                Self::$variant(value.into())
            }
        }
    )*};
}
from!(Int(i64), Int(i32), Int(u32), Real(f64), Bool(bool), Text(String), Text(&str), Bytes(Vec<u8>));

impl From<u64> for SqlValue {
    /// What is too large for `bigint` is its largest.
    fn from(value: u64) -> Self {
        Self::Int(i64::try_from(value).unwrap_or(i64::MAX))
    }
}

type Bind = Arc<dyn Fn(&Op) -> SqlValue + Send + Sync>;

/// A statement that is asked again and again with values of its own, prepared once a connection.
#[derive(Clone)]
#[must_use = "a statement does nothing until it is a target's"]
pub struct SqlStatement {
    pub(super) name: String,
    pub(super) weight: u64,
    sql: String,
    binds: Vec<Bind>,
}

impl SqlStatement {
    /// A statement, and what it is called in reports. Values are `$1`, `$2`, … in order.
    pub fn new(name: impl Into<String>, sql: impl Into<String>) -> Self {
        Self { name: name.into(), weight: 1, sql: sql.into(), binds: Vec::new() }
    }

    /// How often it is asked among all. Default 1.
    pub fn weight(mut self, weight: u64) -> Self {
        self.weight = weight;
        self
    }

    /// Adds the next value, made for each operation: of its random numbers, its index, or its row of data.
    pub fn bind(mut self, value: impl Fn(&Op) -> SqlValue + Send + Sync + 'static) -> Self {
        self.binds.push(Arc::new(value));
        self
    }

    pub(super) fn sql(&self) -> &str {
        &self.sql
    }

    pub(super) fn values(&self, op: &Op) -> Vec<SqlValue> {
        self.binds.iter().map(|bind| bind(op)).collect()
    }
}

impl fmt::Debug for SqlStatement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqlStatement").field("name", &self.name).finish_non_exhaustive()
    }
}

/// Statements that are committed together, as one operation. One that fails rolls all of them back.
#[derive(Debug, Clone)]
#[must_use = "a transaction does nothing until it is a target's"]
pub struct SqlTransaction {
    name: String,
    weight: u64,
    statements: Vec<SqlStatement>,
}

impl SqlTransaction {
    /// A transaction, and what it is called in reports.
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), weight: 1, statements: Vec::new() }
    }

    /// How often it is run among all. Default 1.
    pub fn weight(mut self, weight: u64) -> Self {
        self.weight = weight;
        self
    }

    /// Adds a statement, whose own weight does not matter here.
    pub fn statement(mut self, statement: SqlStatement) -> Self {
        self.statements.push(statement);
        self
    }
}

/// One route of the target.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) name: String,
    pub(super) weight: u64,
    pub(super) statements: Vec<SqlStatement>,
    pub(super) is_transaction: bool,
}

impl Asked {
    pub(super) fn alone(statement: SqlStatement) -> Self {
        let (name, weight) = (statement.name.clone(), statement.weight);
        Self { name, weight, statements: vec![statement], is_transaction: false }
    }

    pub(super) fn together(SqlTransaction { name, weight, statements }: SqlTransaction) -> Self {
        Self { name, weight, statements, is_transaction: true }
    }

    /// The two steps of each of its statements.
    pub(super) fn steps(&self) -> impl Iterator<Item = String> + '_ {
        self.statements.iter().flat_map(|statement| {
            let name = match self.is_transaction {
                true => format!("{}: {}", self.name, statement.name),
                false => statement.name.clone(),
            };
            [format!("{name}: query"), format!("{name}: fetch")]
        })
    }
}
