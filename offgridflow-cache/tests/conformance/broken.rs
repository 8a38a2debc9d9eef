//! A store in a few maps that keeps every promise, or all but one.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use offgridflow_cache::{
    BackendError, BackendStats, CacheBackend, Caps, Change, Entry, Fill, FillWith, Filled, Key, Lease,
    Lookup, News, Position, Scope, Terms,
};
use tokio::task::yield_now;
use tokio::time::Instant;

use crate::defects::Defect;

/// Removals that are remembered.
const LOG: usize = 1_000;

/// A time that stands for ever.
const LONGEST: Duration = Duration::from_secs(100 * 365 * 24 * 3_600);

#[derive(Debug)]
pub(crate) struct Broken {
    defect: Option<Defect>,
    spaces: Mutex<HashMap<String, Space>>,
    busy: AtomicBool,
}

#[derive(Debug, Default)]
struct Space {
    slots: HashMap<Vec<u8>, Slot>,
    tags: HashMap<Arc<str>, u64>,
    sequence: u64,
    floor: u64,
    log: BTreeMap<u64, Vec<Change>>,
    tokens: u64,
}

#[derive(Debug, Default)]
struct Slot {
    value: Option<Stored>,
    leases: Vec<(Bytes, Instant)>, // with their ends
    given: Option<Instant>,        // the last of them
    beside: Option<Bytes>,         // the last that was given beside a value
}

#[derive(Debug)]
struct Stored {
    entry: Entry,
    until: Instant,
    born: u64,
}

impl Broken {
    pub(crate) fn new(defect: Option<Defect>) -> Self {
        Self { defect, spaces: Mutex::default(), busy: AtomicBool::new(false) }
    }

    fn has(&self, defect: Defect) -> bool {
        self.defect == Some(defect)
    }

    fn with<T>(&self, namespace: &str, work: impl FnOnce(&mut Space) -> T) -> T {
        work(self.spaces.lock().unwrap().entry(namespace.to_owned()).or_default())
    }

    /// When so much time will have passed.
    fn after(&self, now: Instant, time: Duration) -> Instant {
        let wraps = time > LONGEST && self.has(Defect::LongTimesWrap);
        now + if wraps { Duration::ZERO } else { time.min(LONGEST) }
    }

    fn name(&self, key: &Key) -> Vec<u8> {
        if self.has(Defect::KeysAsText) {
            return String::from_utf8_lossy(key.name()).into_owned().into_bytes();
        }
        if self.has(Defect::SchemasApart) {
            return [key.schema().to_be_bytes().as_slice(), key.name()].concat();
        }
        key.name().to_vec()
    }

    fn look_up(&self, space: &mut Space, key: &Key, terms: &Terms) -> Lookup {
        let now = Instant::now();
        let name = self.name(key);
        let found = self.entry(space, &name, now, terms.early);
        let fresh = found.as_ref().is_some_and(|entry| !entry.left.is_zero());
        if let Some(entry) = found.clone().filter(|_| fresh && !terms.early) {
            return Lookup::Fresh(entry);
        }
        let slot = space.slots.entry(name.clone()).or_default();
        if !self.has(Defect::LeasesNeverEnd) {
            slot.leases.retain(|(_, until)| *until > now);
        }
        let old = slot.given.is_some_and(|given| now.duration_since(given) >= terms.patience);
        if old && !self.has(Defect::TakenOverLeasesFill) {
            slot.leases.clear();
        }
        let for_all = match &found {
            None => self.has(Defect::LeasesForAll),
            Some(_) if fresh => self.has(Defect::EarlyLeasesForAll),
            Some(_) => self.has(Defect::StaleLeasesForAll),
        };
        if !slot.leases.is_empty() && !for_all && !old {
            return match found {
                Some(entry) if fresh => Lookup::Fresh(entry),
                Some(entry) => Lookup::Stale(entry, None),
                None => Lookup::Busy,
            };
        }
        if !self.has(Defect::OneTokenAKey) {
            space.tokens += 1;
        }
        let token = Bytes::from([space.tokens.to_be_bytes().as_slice(), &name].concat());
        slot.leases.push((token.clone(), self.after(now, terms.lease)));
        slot.given = Some(now);
        slot.beside = found.as_ref().map(|_| token.clone());
        let lease = Lease::new(token, space.sequence);
        match found {
            Some(entry) => Lookup::Stale(entry, Some(lease)),
            None => Lookup::Miss(lease),
        }
    }

