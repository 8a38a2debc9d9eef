//! The promises to users, asked of a history.

use std::time::Duration;

use super::history::{Fault, History, Load, Read, Removal, Seen, Stamp, Write, millis};

/// A promise that was broken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("broken: {promise}\n  {how}")]
#[non_exhaustive]
pub struct Broken {
    /// The promise.
    pub promise: &'static str,
    /// How it was broken.
    pub how: String,
    /// When it shows, in milliseconds of the history's clock.
    pub at: u64,
}

impl Broken {
    /// One that shows only once everything is over.
    #[must_use]
    pub fn new(promise: &'static str, how: impl Into<String>) -> Self {
        Self { promise, how: how.into(), at: u64::MAX }
    }
}

/// What the promises depend on: the settings that all nodes of a fleet have, and what it is held to.
#[derive(Debug, Clone)]
pub struct Bounds {
    /// Δ.
    pub max_staleness: Duration,
    /// The longest ttl.
    pub ttl: Duration,
    /// For how long after its ttl a value may be served.
    pub grace: Duration,
    /// When a load is given up.
    pub load_timeout: Duration,
    /// When a call of the shared tier is given up.
    pub shared_timeout: Duration,
    /// How long a read waits for another node's load.
    pub lease_wait: Duration,
    /// How long a key is left alone whose load failed.
    pub retry_after: Duration,
    /// Added to every bound in time, for what a machine adds to it. In simulation that is nothing.
    pub slack: Duration,
    /// Δ is given up while the shared tier is away (`Outage::ServeSuspect`).
    pub suspects: bool,
    /// No message is lost and no node fails: a key is loaded once a fleet.
    pub calm: bool,
    /// Whether the source has nothing of a key in this version.
    pub absent: fn(u64, u64) -> bool,
}

impl Default for Bounds {
    /// The defaults of a cache whose source always has something, without slack.
    fn default() -> Self {
        let settings = crate::cache::Settings::default();
        Self {
            max_staleness: settings.max_staleness,
            ttl: settings.ttl,
            grace: settings.grace(),
            load_timeout: settings.load_timeout,
            shared_timeout: settings.shared_timeout,
            lease_wait: settings.lease_wait,
            retry_after: settings.retry_after,
            slack: Duration::ZERO,
            suspects: false,
            calm: false,
            absent: |_, _| false,
        }
    }
}

impl Bounds {
    /// How long a read may take that nothing stands in the way of but the network and the loader.
    fn flight(&self) -> u64 {
        millis(self.lease_wait * 2 + self.shared_timeout * 3 + self.load_timeout + self.slack) + 80
    }
}

