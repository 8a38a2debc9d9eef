//! One neutral profile, and the formats it is written in.

mod delta;
mod diff;
mod folded;
mod proto;
mod read;
#[cfg(feature = "flamegraph")]
mod svg;

pub use diff::{Change, Counting, Diff};

use std::time::{Duration, SystemTime};

/// What was seen where: stacks, each with a value of every kind.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Profile {
    /// What each stack's values count, in their order.
    pub kinds: Vec<ValueKind>,
    /// The stacks.
    pub stacks: Vec<Stack>,
    /// When it began.
    pub began: SystemTime,
    /// How long it was taken for.
    pub duration: Duration,
    /// One sample stands for this much of `period_kind`.
    pub period: i64,
    /// What the period counts.
    pub period_kind: ValueKind,
    /// Remarks for the reader: what was dropped, at which rate, by which engine.
    pub comments: Vec<String>,
    /// The files that frames with an address are from, the program's own first. May be empty.
    pub mappings: Vec<Mapping>,
}

/// A file's part that was mapped to be run while the profile was taken: with it, others can look up names and lines later.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Mapping {
    /// Where it begins in memory.
    pub start: u64,
    /// Where it ends.
    pub limit: u64,
    /// Where it begins in the file.
    pub offset: u64,
    /// The file's path.
    pub file: String,
    /// Its build id, in hexadecimal; empty where it has none.
    pub build_id: String,
    /// Whether its functions have names here; where not, a reader should look them up.
    pub has_functions: bool,
}

/// What a value counts, as pprof names it: `samples`/`count`, `cpu`/`nanoseconds`.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct ValueKind {
    /// What.
    pub name: String,
    /// In which unit.
    pub unit: String,
}

impl ValueKind {
    /// A kind by its name and unit.
    #[must_use]
    pub fn new(name: &str, unit: &str) -> Self {
        Self { name: name.to_owned(), unit: unit.to_owned() }
    }
}

/// One place in the program, with how it was reached.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Stack {
    /// Frames, the innermost (the leaf) first.
    pub frames: Vec<Frame>,
    /// A value for each of the profile's kinds.
    pub values: Vec<i64>,
    /// Labels such as the thread's name.
    pub labels: Vec<(String, String)>,
}

/// A function on a stack.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Frame {
    /// The function, demangled; an address in hexadecimal where no name is known.
    pub function: String,
    /// Its source file, where known.
    pub file: Option<String>,
    /// The line, where known.
    pub line: Option<u32>,
    /// Where it is in memory, inside one of the profile's mappings: an instruction, or where its function begins.
    pub address: Option<u64>,
    /// Whether it is inlined into the next frame, and shares its address.
    pub inlined: bool,
}

/// What tells two frames apart for a reader: the address only where no line does.
pub(crate) type FramePlace<'a> = (&'a str, Option<&'a str>, Option<u32>, Option<u64>, bool);

impl Frame {
    pub(crate) fn place(&self) -> FramePlace<'_> {
        let address = self.address.filter(|_| self.line.is_none());
        (&self.function, self.file.as_deref(), self.line, address, self.inlined)
    }

    /// A function of which only its name is known.
    #[must_use]
    pub fn named(function: impl Into<String>) -> Self {
        Self { function: function.into(), file: None, line: None, address: None, inlined: false }
    }
}

impl Profile {
    /// Sum of the values of the kind at `index`; the largest number where it is larger.
    #[must_use]
    pub fn total(&self, index: usize) -> i64 {
        let values = self.stacks.iter().filter_map(|stack| stack.values.get(index));
        values.fold(0, |sum, value| sum.saturating_add(*value))
    }

    /// Functions by their own value (of the kind at `index`), the largest first, at most `n`.
    #[must_use]
    pub fn top(&self, index: usize, n: usize) -> Vec<(String, i64)> {
        let mut own = std::collections::HashMap::<&str, i64>::new();
        for stack in &self.stacks {
            let leaf = stack.frames.first().map_or("", |frame| frame.function.as_str());
            let sum = own.entry(leaf).or_default();
            *sum = sum.saturating_add(stack.values.get(index).copied().unwrap_or(0));
        }
        let mut own: Vec<_> = own.into_iter().map(|(function, value)| (function.to_owned(), value)).collect();
        own.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        own.truncate(n);
        own
    }
}
