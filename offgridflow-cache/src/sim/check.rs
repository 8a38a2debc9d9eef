//! The promises to users, asked of a history.

use super::history::{Fault, History, Load, Read, Removal, Seen, Stamp, Write};
use super::plan::{DELTA_MS, Shape};
use super::source::is_absent;

/// A promise that was broken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Broken {
    pub(super) promise: &'static str,
    pub(super) how: String,
    pub(super) at: u64, // when it shows
}

/// A promise, its name, and the first reason why a history breaks it.
type Check = (&'static str, fn(&History, &Shape) -> Found);
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

/// The first promise that the history breaks.
pub(super) fn check(history: &History, shape: &Shape) -> Option<Broken> {
    CHECKS
        .iter()
        .find_map(|(promise, check)| check(history, shape).map(|(at, how)| Broken { promise, how, at }))
}

impl History {
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
    fn newest(&self, key: u64, end: Stamp, seen: Seen) -> Option<u64> {
        let newest = self.version_at(key, end);
        match seen {
            Seen::Value { key: of, version } => (of == key && version <= newest).then_some(version),
            Seen::Absent => (1..=newest).rev().find(|version| is_absent(key, *version)),
            _ => None,
        }
    }

    /// Answers that carry a version, with the version.
    fn versions(&self) -> impl Iterator<Item = (&Read, u64)> {
        self.answers().filter_map(|(read, end, seen)| Some((read, self.newest(read.key, end, seen)?)))
    }
}

fn over(read: &Read) -> u64 {
    read.end.map_or(u64::MAX, |(end, _)| end.at)
}

fn said(read: &Read, version: u64, least: u64) -> (u64, String) {
    let (node, key, at) = (read.node, read.key, read.began.at);
    (over(read), format!("node {node}, at {at} ms, reads key {key} = {version}; it was {least} before"))
}

fn genuine(history: &History, _: &Shape) -> Found {
    let invented = |(read, end, seen): &(&Read, Stamp, Seen)| {
        !matches!(seen, Seen::Failed(_)) && history.newest(read.key, *end, *seen).is_none()
    };
    let (read, _, seen) = history.answers().find(invented)?;
    let how = format!("node {}, at {} ms, reads key {}: {seen:?}", read.node, read.began.at, read.key);
    Some((over(read), how))
}

fn on_its_node(history: &History, _: &Shape) -> Found {
    history.versions().find_map(|(read, version)| {
        let ended = |end: Stamp| end.number < read.began.number;
        let removals = history.removals.iter().filter(|removal| removal.node == read.node);
        let reached = removals.filter(|removal| removal.end.is_some_and(|(end, _)| ended(end)));
        older(read, version, reached.flat_map(|removal| &removal.reached))
    })
}

fn on_other_nodes(history: &History, shape: &Shape) -> Found {
    if shape.suspects {
        return None; // given up for availability
    }
    history.versions().find_map(|(read, version)| {
        let due = |&(end, delivered): &(Stamp, bool)| delivered && end.at + DELTA_MS <= read.began.at;
        let removals = history.removals.iter().filter(|removal| removal.end.as_ref().is_some_and(due));
        older(read, version, removals.flat_map(|removal| &removal.reached))
    })
}

fn older<'h>(read: &Read, version: u64, reached: impl Iterator<Item = &'h (u64, u64)>) -> Found {
    let least = reached.filter(|(key, _)| *key == read.key).map(|(_, version)| *version).max()?;
    (version < least).then(|| said(read, version, least))
}

/// Whoever died may have taken a removal along: what it was about, nobody is told.
fn agreement(history: &History, _: &Shape) -> Found {
    let lost = |key: u64| {
        let mut taken = history.removals.iter().filter(|removal| history.lives[removal.node].dead);
        taken.any(|removal| {
            removal.end.is_none_or(|(_, delivered)| !delivered)
                && removal.reached.iter().any(|(of, _)| *of == key)
        })
    };
    history.versions().filter(|(read, _)| read.last && !lost(read.key)).find_map(|(read, version)| {
        let least = history.version_at(read.key, read.began);
        let same = version == least || is_absent(read.key, least) && is_absent(read.key, version);
        (!same).then(|| said(read, version, least))
    })
}

/// Two loads of a key may meet on a node only where the first one's flight was taken out: not before it was opened, which is not
/// longer ago than a flight may wait before it loads.
fn one_load_a_node(history: &History, shape: &Shape) -> Found {
    let waits = shape.flight() - shape.hard_timeout;
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
fn one_load_a_fleet(history: &History, shape: &Shape) -> Found {
    if !shape.calm {
        return None;
    }
    let removed = |key: u64, from: u64, to: u64| {
        let of_key = |removal: &&Removal| removal.reached.iter().any(|(of, _)| *of == key);
        history.removals.iter().filter(of_key).any(|removal| {
            let over = removal.end.map_or(removal.began.at + 100, |(end, _)| end.at);
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

/// A load that failed answers who waits for its batch: that may be who came after it had failed.
fn no_failure(history: &History, shape: &Shape) -> Found {
    history.answers().find_map(|(read, end, seen)| {
        let Seen::Failed(fault) = seen else { return None };
        let batch = shape.hard_timeout + shape.retry_after + history.lives[read.node].paused;
        let met = |load: &&Load| {
            let over = load.end.is_some_and(|(over, _)| over.at + batch < read.began.at);
            load.node == read.node && load.began.number < end.number && !over
        };
        let failed = |load: &Load| load.end.is_none_or(|(_, end)| end.err().is_some_and(|own| own == fault));
        let explained = fault != Fault::Other && history.loads.iter().filter(met).any(failed);
        let (node, at, key) = (read.node, read.began.at, read.key);
        (!explained).then(|| (end.at, format!("node {node}, at {at} ms, cannot read key {key}: {fault:?}")))
    })
}

fn no_hang(history: &History, shape: &Shape) -> Found {
    let alive = history.reads.iter().filter(|read| !history.lives[read.node].dead);
    alive.into_iter().find_map(|read| {
        let most = 2 * shape.flight() + history.lives[read.node].paused;
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
fn no_immortal(history: &History, shape: &Shape) -> Found {
    if history.clock_jumped {
        return None;
    }
    // Its load may end late, its fill arrive late, and so may the reply that promotes it.
    let longest = shape.ttl + shape.grace() + shape.hard_timeout + 2 * shape.shared_timeout + 2 * 140;
    history.versions().find_map(|(read, version)| {
        let next =
            history.writes.iter().find(|write| write.key == read.key && write.version == version + 1)?;
        let paused = history.lives.iter().map(|life| life.paused).sum::<u64>();
        let late = next.at.at + longest + paused < read.began.at;
        late.then(|| said(read, version, version + 1))
    })
}