/// A promise, its name, and the first reason why a history breaks it.
type Check = (&'static str, fn(&History, &Bounds) -> Found);
type Found = Option<(u64, String)>; // when it shows, and how

const CHECKS: [Check; 9] = [
    ("a read sees only what was written", genuine),
    ("(1) a read after an invalidation returned on its node sees nothing older", on_its_node),
    ("(2) a read Δ after a delivered invalidation sees nothing older", on_other_nodes),
    ("(3) once all is well, every node agrees with the source", agreement),
    ("(4) one load a key and node", one_load_a_node),
    ("(4) one load a key and fleet", one_load_a_fleet),
    ("(5) a read fails only where its loader does", no_failure),
    ("(5) a read ends", no_hang),
    ("a value ends with its ttl", no_immortal),
];

impl History {
    /// Holds what happened against every promise.
    ///
    /// # Errors
    /// The first promise that was broken.
    pub fn check(&self, bounds: &Bounds) -> Result<(), Broken> {
        let broken =
            |(promise, check): &Check| check(self, bounds).map(|(at, how)| Broken { promise, how, at });
        CHECKS.iter().find_map(broken).map_or(Ok(()), Err)
    }

    /// Reads of nodes that lived on, with their answers.
    fn answers(&self) -> impl Iterator<Item = (&Read, Stamp, Seen)> {
        let alive = |read: &&Read| !self.lives[read.node].dead;
        self.reads.iter().filter(alive).filter_map(|read| read.answer().map(|(end, seen)| (read, end, seen)))
    }

    /// What was in the source at a moment.
    fn version_at(&self, key: u64, at: Stamp) -> u64 {
        let before = |write: &&Write| write.key == key && write.at.number < at.number;
        self.writes.iter().filter(before).map(|write| write.version).max().unwrap_or(1)
    }

    /// The newest version that an answer may stand for; `None` for none at all.
    fn newest(&self, key: u64, end: Stamp, seen: Seen, bounds: &Bounds) -> Option<u64> {
        let newest = self.version_at(key, end);
        match seen {
            Seen::Value { key: of, version } => (of == key && version <= newest).then_some(version),
            Seen::Absent => (1..=newest).rev().find(|version| (bounds.absent)(key, *version)),
            _ => None,
        }
    }

    /// Answers that carry a version, with the version.
    fn versions(&self, bounds: &Bounds) -> impl Iterator<Item = (&Read, u64)> {
        self.answers().filter_map(|(read, end, seen)| Some((read, self.newest(read.key, end, seen, bounds)?)))
    }
}

fn over(read: &Read) -> u64 {
    read.end.map_or(u64::MAX, |(end, _)| end.at)
}

fn said(read: &Read, version: u64, least: u64) -> (u64, String) {
    let (node, key, at) = (read.node, read.key, read.began.at);
    (over(read), format!("node {node}, at {at} ms, reads key {key} = {version}; it was {least} before"))
}

fn genuine(history: &History, bounds: &Bounds) -> Found {
    let invented = |(read, end, seen): &(&Read, Stamp, Seen)| {
        !matches!(seen, Seen::Failed(_)) && history.newest(read.key, *end, *seen, bounds).is_none()
    };
    let (read, _, seen) = history.answers().find(invented)?;
    let how = format!("node {}, at {} ms, reads key {}: {seen:?}", read.node, read.began.at, read.key);
    Some((over(read), how))
}

fn on_its_node(history: &History, bounds: &Bounds) -> Found {
    history.versions(bounds).find_map(|(read, version)| {
        let ended = |end: Stamp| end.number < read.began.number;
        let removals = history.removals.iter().filter(|removal| removal.node == read.node);
        let reached = removals.filter(|removal| removal.end.is_some_and(|(end, _)| ended(end)));
        older(read, version, reached.flat_map(|removal| &removal.reached))
    })
}

fn on_other_nodes(history: &History, bounds: &Bounds) -> Found {
    if bounds.suspects {
        return None; // given up for availability
    }
    let delta = millis(bounds.max_staleness + bounds.slack);
    history.versions(bounds).find_map(|(read, version)| {
        let due = |&(end, delivered): &(Stamp, bool)| delivered && end.at + delta <= read.began.at;
        let removals = history.removals.iter().filter(|removal| removal.end.as_ref().is_some_and(due));
        older(read, version, removals.flat_map(|removal| &removal.reached))
    })
}

fn older<'h>(read: &Read, version: u64, reached: impl Iterator<Item = &'h (u64, u64)>) -> Found {
    let least = reached.filter(|(key, _)| *key == read.key).map(|(_, version)| *version).max()?;
    (version < least).then(|| said(read, version, least))
}

/// Whoever died may have taken a removal along: what it was about, nobody is told.
fn agreement(history: &History, bounds: &Bounds) -> Found {
    let is_absent = bounds.absent;
    let lost = |key: u64| {
        let mut taken = history.removals.iter().filter(|removal| history.lives[removal.node].dead);
        taken.any(|removal| {
            removal.end.is_none_or(|(_, delivered)| !delivered)
                && removal.reached.iter().any(|(of, _)| *of == key)
        })
    };
    history.versions(bounds).filter(|(read, _)| read.last && !lost(read.key)).find_map(|(read, version)| {
        let least = history.version_at(read.key, read.began);
        let same = version == least || is_absent(read.key, least) && is_absent(read.key, version);
        (!same).then(|| said(read, version, least))
    })
}

/// Two loads of a key may meet on a node only where the first one's flight was taken out: not before it was opened, which is not
/// longer ago than a flight may wait before it loads.
fn one_load_a_node(history: &History, bounds: &Bounds) -> Found {
    let waits = bounds.flight() - millis(bounds.load_timeout);
    for (index, load) in history.loads.iter().enumerate().filter(|(_, load)| !history.lives[load.node].dead) {
        let waits = waits + history.lives[load.node].paused;
        let meets = |other: &&Load| {
            let same = (other.node, other.key) == (load.node, load.key);
            let fenced = load.fenced.is_some_and(|at| at + waits >= other.began.at);
            same && !fenced && other.end.is_none_or(|(end, _)| end.at > load.began.at)
        };
        if let Some(other) = history.loads[..index].iter().find(meets) {
            let (node, key, first, second) = (load.node, load.key, other.began.at, load.began.at);
            return Some((
                second,
                format!("node {node} loads key {key} at {first} ms and again at {second} ms"),
            ));
        }
    }
    None
}