    fn entry(&self, space: &mut Space, name: &[u8], now: Instant, early: bool) -> Option<Entry> {
        let (floor, tags) = (space.floor, &space.tags);
        let slot = space.slots.get_mut(name)?;
        let stored = slot.value.as_ref()?;
        let many = if self.has(Defect::FirstTagOnly) { 1 } else { usize::MAX };
        let always = self.has(Defect::RemovedTagsStayRemoved);
        let removed = |tag: &Arc<str>| tags.get(tag).is_some_and(|version| always || *version > stored.born);
        let ignored = early && self.has(Defect::EarlyIgnoresTags)
            || stored.until <= now && self.has(Defect::StaleIgnoresTags);
        if !ignored && stored.entry.tags.iter().take(many).any(removed) || stored.born < floor {
            return None;
        }
        let (grace, forever) =
            (stored.entry.grace, self.has(Defect::NothingExpires) && stored.entry.grace.is_zero());
        let grace_kept = if self.has(Defect::GraceNeverEnds) { grace.saturating_mul(1_000) } else { grace };
        let kept = self.after(stored.until, grace_kept);
        if kept <= now && !forever {
            return None;
        }
        let fresh = if self.has(Defect::GraceIsFresh) && grace > Duration::from_secs(1) {
            kept
        } else {
            stored.until
        };
        let fresh = if forever && fresh <= now { self.after(now, stored.entry.left) } else { fresh };
        let left = if self.has(Defect::LeftStandsStill) && fresh > now {
            stored.entry.left
        } else {
            fresh.saturating_duration_since(now)
        };
        let tags = if self.has(Defect::TagsDropped) { Vec::new() } else { stored.entry.tags.clone() };
        let stale = now.saturating_duration_since(fresh);
        let entry = Entry::new(stored.entry.frame.clone(), left, tags).stale_for(stale);
        if self.has(Defect::ReadsConsume) && slot.leases.len() < 2 {
            slot.leases.push((Bytes::new(), now)); // counts reads: the third finds nothing
            slot.leases.push((Bytes::new(), now));
        } else if self.has(Defect::ReadsConsume) {
            slot.value = None;
        }
        Some(entry)
    }

    fn fill(&self, space: &mut Space, fill: Fill) -> Filled {
        if !self.may_fill(space, &fill) {
            return Filled::Fenced;
        }
        self.store(space, fill);
        Filled::Stored
    }

    fn may_fill(&self, space: &Space, fill: &Fill) -> bool {
        let now = Instant::now();
        let Some(slot) = space.slots.get(&self.name(&fill.key)) else {
            return self.has(Defect::FillsWithoutLease);
        };
        let lives = |(token, until): &(Bytes, Instant)| {
            (*token == fill.lease.token || self.has(Defect::AnyTokenWhileLeased))
                && (*until > now || self.has(Defect::LeasesNeverEnd))
        };
        slot.leases.iter().any(lives)
    }

    fn store(&self, space: &mut Space, fill: Fill) {
        let (now, sequence) = (Instant::now(), space.sequence);
        let slot = space.slots.entry(self.name(&fill.key)).or_default();
        match fill.with {
            FillWith::Release if self.has(Defect::ReleasesIgnored) => {}
            FillWith::Release => slot.leases.clear(),
            FillWith::Entry(mut entry) => {
                let both = self.has(Defect::TakenOverLeasesFill);
                if !self.has(Defect::LeasesSurviveFills) {
                    slot.leases.retain(|(token, _)| both && *token != fill.lease.token);
                }
                if self.has(Defect::FramesTrimmed) {
                    let end = entry.frame.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
                    entry.frame.truncate(end);
                }
                let born = if self.has(Defect::BornWhenFilled) { sequence } else { fill.lease.born };
                slot.value = Some(Stored { until: self.after(now, entry.left), entry, born });
            }
        }
    }

