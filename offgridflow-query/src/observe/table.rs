//! The statements that are known, in bounded memory.

use crate::observe::entry::Entry;
use crate::observe::fingerprint::Fingerprint;
use crate::observe::stats::Reading;
use std::collections::{HashMap, HashSet};
use std::fmt;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

/// Texts longer than this are fingerprinted each time.
const REMEMBERED_BYTES: usize = 1_024;
/// Summaries that are told apart in metrics: each is a dozen series. Statements with further ones are "other" there.
const SUMMARIES: usize = 100;
/// So many times as many texts as there is room for are turned away before all make room.
const FORGET: usize = 4;
/// One in so many statements gives its place up when there is none left.
const SWEEP: usize = 16;

/// Keys are hashes, addresses or texts of a program's own: one multiplication eight bytes spreads them.
#[derive(Default)]
pub(super) struct Spread(u64);

impl Hasher for Spread {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        let (words, rest) = bytes.as_chunks::<8>();
        words.iter().for_each(|word| self.write_u64(u64::from_le_bytes(*word)));
        rest.iter().for_each(|&byte| self.write_u64(byte.into()));
    }

    fn write_u64(&mut self, value: u64) {
        self.0 = (self.0.rotate_left(5) ^ value).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }

    fn write_usize(&mut self, value: usize) {
        self.write_u64(value as u64);
    }
}

type Map<K> = HashMap<K, Arc<Entry>, BuildHasherDefault<Spread>>;

/// Entries by fingerprint, and two short cuts to them: by the address of texts that live for ever, and by text.
pub(super) struct Table {
    capacity: usize,
    entries: RwLock<Map<u64>>,
    addresses: RwLock<Map<(usize, usize)>>,
    texts: RwLock<Map<Box<str>>>,
    other: RwLock<Arc<Entry>>,
    leaving: Mutex<Vec<Arc<Entry>>>, // gave their place up, and somebody may still count in them
    unknown: AtomicUsize,            // texts that came when there was no room for one more
    summaries: RwLock<HashSet<Box<str>>>,
    evicted: AtomicU64,
}

/// Without the texts, which may hold values.
impl fmt::Debug for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let statements = read(&self.entries).len();
        f.debug_struct("Table")
            .field("statements", &statements)
            .field("capacity", &self.capacity)
            .finish_non_exhaustive()
    }
}

impl Table {
    pub(super) fn new(capacity: usize) -> Self {
        Self {
            capacity: capacity.max(1),
            entries: RwLock::default(),
            addresses: RwLock::default(),
            texts: RwLock::default(),
            other: RwLock::new(Arc::new(Entry::other())),
            leaving: Mutex::default(),
            unknown: AtomicUsize::new(0),
            summaries: RwLock::default(),
            evicted: AtomicU64::new(0),
        }
    }

    pub(super) fn capacity(&self) -> usize {
        self.capacity
    }

    pub(super) fn evicted(&self) -> u64 {
        self.evicted.load(Relaxed)
    }

    /// Every statement, and what those did that gave their place up: each execution in one of them.
    pub(super) fn all(&self) -> (Vec<Arc<Entry>>, Reading) {
        let entries = read(&self.entries); // nobody leaves meanwhile
        let other = self.other();
        let mut leaving = lock(&self.leaving);
        settle(&mut leaving, &other);
        let sum = Entry::other();
        sum.absorb(&other);
        leaving.iter().for_each(|entry| sum.absorb(entry));
        (entries.values().cloned().collect(), Reading { born: other.born(), ..sum.read() })
    }

    #[cfg(all(feature = "plans", any(feature = "sqlite", feature = "postgres")))]
    pub(super) fn get(&self, statement: Fingerprint) -> Option<Arc<Entry>> {
        read(&self.entries).get(&statement.as_u64()).cloned()
    }

    /// Where the figures of statements go that gave their place up.
    pub(super) fn other(&self) -> Arc<Entry> {
        Arc::clone(&read(&self.other))
    }

    /// The entry of a text that lives as long as the program: its address tells it.
    pub(super) fn of_static(&self, sql: &'static str) -> Arc<Entry> {
        let key = (sql.as_ptr().addr(), sql.len());
        let known = read(&self.addresses).get(&key).filter(|entry| !entry.is_evicted()).cloned();
        known.unwrap_or_else(|| {
            let entry = self.of_unknown(sql);
            let mut addresses = write(&self.addresses);
            if addresses.len() < self.capacity.saturating_mul(2) && !entry.is_evicted() {
                addresses.insert(key, Arc::clone(&entry));
            }
            entry
        })
    }

    /// The entry of a text whose address may be another's next time.
    pub(super) fn of_text(&self, sql: &str) -> Arc<Entry> {
        if sql.len() > REMEMBERED_BYTES {
            return self.of_unknown(sql);
        }
        let known = read(&self.texts).get(sql).filter(|entry| !entry.is_evicted()).cloned();
        known.unwrap_or_else(|| {
            let entry = self.of_unknown(sql);
            if !entry.is_evicted() {
                self.remember(sql, &entry);
            }
            entry
        })
    }

