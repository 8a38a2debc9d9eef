//! Writers of one file take turns, first come first served.
//!
//! SQLite lets waiting writers poll, the longest-waiting no sooner than others, and gives up after a time-out. Within a
//! process a queue is fair and costs nothing while nobody else writes.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The queue of one file, shared by all connections of this process.
#[derive(Debug, Clone)]
pub(crate) struct Turns(Arc<Semaphore>);

impl PartialEq for Turns {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Turns {}

impl Turns {
    /// The queue of the file at `path`.
    #[cfg_attr(not(feature = "sqlite"), expect(dead_code, reason = "only files have turns"))]
    pub(crate) fn of(path: &str) -> Self {
        static FILES: Mutex<Option<HashMap<String, Weak<Semaphore>>>> = Mutex::new(None);
        let mut files = FILES.lock().unwrap_or_else(PoisonError::into_inner);
        let files = files.get_or_insert_default();
        files.retain(|_, turns| turns.strong_count() > 0); // so it stays as small as the files in use are few
        if let Some(turns) = files.get(path).and_then(Weak::upgrade) {
            return Self(turns);
        }
        let turns = Arc::new(Semaphore::new(1));
        files.insert(path.to_owned(), Arc::downgrade(&turns));
        Self(turns)
    }

    /// Waits for the turn, which lasts until the guard is dropped.
    #[cfg_attr(not(feature = "sqlite"), expect(dead_code, reason = "only files have turns"))]
    pub(crate) async fn take(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.0).acquire_owned().await.ok() // never closed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn one_turn_a_file_for_the_whole_process() {
        let (one, same, other) = (Turns::of("a.db"), Turns::of("a.db"), Turns::of("b.db"));
        assert!(one == same && one != other);
        let turn = one.take().await;
        assert!(same.0.try_acquire().is_err() && other.0.try_acquire().is_ok());
        drop(turn);
        assert!(same.0.try_acquire().is_ok());
    }
}
