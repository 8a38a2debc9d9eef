//! Invalidations that the shared tier could not be told of, until it can.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;

use crate::Key;

/// Keys, and tags, kept one by one; beyond it the whole namespace is removed instead.
pub(crate) const LIMIT: usize = 10_000;

/// What waits. Each item has the number it was last asked for under: what is asked for again while it is being delivered
/// stays.
#[derive(Debug)]
pub(crate) struct Recovery<K> {
    keys: HashMap<Key, (K, u64)>,
    tags: HashMap<Arc<str>, u64>,
    all: Option<u64>,
    next: u64,
}

/// What became of a key that was to be kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kept {
    /// It waits now.
    New,
    /// It waited already.
    Again,
    /// There is no room: everything waits in its place.
    AsAll,
}

/// What waited at one moment; delivered in this order, and what was asked for first comes first.
#[derive(Debug)]
pub(crate) struct Backlog<K> {
    pub(crate) all: Option<u64>,
    pub(crate) tags: Vec<(Arc<str>, u64)>,
    pub(crate) keys: Vec<(Key, K, u64)>,
    upto: u64,
}

impl<K> Default for Recovery<K> {
    fn default() -> Self {
        Self { keys: HashMap::new(), tags: HashMap::new(), all: None, next: 0 }
    }
}

impl<K: Hash + Eq + Clone> Recovery<K> {
    pub(crate) fn keep_key(&mut self, name: Key, key: K) -> Kept {
        let number = self.number();
        if self.keys.len() >= LIMIT && !self.keys.contains_key(&name) {
            self.all = Some(number);
            return Kept::AsAll;
        }
        if self.keys.insert(name, (key, number)).is_some() { Kept::Again } else { Kept::New }
    }

    pub(crate) fn keep_tag(&mut self, tag: Arc<str>) {
        let number = self.number();
        if self.tags.len() >= LIMIT && !self.tags.contains_key(&tag) {
            self.all = Some(number);
        } else {
            self.tags.insert(tag, number);
        }
    }

    pub(crate) fn keep_all(&mut self) {
        self.all = Some(self.number());
    }

    fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    pub(crate) fn backlog(&self) -> Backlog<K> {
        let key = |(name, (key, number)): (&Key, &(K, u64))| (name.clone(), key.clone(), *number);
        let mut tags: Vec<_> = self.tags.iter().map(|(tag, number)| (Arc::clone(tag), *number)).collect();
        tags.sort_unstable_by_key(|(_, number)| *number);
        let mut keys: Vec<_> = self.keys.iter().map(key).collect();
        keys.sort_unstable_by_key(|(.., number)| *number);
        Backlog { all: self.all, tags, keys, upto: self.next }
    }

    /// The whole namespace was removed, and with it all of the backlog; the keys that wait no longer.
    pub(crate) fn delivered_all(&mut self, backlog: &Backlog<K>) -> Vec<K> {
        let old = |number: u64| number <= backlog.upto;
        self.all = self.all.filter(|number| !old(*number));
        self.tags.retain(|_, number| !old(*number));
        self.keys.extract_if(|_, (_, number)| old(*number)).map(|(_, (key, _))| key).collect()
    }

    pub(crate) fn delivered_tags(&mut self, tags: &[(Arc<str>, u64)]) {
        for (tag, number) in tags {
            if self.tags.get(tag) == Some(number) {
                self.tags.remove(tag);
            }
        }
    }

    /// Whether the key waits no longer.
    pub(crate) fn delivered_key(&mut self, name: &Key, number: u64) -> bool {
        let last = self.keys.get(name).is_some_and(|(_, kept)| *kept == number);
        if last {
            self.keys.remove(name);
        }
        last
    }

    /// Whether any key may be concerned, so that the shared tier cannot be read at all.
    pub(crate) fn blinds(&self) -> bool {
        self.all.is_some() || !self.tags.is_empty()
    }

    pub(crate) fn waiting(&self) -> usize {
        self.keys.len() + self.tags.len() + usize::from(self.all.is_some())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(n: usize) -> Key {
        Key::new(&"test".into(), 1, &(n as u64))
    }

    #[test]
    fn a_full_set_becomes_the_whole_namespace_and_does_not_grow() {
        let mut recovery = Recovery::default();
        (0..LIMIT).for_each(|n| assert_eq!(recovery.keep_key(name(n), n), Kept::New));
        assert_eq!(recovery.keep_key(name(7), 7), Kept::Again, "what waits already still fits");
        assert!(!recovery.blinds());
        assert_eq!(recovery.keep_key(name(LIMIT), LIMIT), Kept::AsAll);
        assert!(recovery.blinds());
        (0..=LIMIT).for_each(|n| recovery.keep_tag(n.to_string().into()));
        assert_eq!(recovery.waiting(), 2 * LIMIT + 1);
        let backlog = recovery.backlog();
        assert_eq!(recovery.delivered_all(&backlog).len(), LIMIT);
        assert_eq!(recovery.waiting(), 0);
    }

    #[test]
    fn what_is_asked_for_again_during_its_delivery_stays() {
        let mut recovery = Recovery::default();
        recovery.keep_key(name(1), 1);
        recovery.keep_tag("t".into());
        recovery.keep_all();
        let backlog = recovery.backlog();
        recovery.keep_key(name(1), 1);
        recovery.keep_tag("t".into());
        recovery.keep_all();
        assert!(!recovery.delivered_key(&backlog.keys[0].0, backlog.keys[0].2));
        recovery.delivered_tags(&backlog.tags);
        assert_eq!(recovery.delivered_all(&backlog), Vec::<usize>::new());
        assert_eq!(recovery.waiting(), 3);
        let backlog = recovery.backlog();
        assert!(recovery.delivered_key(&backlog.keys[0].0, backlog.keys[0].2));
        assert_eq!(recovery.delivered_all(&backlog), Vec::<usize>::new());
        assert_eq!(recovery.waiting(), 0);
    }
}
