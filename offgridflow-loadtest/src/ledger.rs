//! The one place where failures are counted.

use crate::{
    outcome::{FailKind, TargetError},
    route::RouteId,
};

/// How many lines the ledger tells apart; further ones are counted in its last line.
pub(crate) const MAX_LINES: usize = 256;

/// One line: a kind of failure on a route.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Line {
    pub(crate) kind: FailKind,
    pub(crate) route: RouteId,
    pub(crate) count: u64,
    pub(crate) message: String, // of the first one
}

/// Failures by kind and route.
#[derive(Debug, Clone, Default)]
pub(crate) struct Ledger {
    lines: Vec<Line>, // at most MAX_LINES
}

impl Ledger {
    pub(crate) fn count(&mut self, error: &TargetError, route: RouteId, n: u64) {
        self.add(&error.kind, route, n, &error.message);
    }

    pub(crate) fn merge(&mut self, other: &Self) {
        for line in &other.lines {
            self.add(&line.kind, line.route, line.count, &line.message);
        }
    }

    pub(crate) fn lines(&self) -> &[Line] {
        &self.lines
    }

    /// The commonest causes over all routes, at most so many.
    pub(crate) fn commonest(&self, most: usize) -> Vec<(String, u64)> {
        let mut causes: Vec<(String, u64)> = Vec::new();
        for line in &self.lines {
            let cause = line.kind.to_string();
            match causes.iter_mut().find(|(known, _)| *known == cause) {
                Some((_, count)) => *count += line.count,
                None => causes.push((cause, line.count)),
            }
        }
        causes.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        causes.truncate(most);
        causes
    }

    fn add(&mut self, kind: &FailKind, route: RouteId, count: u64, message: &str) {
        if let Some(line) = self.lines.iter_mut().find(|line| line.kind == *kind && line.route == route) {
            line.count += count;
        } else if self.lines.len() < MAX_LINES {
            let message = message.chars().take(200).collect();
            self.lines.push(Line { kind: kind.clone(), route, count, message });
        } else if let Some(last) = self.lines.last_mut() {
            *last = Line {
                kind: FailKind::App,
                route: RouteId::UNNAMED,
                count: last.count + count,
                message: "further kinds of failure".into(),
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ledger_is_bounded_and_loses_no_count() {
        let mut ledger = Ledger::default();
        for n in 0..10_000 {
            let error = TargetError::answered(FailKind::Check(format!("check {n}").into()), "no");
            ledger.count(&error, RouteId::UNNAMED, 1);
        }
        assert_eq!(ledger.lines().len(), MAX_LINES);
        assert_eq!(ledger.lines().iter().map(|line| line.count).sum::<u64>(), 10_000);
    }
}
