//! Faults that only a simulation plays.

use std::collections::HashMap;
use std::time::Duration;

use super::{InProcess, next_epoch};
use crate::Position;
use crate::sim::Notice;

/// What is asked of the store, by a script of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Asks {
    Look,
    Fill,
    Remove,
    News,
}

impl InProcess {
    pub(crate) fn lose_memory(&self) {
        let mut memory = self.memory();
        (memory.epoch, memory.spaces) = (next_epoch(), HashMap::new());
    }

    pub(crate) fn save_memory(&self) {
        let mut memory = self.memory();
        memory.saved = memory.spaces.clone();
    }

    /// What was saved is there again, values and epochs included, until [`notice`](Self::notice) says so.
    pub(crate) fn restore_memory(&self, notice: Notice) {
        let mut memory = self.memory();
        memory.spaces = memory.saved.clone();
        (memory.epoch, memory.run, memory.notice) = (next_epoch(), next_epoch(), notice);
        memory.scripts.clear(); // as Redis 7 does: who sends one again asks for the run
    }

    /// Gives the namespace another epoch, in which nothing is stored, if it was rolled back and who asks can know: by what it has `seen`,
    /// or by the run where it checks that, or does not know the epoch.
    pub(crate) fn notice(&self, namespace: &str, seen: Option<&Position>, asks: Asks) {
        let mut memory = self.memory();
        let first = memory.scripts.insert(asks);
        let (run, notice) = (memory.run, memory.notice);
        let Some(space) = memory.spaces.get_mut(namespace) else { return };
        let now = space.position();
        let known = seen.filter(|seen| seen.epoch == now.epoch);
        let behind = known.is_some_and(|seen| seen.sequence > now.sequence);
        let (checks, another) = (matches!(asks, Asks::News | Asks::Remove), run != space.run);
        let rolled_back = match notice {
            Notice::ByAll => behind || (checks || first || known.is_none()) && another,
            Notice::ByNews => checks && another,
            Notice::Never => false,
        };
        if rolled_back {
            (space.epoch, space.run) = (next_epoch(), run);
            space.slots.clear();
        }
    }

    pub(crate) fn position(&self, namespace: &str) -> Position {
        self.with(namespace, |space, _| space.position())
    }

    pub(crate) fn jump_clock(&self, millis: i64) {
        let mut memory = self.memory();
        let by = Duration::from_millis(millis.unsigned_abs());
        memory.skew =
            if millis < 0 { memory.skew.saturating_sub(by) } else { memory.skew.saturating_add(by) };
    }
}
