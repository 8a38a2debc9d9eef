use std::sync::Arc;

use super::connected::Connected;
use crate::{CacheBackend, InProcess};

/// Who notices that a store came back with an older memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Notice {
    /// Who looks for news or removes something; who asks for values having seen a removal that the store knows nothing of, or not having
    /// seen the epoch; and the first who asks, or fills, since it started again (`NOSCRIPT`): it is in another life from then on. That is
    /// the protocol.
    ByAll,
    /// Who looks for news or removes something: [`Mutant::BelieveLooks`](super::Mutant::BelieveLooks).
    ByNews,
    /// Nobody: [`Mutant::TrustRollback`](super::Mutant::TrustRollback).
    Never,
}

/// A store that the nodes of a simulation share.
///
/// Only [`connect`](Self::connect) is required. The other methods are faults that a store has to play itself; by default they
/// change nothing, and a simulation of such a store leaves them out.
pub trait Store: Send + Sync + 'static {
    /// What one more node talks to.
    fn connect(&self) -> Arc<dyn CacheBackend>;

    /// Loses its memory: `FLUSHALL`, or a restart without a file.
    fn empty(&self) {}

    /// Writes its memory to a file.
    fn save(&self) {}

    /// Ends, and starts again with what was last saved, values and all, until somebody notices.
    fn restart(&self, notice: Notice) {
        let _ = notice;
    }

    /// Its wall clock jumps by so many milliseconds.
    fn jump(&self, millis: i64) {
        let _ = millis;
    }
}

impl Store for InProcess {
    fn connect(&self) -> Arc<dyn CacheBackend> {
        Arc::new(Connected::to(self))
    }

    fn empty(&self) {
        self.lose_memory();
    }

    fn save(&self) {
        self.save_memory();
    }

    fn restart(&self, notice: Notice) {
        self.restore_memory(notice);
    }

    fn jump(&self, millis: i64) {
        self.jump_clock(millis);
    }
}