    /// Texts that never come again (values in them, a trace in a comment) leave no room for those that do: after some more of them all are forgotten,
    /// and whoever comes again is known again.
    fn remember(&self, sql: &str, entry: &Arc<Entry>) {
        if read(&self.texts).len() < self.capacity {
            write(&self.texts).insert(sql.into(), Arc::clone(entry));
        } else if self.unknown.fetch_add(1, Relaxed) >= self.capacity.saturating_mul(FORGET) {
            self.unknown.store(0, Relaxed);
            write(&self.texts).clear();
        }
    }

    fn of_unknown(&self, sql: &str) -> Arc<Entry> {
        let fingerprint = Fingerprint::of(sql);
        let key = fingerprint.as_u64();
        if let Some(entry) = read(&self.entries).get(&key) {
            return Arc::clone(entry);
        }
        let mut fresh = Entry::new(fingerprint, sql); // outside the lock: it copies the text
        self.bound_summary(&mut fresh.summary);
        let fresh = Arc::new(fresh);
        let mut entries = write(&self.entries);
        if entries.len() >= self.capacity && !entries.contains_key(&key) {
            self.sweep(&mut entries);
        }
        Arc::clone(entries.entry(key).or_insert(fresh))
    }

    /// A summary that is one too many becomes "other". Those that are known stay, since a recorder keeps their series.
    fn bound_summary(&self, summary: &mut String) {
        if read(&self.summaries).contains(summary.as_str()) {
            return;
        }
        let mut known = write(&self.summaries);
        if known.len() < SUMMARIES {
            known.insert(summary.as_str().into());
        } else if !known.contains(summary.as_str()) {
            "other".clone_into(summary);
        }
    }

    /// The least used statements give their places up and count as "other" from now on; what the others did counts half.
    /// (As `pg_stat_statements` does it.)
    fn sweep(&self, entries: &mut Map<u64>) {
        let mut usages: Vec<u64> = entries.values().map(|entry| entry.usage()).collect();
        let leaving = (usages.len() / SWEEP).max(1);
        let (_, least, _) = usages.select_nth_unstable(leaving - 1);
        let (least, mut left, mut gone) = (*least, leaving, Vec::new());
        entries.retain(|_, entry| {
            let goes = left > 0 && entry.usage() <= least;
            if goes {
                left -= 1;
                entry.evict();
                gone.push(Arc::clone(entry));
            } else {
                entry.age();
            }
            !goes
        });
        self.evicted.fetch_add(gone.len() as u64, Relaxed);
        write(&self.addresses).retain(|_, entry| !entry.is_evicted());
        write(&self.texts).retain(|_, entry| !entry.is_evicted());
        let mut leaving = lock(&self.leaving);
        leaving.append(&mut gone);
        settle(&mut leaving, &self.other());
    }

    /// Forgets everything. Executions under way count for what is forgotten.
    pub(super) fn clear(&self) {
        write(&self.entries).clear();
        write(&self.addresses).clear();
        write(&self.texts).clear();
        lock(&self.leaving).clear();
        *write(&self.other) = Arc::new(Entry::other());
        self.evicted.store(0, Relaxed);
    }
}

/// Adds up those that nobody else holds any more. One that was looked up before it gave its place up may be counted in at this very moment.
fn settle(leaving: &mut Vec<Arc<Entry>>, other: &Entry) {
    leaving.retain_mut(|entry| {
        let is_left = Arc::get_mut(entry).is_some();
        if is_left {
            other.absorb(entry);
        }
        !is_left
    });
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn read<T>(lock: &RwLock<T>) -> RwLockReadGuard<'_, T> {
    lock.read().unwrap_or_else(PoisonError::into_inner)
}

fn write<T>(lock: &RwLock<T>) -> RwLockWriteGuard<'_, T> {
    lock.write().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_that_never_come_again_do_not_keep_those_out_that_do() {
        let table = Table::new(8);
        for n in 0..1_000 {
            table.of_text(&format!("select a from t where b = {n}"));
        }
        for _ in 0..100 {
            for n in 0..50 {
                table.of_text(&format!("select a from t where b = {n} /* {n} */"));
            }
            table.of_text("select hot from t");
        }
        let mut known = 0;
        for n in 0..100 {
            table.of_text(&format!("select a from t where c = {n}"));
            known += usize::from(read(&table.texts).contains_key("select hot from t"));
            table.of_text("select hot from t");
        }
        assert!(known > 50 && read(&table.texts).len() <= 8, "{known} of 100");
    }

    #[test]
    fn a_statement_holds_no_more_than_its_place_whatever_its_text() {
        let table = Table::new(8);
        let long = format!("select a from t where {}", "a = 1 or ".repeat(100_000));
        let entry = table.of_text(&long);
        assert!(entry.text.ends_with('…') && entry.text.capacity() <= 1_024, "{}", entry.text.capacity());
        let named = table.of_text(&format!("select a from {}", "x".repeat(5_000)));
        assert!(named.summary.len() <= 255 && named.summary.capacity() <= 255, "{}", named.summary.len());
    }
}
