use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::{Held, MemoryTier};

/// A near tier that evicts nothing, so that a run depends on its seed alone.
#[derive(Debug)]
pub(super) struct Map<V>(Mutex<HashMap<u64, Arc<Held<V>>>>);

impl<V> Default for Map<V> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<V> Map<V> {
    fn lock(&self) -> MutexGuard<'_, HashMap<u64, Arc<Held<V>>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<V: Send + Sync + 'static> MemoryTier<u64, V> for Map<V> {
    fn get(&self, key: &u64, look: &mut dyn FnMut(&Held<V>)) {
        if let Some(held) = self.lock().get(key) {
            look(held);
        }
    }

    fn insert(&self, key: u64, held: Arc<Held<V>>) {
        self.lock().insert(key, held);
    }

    fn remove(&self, key: &u64) {
        self.lock().remove(key);
    }

    fn len(&self) -> u64 {
        self.lock().len() as u64
    }
}
