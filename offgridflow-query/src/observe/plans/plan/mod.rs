//! How a database means to answer a statement, one tree for every database.

mod diff;
#[cfg(feature = "postgres")]
pub(crate) mod postgres;
#[cfg(feature = "sqlite")]
pub(crate) mod sqlite;

pub use diff::PlanDiff;

use crate::observe::entry::shortened;
use crate::observe::fingerprint::Fnv;
use std::fmt;

/// Steps below the first that are kept of a plan, and bytes of each condition.
const KEPT_STEPS: usize = 255;
const KEPT_BYTES: usize = 512;

/// How a database means to answer a statement.
///
/// Displayed as an indented tree, with what was measured of each step. Conditions are kept without their values.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Plan {
    /// The step that answers.
    pub root: PlanNode,
    /// What makes two plans the same: steps, tables, indices and joins; not costs, conditions or values.
    pub shape: PlanShape,
}

/// One step of a plan, and those that it takes its rows from.
#[derive(Debug, Clone, PartialEq, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct PlanNode {
    /// What is done, in the database's words: `Seq Scan`, `Hash Join (Left)`; `SCAN`, `SEARCH`.
    pub operation: String,
    /// The schema of the table (PostgreSQL).
    pub schema: Option<String>,
    /// The table, or what SQLite calls it in this statement (its alias).
    pub relation: Option<String>,
    /// The index.
    pub index: Option<String>,
    /// Conditions, keys and orders by their name (`Filter`, `Index Cond`, `Sort Key`), with `?` for values.
    pub conditions: Vec<(String, String)>,
    /// Rows that the planner expects from this step, a loop (PostgreSQL).
    pub rows: Option<f64>,
    /// Cost until the last row, in the planner's own unit (PostgreSQL).
    pub cost: Option<f64>,
    /// What it took, where the plan was run ([`ExplainFor::ItsRun`](crate::ExplainFor::ItsRun)) and came to this step.
    pub measured: Option<Measured>,
    /// Where the rows come from.
    pub children: Vec<PlanNode>,
}

/// What one step took in one run, those below it included (PostgreSQL's `EXPLAIN (ANALYZE, BUFFERS)`).
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Measured {
    /// Milliseconds until the last row, of all loops.
    pub ms: f64,
    /// Rows of all loops. Compare with [`PlanNode::rows`] times `loops`: far apart, the planner knows its table badly.
    pub rows: f64,
    /// How often the step was begun.
    pub loops: f64,
    /// Pages that were in PostgreSQL's own memory.
    pub pages_hit: u64,
    /// Pages that it asked the system for.
    pub pages_read: u64,
}

impl fmt::Display for Measured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { ms, rows, loops, pages_hit, pages_read } = self;
        write!(
            f,
            "[{ms:.3} ms, {rows:.0} rows, {loops:.0} loops, {pages_hit} pages in memory, {pages_read} read]"
        )
    }
}

/// The 64-bit identity of what a plan does. Stable between runs; a new version of a database may name its steps anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PlanShape(u64);

impl fmt::Display for PlanShape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

#[cfg(feature = "serde")]
impl serde::Serialize for PlanShape {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl Plan {
    pub(crate) fn new(root: PlanNode) -> Self {
        let mut hash = Fnv::default();
        root.hash(&mut hash);
        Self { root, shape: PlanShape(hash.value()) }
    }

    /// The plan in bounded memory: of many steps the first, of a long condition its beginning. The shape is that of the whole.
    pub(crate) fn kept(mut self) -> Self {
        let mut left = KEPT_STEPS;
        self.root.keep(&mut left);
        self
    }

    /// Every step, the answering one first.
    pub fn nodes(&self) -> impl Iterator<Item = &PlanNode> {
        let mut open = vec![&self.root];
        std::iter::from_fn(move || {
            let node = open.pop()?;
            open.extend(node.children.iter().rev());
            Some(node)
        })
    }

