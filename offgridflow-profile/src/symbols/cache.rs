//! What was found, so that windows a few seconds apart do not walk the same tables again.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, TryLockError};

use super::Exact;
use super::maps::Mapped;

/// Most that is kept: beyond it all of it is forgotten. A service's profiles name a few thousand places of about 200 bytes.
pub(crate) const MOST_BYTES: usize = 4 << 20;

/// A place in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Key {
    pub(super) file: (u64, u64),
    pub(super) offset: u64,
    pub(super) exact: Exact,
}

/// What is known of a place.
#[derive(Debug)]
pub(super) struct Place {
    /// The innermost first; all but the last are inlined. Never empty.
    pub(super) functions: Vec<Function>,
    /// How far it is moved back to where its function begins.
    pub(super) into: u64,
    /// Whether there is a name for it.
    pub(super) named: bool,
}

/// A function as it is shown.
#[derive(Debug)]
pub(super) struct Function {
    pub(super) name: String,
    pub(super) file: Option<String>,
    pub(super) line: Option<u32>,
}

impl Function {
    pub(super) fn named(name: String) -> Self {
        Self { name, file: None, line: None }
    }
}

impl Place {
    /// A place without a name: the file and where in it, which stays the same from one start to the next.
    pub(super) fn unnamed(map: &Mapped, offset: u64) -> Self {
        let file = map.path.rsplit('/').next().unwrap_or("");
        let functions = vec![Function::named(format!("{file}+{offset:#x}"))];
        Self { functions, into: 0, named: false }
    }

    fn bytes(&self) -> usize {
        let function = |function: &Function| {
            size_of::<Function>()
                + function.name.capacity()
                + function.file.as_ref().map_or(0, String::capacity)
        };
        size_of::<(Key, Arc<Self>, Self)>() + self.functions.iter().map(function).sum::<usize>()
    }
}

/// Files whose build ids are kept.
const MOST_FILES: usize = 256;

#[derive(Default)]
struct Kept {
    places: Option<HashMap<Key, Arc<Place>>>,
    build_ids: Option<HashMap<(u64, u64), String>>,
    bytes: usize,
}

static KEPT: Mutex<Kept> = Mutex::new(Kept { places: None, build_ids: None, bytes: 0 });

/// Does without what is kept where it cannot be had at once: a forked child may have lost who holds it.
fn kept<R>(work: impl FnOnce(&mut Kept) -> R) -> Option<R> {
    match KEPT.try_lock() {
        Ok(mut kept) => Some(work(&mut kept)),
        Err(TryLockError::Poisoned(kept)) => Some(work(&mut kept.into_inner())),
        Err(TryLockError::WouldBlock) => None,
    }
}

pub(super) fn get(key: &Key) -> Option<Arc<Place>> {
    kept(|kept| kept.places.as_ref()?.get(key).cloned()).flatten()
}

pub(super) fn put(key: Key, place: &Arc<Place>) {
    let bytes = place.bytes();
    kept(|kept| {
        if kept.bytes + bytes > MOST_BYTES {
            *kept = Kept::default();
        }
        let places = kept.places.get_or_insert_default();
        if places.insert(key, Arc::clone(place)).is_none() {
            kept.bytes += bytes;
        }
    });
}

pub(super) fn build_id(file: (u64, u64)) -> Option<String> {
    kept(|kept| kept.build_ids.as_ref()?.get(&file).cloned()).flatten()
}

pub(super) fn put_build_id(file: (u64, u64), build_id: &str) {
    kept(|kept| {
        let ids = kept.build_ids.get_or_insert_default();
        if ids.len() < MOST_FILES {
            ids.insert(file, build_id.to_owned());
        }
    });
}

#[cfg(test)]
pub(super) fn bytes() -> usize {
    KEPT.lock().unwrap_or_else(std::sync::PoisonError::into_inner).bytes
}
