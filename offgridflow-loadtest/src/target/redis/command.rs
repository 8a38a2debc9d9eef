//! What is asked of Redis.

use std::{fmt, ops::RangeInclusive, sync::Arc};

use fred::types::{ClusterHash, CustomCommand, Value};

use crate::op::Op;

type Argument = Arc<dyn Fn(&Op) -> Value + Send + Sync>;

/// A command on one key, and how often it is asked.
#[derive(Clone)]
#[must_use = "a command does nothing until it is a target's"]
pub struct RedisCommand {
    pub(super) label: String,
    pub(super) weight: u64,
    pub(super) is_read: bool,
    command: CustomCommand,
    arguments: Vec<Argument>,
}

impl RedisCommand {
    /// `GET key`, whose hits and misses are counted.
    pub fn get() -> Self {
        Self { is_read: true, ..Self::named("GET") }
    }

    /// `SET key value`, a value of so many bytes, drawn evenly.
    pub fn set(bytes: RangeInclusive<usize>) -> Self {
        let (least, most) = (*bytes.start(), (*bytes.end()).max(*bytes.start()));
        let value = move |op: &Op| {
            let span = u64::try_from(most - least + 1).unwrap_or(u64::MAX);
            "x".repeat(least + usize::try_from(op.rng().below(span)).unwrap_or(0))
        };
        Self::named("SET").argument(value)
    }

    /// Any command whose first argument is the key, such as `INCR`; reads that answer nil count as misses only with [`counting_hits`](Self::counting_hits).
    pub fn named(command: impl Into<String>) -> Self {
        let label = command.into();
        let command = CustomCommand::new(label.clone(), ClusterHash::FirstKey, false);
        Self { label, weight: 1, is_read: false, command, arguments: Vec::new() }
    }

    /// How often it is asked among all. Default 1.
    pub fn weight(mut self, weight: u64) -> Self {
        self.weight = weight;
        self
    }

    /// Adds an argument after the key, made for each operation.
    pub fn argument(mut self, value: impl Fn(&Op) -> String + Send + Sync + 'static) -> Self {
        self.arguments.push(Arc::new(move |op| Value::from(value(op))));
        self
    }

    /// What it is called in reports, in place of its name.
    pub fn label(mut self, label: impl Into<String>) -> Self {
        self.label = label.into();
        self
    }

    /// Counts answers as hits, and nil as a miss.
    pub fn counting_hits(mut self) -> Self {
        self.is_read = true;
        self
    }

    pub(super) fn name(&self) -> CustomCommand {
        self.command.clone()
    }

    pub(super) fn arguments(&self, key: Value, op: &Op) -> Vec<Value> {
        std::iter::once(key).chain(self.arguments.iter().map(|argument| argument(op))).collect()
    }
}

/// A command that names no key of a cluster.
pub(super) fn named(command: &'static str) -> CustomCommand {
    CustomCommand::new_static(command, ClusterHash::FirstKey, false)
}

impl fmt::Debug for RedisCommand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisCommand")
            .field("label", &self.label)
            .field("weight", &self.weight)
            .finish_non_exhaustive()
    }
}