/// Where no message is lost, two nodes load a key at once only around a removal of it, which passes the shared tier by.
fn one_load_a_fleet(history: &History, bounds: &Bounds) -> Found {
    if !bounds.calm {
        return None;
    }
    let slack = millis(bounds.slack);
    let removed = |key: u64, from: u64, to: u64| {
        let of_key = |removal: &&Removal| removal.reached.iter().any(|(of, _)| *of == key);
        history.removals.iter().filter(of_key).any(|removal| {
            let over = removal.end.map_or(removal.began.at + 100, |(end, _)| end.at) + slack;
            removal.began.at <= to && over + 40 >= from
        })
    };
    history.loads.iter().enumerate().find_map(|(index, second)| {
        let meets = |first: &&Load| {
            let elsewhere = first.key == second.key && first.node != second.node;
            elsewhere && first.end.is_none_or(|(end, _)| end.at > second.began.at)
        };
        let first = history.loads[..index].iter().find(meets)?;
        let (key, from, to) = (second.key, first.began.at, second.began.at);
        let how =
            || format!("node {} loads key {key} at {from} ms, node {} at {to} ms", first.node, second.node);
        (!removed(key, from, to)).then(|| (to, how()))
    })
}

/// A load that failed answers who waits for its batch: that may be who came after it had failed. One that a node stood still
/// through was given up though its loader brought something, or was not begun.
fn no_failure(history: &History, bounds: &Bounds) -> Found {
    history.answers().find_map(|(read, end, seen)| {
        let Seen::Failed(fault) = seen else { return None };
        let settings = millis(bounds.load_timeout + bounds.retry_after + bounds.slack);
        let batch = settings + history.lives[read.node].paused;
        let met = |load: &&Load| {
            let over = load.end.is_some_and(|(over, _)| over.at + batch < read.began.at);
            load.node == read.node && load.began.number < end.number && !over
        };
        let from = read.began.at.saturating_sub(batch);
        let still = history.lives[read.node].stood_still(from, end.at) + millis(bounds.slack);
        let slept_through = fault == Fault::Timeout && still > millis(bounds.load_timeout);
        let failed = |load: &Load| {
            load.end.is_none_or(|(over, end)| {
                let late =
                    fault == Fault::Timeout && over.at + still > load.began.at + millis(bounds.load_timeout);
                late || end.err().is_some_and(|own| own == fault)
            })
        };
        let by_loader = fault != Fault::Other && history.loads.iter().filter(met).any(failed);
        let explained = by_loader || slept_through;
        let (node, at, key) = (read.node, read.began.at, read.key);
        (!explained).then(|| (end.at, format!("node {node}, at {at} ms, cannot read key {key}: {fault:?}")))
    })
}

fn no_hang(history: &History, bounds: &Bounds) -> Found {
    let alive = history.reads.iter().filter(|read| !history.lives[read.node].dead);
    alive.into_iter().find_map(|read| {
        let most = 2 * bounds.flight() + history.lives[read.node].paused;
        let took = read.end.map(|(end, _)| end.at - read.began.at);
        let (node, at, key) = (read.node, read.began.at, read.key);
        let late = took.is_none_or(|took| took > most);
        late.then(|| {
            (
                over(read),
                format!("node {node}: the read of key {key} at {at} ms takes {took:?} ms, at most {most}"),
            )
        })
    })
}

/// A version that was overwritten longer ago than anything lives. A store whose clock jumps keeps what it keeps.
fn no_immortal(history: &History, bounds: &Bounds) -> Found {
    if history.clock_jumped {
        return None;
    }
    // Its load may end late, its fill arrive late, and so may the reply that promotes it.
    let settings = bounds.ttl + bounds.grace + bounds.load_timeout + bounds.shared_timeout * 2 + bounds.slack;
    let longest = millis(settings) + 2 * 140;
    history.versions(bounds).find_map(|(read, version)| {
        let next =
            history.writes.iter().find(|write| write.key == read.key && write.version == version + 1)?;
        let paused = history.lives.iter().map(|life| life.paused).sum::<u64>();
        let late = next.at.at + longest + paused < read.began.at;
        late.then(|| said(read, version, version + 1))
    })
}