    /// Whether a step uses the index called so.
    #[must_use]
    pub fn uses(&self, index: &str) -> bool {
        self.nodes().any(|node| node.index.as_deref() == Some(index))
    }

    /// What changed from `self` to `later`.
    #[must_use]
    pub fn diff(&self, later: &Self) -> PlanDiff {
        PlanDiff::new(self, later)
    }

    /// One line a step, indented, without what was measured.
    pub(crate) fn lines(&self) -> Vec<String> {
        self.written(ToString::to_string)
    }

    fn written(&self, line: impl Fn(&PlanNode) -> String) -> Vec<String> {
        let mut lines = Vec::new();
        self.root.write(0, &line, &mut lines);
        lines
    }
}

impl PlanNode {
    fn hash(&self, hash: &mut Fnv) {
        for part in [Some(&self.operation), self.relation.as_ref(), self.index.as_ref()] {
            hash.text(part.map_or("", String::as_str));
        }
        for child in &self.children {
            child.hash(hash);
        }
        hash.text(")");
    }

    fn keep(&mut self, left: &mut usize) {
        for (_, text) in &mut self.conditions {
            *text = shortened(std::mem::take(text), KEPT_BYTES);
        }
        self.children.retain_mut(|child| {
            let fits = *left > 0;
            if fits {
                *left -= 1;
                child.keep(left);
            }
            fits
        });
        self.children.shrink_to_fit();
    }

    fn write(&self, depth: usize, line: &impl Fn(&Self) -> String, lines: &mut Vec<String>) {
        lines.push(format!("{}{}", "  ".repeat(depth), line(self)));
        for child in &self.children {
            child.write(depth + 1, line, lines);
        }
    }

    /// The condition called so.
    #[cfg(feature = "postgres")]
    pub(crate) fn condition(&self, name: &str) -> Option<&str> {
        self.conditions.iter().find(|(called, _)| called == name).map(|(_, text)| text.as_str())
    }
}

impl fmt::Display for PlanNode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.operation)?;
        if let Some(relation) = &self.relation {
            write!(f, " on {relation}")?;
        }
        if let Some(index) = &self.index {
            write!(f, " using {index}")?;
        }
        for (name, text) in &self.conditions {
            write!(f, "; {name}: {text}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let line = |node: &PlanNode| match node.measured {
            Some(measured) => format!("{node} {measured}"),
            None => node.to_string(),
        };
        f.write_str(&self.written(line).join("\n"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(operation: String, children: Vec<PlanNode>) -> PlanNode {
        PlanNode {
            conditions: vec![("Filter".into(), "é".repeat(500))],
            operation,
            children,
            ..PlanNode::default()
        }
    }

    fn parts(kind: &str, count: usize) -> Plan {
        Plan::new(step(
            "Append".into(),
            (0..count).map(|n| step(format!("{kind} of part {n}"), Vec::new())).collect(),
        ))
    }

    #[test]
    fn of_a_plan_with_many_steps_the_first_are_kept_and_the_shape_of_all() {
        let (few, many) = (parts("Seq Scan", 300), parts("Seq Scan", 20_000));
        let shapes = (few.shape, many.shape);
        let kept = many.kept();
        assert_eq!((few.kept().shape, kept.shape), shapes);
        assert_eq!(kept.nodes().count(), 256);
        assert!(kept.nodes().all(|node| node.conditions[0].1.len() <= 512), "{kept}");
    }

    #[test]
    fn two_large_plans_are_compared_in_bounded_time() {
        let (before, after) = (parts("Index Scan", 20_000), parts("Seq Scan", 20_000));
        let began = std::time::Instant::now();
        let shown = before.diff(&after).to_string();
        assert!(began.elapsed() < std::time::Duration::from_secs(2), "{:?}", began.elapsed());
        assert!(
            shown.starts_with("  Append")
                && shown.contains("-   Index Scan of part 19999")
                && shown.contains("+   Seq Scan of part 0")
        );
    }
}
