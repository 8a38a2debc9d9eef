//! What happened: the part of a run that promises are checked on.

/// A moment: the time, and a number that orders what happened at the same time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stamp {
    pub(super) at: u64, // milliseconds from the start
    pub(super) number: u64,
}

/// What a read got.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Seen {
    Value {
        key: u64,
        version: u64,
    },
    Absent,
    /// `peek` found nothing to serve.
    Nothing,
    Failed(Fault),
    /// The caller went away.
    Left,
}

/// Why a read has no answer, or a load no value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    Error,
    Panic,
    Timeout,
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
    pub(super) paused: u64, // milliseconds in all
}

#[derive(Debug, Default)]
pub(super) struct History {
    pub(super) lives: Vec<Life>,
    pub(super) writes: Vec<Write>,
    pub(super) reads: Vec<Read>,
    pub(super) removals: Vec<Removal>,
    pub(super) loads: Vec<Load>,
    pub(super) clock_jumped: bool,
}

impl Read {
    pub(super) fn answer(&self) -> Option<(Stamp, Seen)> {
        self.end.filter(|(_, seen)| !matches!(seen, Seen::Left | Seen::Nothing))
    }
}
