//! What happened: the part of a run that promises are checked on.

use std::time::Duration;

/// A moment: the time, and a number that orders what happened at the same time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stamp {
    pub(super) at: u64, // milliseconds from the start
    pub(super) number: u64,
}

/// What a read got.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seen {
    /// A value, which says what it is.
    Value {
        /// Whose value it is.
        key: u64,
        /// Which of the source's versions: the first is 1.
        version: u64,
    },
    /// That there is nothing.
    Absent,
    /// `peek` found nothing to serve.
    Nothing,
    /// An error.
    Failed(Fault),
    /// The caller went away.
    Left,
}

/// Why a read has no answer, or a load no value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The loader failed.
    Error,
    /// The loader panicked.
    Panic,
    /// The load was given up.
    Timeout,
    /// What no loader explains.
    Other,
}

#[derive(Debug, Clone)]
pub(super) struct Read {
    pub(super) node: usize,
    pub(super) key: u64,
    pub(super) began: Stamp,
    pub(super) end: Option<(Stamp, Seen)>,
    pub(super) last: bool, // after everything is well again
}

/// Versions that were in the source when their removal was asked for, and how that went.
#[derive(Debug, Clone)]
pub(super) struct Removal {
    pub(super) node: usize,
    pub(super) reached: Vec<(u64, u64)>, // key, version
    pub(super) began: Stamp,
    pub(super) end: Option<(Stamp, bool)>, // whether it was delivered
}

#[derive(Debug, Clone)]
pub(super) struct Load {
    pub(super) node: usize,
    pub(super) key: u64,
    pub(super) fenced: Option<u64>, // when the node last fenced its key
    pub(super) began: Stamp,
    pub(super) end: Option<(Stamp, Result<(), Fault>)>,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Write {
    pub(super) key: u64,
    pub(super) version: u64,
    pub(super) at: Stamp,
}

/// A node as it lived: one that dies is another from then on.
#[derive(Debug, Clone, Default)]
pub(super) struct Life {
    pub(super) dead: bool,
    pub(super) paused: u64,             // milliseconds in all
    pub(super) stalls: Vec<(u64, u64)>, // of a real process: from when until when
}

/// What happened in a fleet, to be held against the promises by [`check`](Self::check).
///
/// A simulation keeps one of its own. Processes that ran for real write down what they did, by one monotonic clock, and whoever
/// gathers that puts it in here. Times are since any moment before the first of them; an action begins no later, and ends no
/// earlier, than it says. Keys are numbers, and their values versions, which the source counts from 1.
///
/// ```
/// use std::time::Duration;
/// use offgridflow_cache::sim::{Bounds, History, Seen};
///
/// let ms = Duration::from_millis;
/// let bounds = Bounds { max_staleness: ms(300), slack: ms(100), ..Bounds::default() };
/// let mut history = History::default();
/// let (writer, reader) = (history.node(), history.node());
/// history.wrote(7, 2, ms(10));
/// history.removal(writer, vec![(7, 2)], ms(11), Some((ms(15), true)));
/// let old = Some(Seen::Value { key: 7, version: 1 });
/// history.read(reader, 7, ms(200), old.map(|old| (ms(201), old)), false);
/// assert!(history.check(&bounds).is_ok());                                  // within Δ
/// history.read(reader, 7, ms(500), old.map(|old| (ms(501), old)), false);
/// assert!(history.check(&bounds).unwrap_err().promise.starts_with("(2)"));
/// ```
#[derive(Debug, Default)]
pub struct History {
    pub(super) lives: Vec<Life>,
    pub(super) writes: Vec<Write>,
    pub(super) reads: Vec<Read>,
    pub(super) removals: Vec<Removal>,
    pub(super) loads: Vec<Load>, // in time order
    pub(super) clock_jumped: bool,
}

impl Life {
    /// How long it stood still between two times.
    pub(super) fn stood_still(&self, from: u64, to: u64) -> u64 {
        let meets = |(began, over): &(u64, u64)| (*over).min(to).saturating_sub((*began).max(from));
        self.stalls.iter().map(meets).sum()
    }
}

impl Read {
    pub(super) fn answer(&self) -> Option<(Stamp, Seen)> {
        self.end.filter(|(_, seen)| !matches!(seen, Seen::Left | Seen::Nothing))
    }
}

/// Gathering what happened elsewhere.
impl History {
    /// One more node; its number. A node that dies and comes back is another.
    pub fn node(&mut self) -> usize {
        self.lives.push(Life::default());
        self.lives.len() - 1
    }

    /// The node ended before its time: nothing is asked of it, and what it had not delivered is lost.
    ///
    /// # Panics
    /// When there is no such node.
    pub fn died(&mut self, node: usize) {
        self.lives[node].dead = true;
    }

    /// The node stood still for so long, until then: its loads and reads may take that much longer.
    ///
    /// # Panics
    /// When there is no such node.
    pub fn stalled(&mut self, node: usize, time: Duration, until: Duration) {
        let (life, until) = (&mut self.lives[node], millis(until));
        life.paused += millis(time);
        life.stalls.push((until.saturating_sub(millis(time)), until));
    }

    /// The source got a version; it was there after `at`.
    pub fn wrote(&mut self, key: u64, version: u64, at: Duration) {
        self.writes.push(Write { key, version, at: at.into() });
    }

    /// A read, and when it ended with what; `last` after all was well again for longer than Δ.
    ///
    /// # Panics
    /// When there is no such node.
    pub fn read(
        &mut self,
        node: usize,
        key: u64,
        began: Duration,
        end: Option<(Duration, Seen)>,
        last: bool,
    ) {
        assert!(node < self.lives.len(), "a node of this history");
        let end = end.map(|(at, seen)| (at.into(), seen));
        self.reads.push(Read { node, key, began: began.into(), end, last });
    }

    /// An invalidation of what was in the source in these versions (key, version) when it began, and whether it was delivered.
    ///
    /// # Panics
    /// When there is no such node.
    pub fn removal(
        &mut self,
        node: usize,
        reached: Vec<(u64, u64)>,
        began: Duration,
        end: Option<(Duration, bool)>,
    ) {
        assert!(node < self.lives.len(), "a node of this history");
        let end = end.map(|(at, delivered)| (at.into(), delivered));
        self.removals.push(Removal { node, reached, began: began.into(), end });
    }

    /// A load, how it ended, and when its node last took the key's flight out, by [`Cache::last_fenced`](crate::Cache::last_fenced).
    ///
    /// # Panics
    /// When there is no such node.
    pub fn load(
        &mut self,
        node: usize,
        key: u64,
        fenced: Option<Duration>,
        began: Duration,
        end: Option<(Duration, Result<(), Fault>)>,
    ) {
        assert!(node < self.lives.len(), "a node of this history");
        let end = end.map(|(at, how)| (at.into(), how));
        let load = Load { node, key, fenced: fenced.map(millis), began: began.into(), end };
        let place = self.loads.partition_point(|other| other.began.number <= load.began.number);
        self.loads.insert(place, load); // in time order
    }

    /// Reads that were written down.
    #[must_use]
    pub fn reads(&self) -> usize {
        self.reads.len()
    }
}

impl From<Duration> for Stamp {
    /// One clock for all: its nanoseconds are an order.
    fn from(at: Duration) -> Self {
        Self { at: millis(at), number: u64::try_from(at.as_nanos()).unwrap_or(u64::MAX) }
    }
}

pub(super) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
