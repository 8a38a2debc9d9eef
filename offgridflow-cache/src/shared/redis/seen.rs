use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::Position;

/// How far each namespace's sequence was seen to have come, by whatever answer. An answer to a question that was asked later is not from
/// before: a server that is behind has an older memory than it had.
#[derive(Debug, Default)]
pub(super) struct Seen(Mutex<HashMap<Box<str>, Position>>);

/// The server is behind what was seen of it when it was asked.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Behind;

impl Seen {
    pub(super) fn of(&self, namespace: &str) -> Option<Position> {
        self.lock().get(namespace).cloned()
    }

    /// Takes in what is `told` in answer to a question asked when `asked` was known. What was seen since does not count against it:
    /// it may have been answered before.
    pub(super) fn told(
        &self,
        namespace: &str,
        asked: Option<&Position>,
        told: &Position,
    ) -> Result<(), Behind> {
        if asked.is_some_and(|asked| asked.epoch == told.epoch && told.sequence < asked.sequence) {
            return Err(Behind);
        }
        let mut seen = self.lock();
        match seen.get_mut(namespace) {
            Some(known) if known.epoch == told.epoch => known.sequence = known.sequence.max(told.sequence),
            // Another epoch than when this was asked: which of the two is the later one is not known here, and asked for next time.
            Some(known) if asked.is_none_or(|asked| asked.epoch != known.epoch) => {}
            Some(known) => known.clone_from(told),
            None => drop(seen.insert(namespace.into(), told.clone())),
        }
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Box<str>, Position>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The farther of two positions; of two lives, the first.
pub(super) fn farther(one: Option<Position>, other: Option<&Position>) -> Option<Position> {
    match (one, other) {
        (Some(one), Some(other)) if one.epoch == other.epoch && one.sequence < other.sequence => {
            Some(other.clone())
        }
        (None, other) => other.cloned(),
        (one, _) => one,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(epoch: &'static str, sequence: u64) -> Position {
        Position { epoch: epoch.into(), sequence }
    }

    #[test]
    fn what_was_seen_before_a_question_counts_against_its_answer_and_what_was_seen_since_does_not() {
        let seen = Seen::default();
        assert_eq!(seen.told("n", None, &at("a", 5)), Ok(()));
        let early = seen.of("n");
        assert_eq!(seen.told("n", early.as_ref(), &at("a", 7)), Ok(()));
        assert_eq!(seen.told("n", early.as_ref(), &at("a", 5)), Ok(()), "answered before the other");
        assert_eq!(seen.of("n"), Some(at("a", 7)), "and nothing is forgotten");
        assert_eq!(seen.told("n", seen.of("n").as_ref(), &at("a", 6)), Err(Behind));
        assert_eq!(seen.told("m", None, &at("a", 1)), Ok(()), "another namespace");
    }

    #[test]
    fn a_late_answer_of_an_earlier_life_does_not_bring_it_back() {
        let seen = Seen::default();
        seen.told("n", None, &at("a", 5)).unwrap();
        let early = seen.of("n");
        assert_eq!(seen.told("n", early.as_ref(), &at("b", 2)), Ok(()), "another life");
        assert_eq!(seen.told("n", early.as_ref(), &at("a", 6)), Ok(()), "from before");
        assert_eq!(seen.of("n"), Some(at("b", 2)));
    }

    #[test]
    fn of_two_positions_in_one_life_the_later_counts() {
        assert_eq!(farther(Some(at("a", 1)), Some(&at("a", 2))), Some(at("a", 2)));
        assert_eq!(farther(Some(at("a", 1)), Some(&at("b", 2))), Some(at("a", 1)));
        assert_eq!(farther(None, Some(&at("b", 2))), Some(at("b", 2)));
    }
}