    fn remove_from(&self, space: &mut Space, scope: Scope) {
        self.tell(space, &scope);
        self.carry_out(space, scope);
    }

    fn tell(&self, space: &mut Space, scope: &Scope) {
        space.sequence += 1;
        let first_or_all = |defect| if self.has(defect) { 1 } else { usize::MAX };
        let of_key = |key: &Key| Change::Key(Bytes::copy_from_slice(key.name()));
        let changes = match scope {
            Scope::Keys(keys) => keys.iter().take(first_or_all(Defect::FirstKeyTold)).map(of_key).collect(),
            Scope::Tags(_) if self.has(Defect::TagsNotTold) => Vec::new(),
            Scope::Tags(tags) => {
                tags.iter().take(first_or_all(Defect::FirstTagTold)).cloned().map(Change::Tag).collect()
            }
            Scope::Namespace => vec![Change::Namespace],
        };
        space.log.insert(space.sequence, changes);
        while space.log.len() > LOG {
            space.log.pop_first();
        }
    }

    fn carry_out(&self, space: &mut Space, scope: Scope) {
        let first_or_all = |defect| if self.has(defect) { 1 } else { usize::MAX };
        match scope {
            Scope::Keys(keys) => {
                for key in keys.iter().take(first_or_all(Defect::FirstKeyOfScope)) {
                    self.remove_value(space, key);
                }
                for key in keys.iter().take(first_or_all(Defect::FirstLeaseOfScope)) {
                    self.end_leases(space, key);
                }
            }
            Scope::Tags(tags) => {
                let tags = tags.into_iter().take(first_or_all(Defect::FirstTagOfScope));
                tags.for_each(|tag| self.remove_tag(space, tag));
            }
            Scope::Namespace => self.clear(space),
        }
    }

    fn remove_value(&self, space: &mut Space, key: &Key) {
        let Some(slot) = space.slots.get_mut(&self.name(key)) else { return };
        let stale = slot.value.as_ref().is_some_and(|stored| stored.until <= Instant::now());
        let stays = self.has(Defect::RemovedKeysStay) || stale && self.has(Defect::StaleSurvivesRemoval);
        slot.value = slot.value.take().filter(|_| stays);
    }

    fn end_leases(&self, space: &mut Space, key: &Key) {
        let Some(slot) = space.slots.get_mut(&self.name(key)) else { return };
        let beside = slot.beside.take().filter(|_| self.has(Defect::LeasesBesideValuesSurvive));
        let all = self.has(Defect::LeasesSurviveRemoval);
        slot.leases.retain(|(token, _)| all || beside.as_ref() == Some(token));
    }

    fn remove_tag(&self, space: &mut Space, tag: Arc<str>) {
        space.tags.insert(tag, space.sequence);
        if self.has(Defect::TagsRemoveAll) {
            space.slots.values_mut().for_each(|slot| slot.value = None);
        }
    }

    fn clear(&self, space: &mut Space) {
        if !self.has(Defect::LeasesSurviveClear) {
            space.floor = space.sequence;
        }
        for slot in space.slots.values_mut() {
            let tagged = slot.value.as_ref().is_some_and(|stored| !stored.entry.tags.is_empty());
            match &mut slot.value {
                Some(stored) if tagged && self.has(Defect::ClearKeepsTagged) => stored.born = space.sequence,
                value => *value = None,
            }
            if !self.has(Defect::LeasesSurviveClear) {
                slot.leases.clear();
            }
        }
    }

    fn news_of(&self, space: &Space, seen: Option<&Position>) -> News {
        let epoch = Bytes::from_static(b"epoch");
        let known = |since: u64| {
            space.sequence == since
                || space.log.contains_key(&(since + 1))
                || since < space.sequence && self.has(Defect::LogForgets)
                || since > space.sequence && self.has(Defect::AheadIsNoGap)
        };
        let whole = |seen: &&Position| {
            (seen.epoch == epoch || self.has(Defect::EpochIgnored)) && known(seen.sequence)
        };
        let mut changes = seen.filter(whole).map(|seen| {
            let first = if self.has(Defect::NewsRepeated) { seen.sequence } else { seen.sequence + 1 };
            space.log.range(first..).flat_map(|(_, changes)| changes.clone()).collect::<Vec<_>>()
        });
        if self.has(Defect::NewsReversed) {
            changes.iter_mut().for_each(|changes| changes.reverse());
        }
        if self.has(Defect::NewsMerged) {
            changes.iter_mut().for_each(Vec::dedup);
        }
        if seen.is_none() && self.has(Defect::StrangersToldNothingHappened) {
            changes = Some(Vec::new());
        }
        News { position: Position { epoch, sequence: space.sequence }, changes }
    }
}

