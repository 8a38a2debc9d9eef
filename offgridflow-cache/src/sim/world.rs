//! The place where a run happens: the source's versions, what is wrong at the moment, and the history.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep, sleep_until};

use super::dice::Dice;
use super::history::{Fault, History, Life, Load, Read, Removal, Seen, Stamp, Write};
use super::plan::{KEYS, MS, Shape};

/// Which mishaps may happen.
#[derive(Debug, Clone)]
pub(super) enum Mishaps {
    /// So many in a hundred messages.
    Share(u64),
    /// Of those, these.
    Only(u64, HashSet<u64>),
}

#[derive(Debug)]
pub(super) struct World {
    pub(super) seed: u64,
    pub(super) shape: Shape,
    began: Instant,
    mishaps: Mishaps,
    state: Mutex<State>,
    notes: Option<Mutex<Vec<(u64, String)>>>, // only where a trace is wanted
}

#[derive(Debug, Default)]
struct State {
    number: u64,
    versions: Vec<u64>,
    history: History,
    links: Vec<Link>,
    away_until: u64,
    healed: bool,
    drawn: Vec<u64>,
    places: HashMap<(usize, u64, u64), u64>,
}

/// What is wrong between a node and the store, until when.
#[derive(Debug, Clone, Default)]
struct Link {
    cut_until: u64,
    paused_until: u64,
    starved_until: u64,
}

/// Where something may go wrong: its dice do not depend on what happens elsewhere.
#[derive(Debug)]
pub(super) struct Site {
    id: u64,
    pub(super) dice: Dice,
}

