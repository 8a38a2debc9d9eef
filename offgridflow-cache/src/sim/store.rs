use std::sync::Arc;

use crate::{CacheBackend, InProcess};

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

    /// Ends, and starts again with what was last saved. Who looks for news then finds another life, unless `unnoticed`: that is
    /// what [`Mutant::TrustRollback`](super::Mutant::TrustRollback) is about.
    fn restart(&self, unnoticed: bool) {
        let _ = unnoticed;
    }

    /// Its wall clock jumps by so many milliseconds.
    fn jump(&self, millis: i64) {
        let _ = millis;
    }
}

impl Store for InProcess {
    fn connect(&self) -> Arc<dyn CacheBackend> {
        Arc::new(self.clone())
    }

    fn empty(&self) {
        self.lose_memory();
    }

    fn save(&self) {
        self.save_memory();
    }

    fn restart(&self, unnoticed: bool) {
        self.restore_memory(unnoticed);
    }

    fn jump(&self, millis: i64) {
        self.jump_clock(millis);
    }
}