#[async_trait]
impl CacheBackend for Broken {
    async fn get_or_lease(&self, keys: &[Key], terms: &Terms) -> Result<Vec<Lookup>, BackendError> {
        if self.has(Defect::StaysBusyWhenDropped) {
            while self.busy.swap(true, Ordering::AcqRel) {
                yield_now().await;
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            yield_now().await;
            self.busy.store(false, Ordering::Release);
        }
        let Some(first) = keys.first() else { return Ok(Vec::new()) };
        let mut keys = keys.to_vec();
        match self.defect {
            Some(Defect::AnswersSorted) if keys.len() == 4 => keys.sort_by(|a, b| a.name().cmp(b.name())),
            Some(Defect::AnswersOncePerKey) => keys.dedup(),
            Some(Defect::BatchesCut) => keys.truncate(512),
            _ => {}
        }
        Ok(self.with(first.namespace(), |space| {
            keys.iter().map(|key| self.look_up(space, key, terms)).collect()
        }))
    }

    async fn fill_if(&self, mut fills: Vec<Fill>) -> Result<Vec<Filled>, BackendError> {
        let births = fills.iter().map(|fill| fill.lease.born);
        let born = match self.defect {
            Some(Defect::BatchesBornAsYoungest) => births.max(),
            Some(Defect::BatchesBornAsOldest) => births.min(),
            _ => None,
        };
        fills.iter_mut().for_each(|fill| fill.lease.born = born.unwrap_or(fill.lease.born));
        let together = self.has(Defect::FillsTogether);
        let mut filled = Vec::new();
        for fill in fills {
            let namespace = fill.key.namespace().to_owned();
            let fenced = together && filled.contains(&Filled::Fenced);
            filled.push(if fenced {
                Filled::Fenced
            } else if self.has(Defect::ChecksThenStores) {
                let may = self.with(&namespace, |space| self.may_fill(space, &fill));
                yield_now().await;
                if may {
                    self.with(&namespace, |space| self.store(space, fill));
                }
                if may { Filled::Stored } else { Filled::Fenced }
            } else {
                self.with(&namespace, |space| self.fill(space, fill))
            });
        }
        Ok(filled)
    }

    async fn remove(&self, namespace: &str, scope: Scope) -> Result<(), BackendError> {
        if self.has(Defect::NewsOfAllNamespaces) {
            for space in self.spaces.lock().unwrap().values_mut() {
                self.remove_from(space, Scope::Tags(vec!["any".into()]));
            }
        }
        match (self.defect, &scope) {
            (Some(Defect::TellsThenRemoves), _) => {
                self.with(namespace, |space| self.tell(space, &scope));
                yield_now().await;
                self.with(namespace, |space| self.carry_out(space, scope));
            }
            (Some(Defect::RemovesThenFences), Scope::Keys(keys)) => {
                self.with(namespace, |space| {
                    keys.iter().for_each(|key| self.remove_value(space, key));
                    self.tell(space, &scope);
                });
                yield_now().await;
                self.with(namespace, |space| keys.iter().for_each(|key| self.end_leases(space, key)));
            }
            _ => self.with(namespace, |space| self.remove_from(space, scope)),
        }
        Ok(())
    }

    async fn news(&self, namespace: &str, seen: Option<Position>) -> Result<News, BackendError> {
        Ok(self.with(namespace, |space| self.news_of(space, seen.as_ref())))
    }

    fn caps(&self) -> Caps {
        Caps::new("the model", true)
    }

    fn stats(&self) -> BackendStats {
        BackendStats::default()
    }
}