impl World {
    pub(super) fn new(seed: u64, shape: Shape, mishaps: Mishaps, traced: bool) -> Self {
        let versions = vec![1; usize::try_from(KEYS).unwrap_or(0)];
        let state = Mutex::new(State { versions, ..State::default() });
        let notes = traced.then(Mutex::default);
        Self { seed, shape, began: Instant::now(), mishaps, state, notes }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn now(&self) -> u64 {
        u64::try_from((Instant::now() - self.began).as_millis()).unwrap_or(u64::MAX)
    }

    /// Writes a line of the trace, if there is one.
    pub(super) fn note(&self, line: impl FnOnce() -> String) {
        if let Some(notes) = &self.notes {
            let line = (self.now(), line());
            notes.lock().unwrap_or_else(PoisonError::into_inner).push(line);
        }
    }

    pub(super) fn notes(&self) -> Vec<(u64, String)> {
        let notes =
            self.notes.as_ref().map(|notes| notes.lock().unwrap_or_else(PoisonError::into_inner).clone());
        notes.unwrap_or_default()
    }

    /// The place of something that `node` does now; `kind` tells apart what one node does at once.
    pub(super) fn site(&self, node: usize, kind: u64) -> Site {
        let now = self.now();
        let mut state = self.state();
        let nth = state.places.entry((node, kind, now)).or_default();
        *nth += 1;
        let mut dice = Dice::of(&[self.seed, 3, node as u64, kind, now, *nth]);
        Site { id: dice.draw(), dice }
    }

    /// Whether this goes wrong here, which happens `share` times in a hundred when everything may.
    pub(super) fn mishap(&self, site: &mut Site, what: u64, share: u64) -> bool {
        let (most, only) = match &self.mishaps {
            Mishaps::Share(most) => (*most, None),
            Mishaps::Only(most, only) => (*most, Some(only)),
        };
        let hit = site.dice.below(3_000) < share * most; // the shares are meant for thirty in a hundred
        let id = site.id.wrapping_add(what);
        let mut state = self.state();
        let happens = hit && !self.shape.calm && !state.healed && only.is_none_or(|only| only.contains(&id));
        if happens {
            state.drawn.push(id);
        }
        happens
    }

    pub(super) fn drawn(&self) -> Vec<u64> {
        self.state().drawn.clone()
    }

    /// Nothing goes wrong any more.
    pub(super) fn heal(&self) {
        let mut state = self.state();
        (state.healed, state.away_until) = (true, 0);
        state.links.iter_mut().for_each(|link| *link = Link::default());
    }

    pub(super) fn away_for(&self, millis: u64) {
        let until = self.now() + millis;
        let mut state = self.state();
        state.away_until = state.away_until.max(until);
    }

    pub(super) fn cut_for(&self, node: usize, millis: u64) {
        let until = self.now() + millis;
        self.state().links[node].cut_until = until;
    }

    pub(super) fn pause_for(&self, node: usize, millis: u64) {
        let until = self.now() + millis;
        let mut state = self.state();
        state.links[node].paused_until = until;
        state.history.lives[node].paused += millis;
    }

    pub(super) fn starve_for(&self, node: usize, millis: u64) {
        let until = self.now() + millis;
        self.state().links[node].starved_until = until;
    }

    pub(super) fn jumped(&self) {
        self.state().history.clock_jumped = true;
    }

    /// Whether what `node` sends arrives at all.
    pub(super) fn reaches(&self, node: usize) -> bool {
        let now = self.now();
        let state = self.state();
        now >= state.away_until && now >= state.links[node].cut_until
    }

    /// Until `node` runs; for ever, once it is dead.
    pub(super) async fn running(&self, node: usize) {
        self.until(node, |link| link.paused_until).await;
    }

    /// Until the polling task of `node` runs.
    pub(super) async fn polling(&self, node: usize) {
        self.until(node, |link| link.starved_until.max(link.paused_until)).await;
    }

    async fn until(&self, node: usize, of: impl Fn(&Link) -> u64) {
        loop {
            let (until, dead) = {
                let state = self.state();
                (of(&state.links[node]), state.history.lives[node].dead)
            };
            if dead {
                std::future::pending::<()>().await;
            }
            if until <= self.now() {
                return;
            }
            sleep_until(self.began + Duration::from_millis(until)).await;
        }
    }

    pub(super) async fn linger(&self, millis: u64) {
        if millis > 0 {
            sleep(MS * u32::try_from(millis).unwrap_or(u32::MAX)).await;
        }
    }

    // The history.

    pub(super) fn born(&self) -> usize {
        let mut state = self.state();
        state.links.push(Link::default());
        state.history.lives.push(Life::default());
        state.history.lives.len() - 1
    }

    pub(super) fn dies(&self, node: usize) {
        self.state().history.lives[node].dead = true;
    }

    pub(super) fn version(&self, key: u64) -> u64 {
        self.state().versions[usize::try_from(key).unwrap_or(0)]
    }

    pub(super) fn write(&self, key: u64) -> u64 {
        let at = self.stamp();
        let mut state = self.state();
        let version = &mut state.versions[usize::try_from(key).unwrap_or(0)];
        *version += 1;
        let version = *version;
        state.history.writes.push(Write { key, version, at });
        version
    }

    fn stamp(&self) -> Stamp {
        let at = self.now();
        let mut state = self.state();
        state.number += 1;
        Stamp { at, number: state.number }
    }

    pub(super) fn reads(&self, node: usize, key: u64, last: bool) -> usize {
        let began = self.stamp();
        let reads = &mut self.state().history.reads;
        reads.push(Read { node, key, began, end: None, last });
        reads.len() - 1
    }

    pub(super) fn saw(&self, read: usize, seen: Seen) {
        let stamp = self.stamp();
        let (node, key) = {
            let read = &mut self.state().history.reads[read];
            read.end = Some((stamp, seen));
            (read.node, read.key)
        };
        self.note(|| format!("node {node}: the read of key {key} gets {seen:?}"));
    }

    pub(super) fn removes(&self, node: usize, reached: Vec<(u64, u64)>) -> usize {
        let began = self.stamp();
        let removals = &mut self.state().history.removals;
        removals.push(Removal { node, reached, began, end: None });
        removals.len() - 1
    }

    pub(super) fn removed(&self, removal: usize, delivered: bool) {
        let stamp = self.stamp();
        self.state().history.removals[removal].end = Some((stamp, delivered));
    }

    pub(super) fn loads(&self, node: usize, key: u64, fenced: Option<Instant>) -> usize {
        let began = self.stamp();
        let fenced = fenced.map(|at| u64::try_from((at - self.began).as_millis()).unwrap_or(u64::MAX));
        let loads = &mut self.state().history.loads;
        loads.push(Load { node, key, fenced, began, end: None });
        loads.len() - 1
    }

    pub(super) fn loaded(&self, load: usize, end: Result<(), Fault>) {
        let stamp = self.stamp();
        self.state().history.loads[load].end.get_or_insert((stamp, end));
    }

    pub(super) fn with_history<T>(&self, look: impl FnOnce(&History) -> T) -> T {
        look(&self.state().history)
    }
}
