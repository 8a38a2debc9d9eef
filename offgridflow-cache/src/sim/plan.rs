//! What is to happen: drawn from the seed before anything runs, so that steps can be left out and the rest replayed.

use std::fmt;
use std::time::Duration;

use super::check::Bounds;
use super::dice::Dice;
use super::source::is_absent;

pub(super) const KEYS: u64 = 5;
pub(super) const MS: Duration = Duration::from_millis(1);
/// Δ of every node.
pub(super) const DELTA_MS: u64 = 200;

/// What is the same for a whole run.
#[derive(Debug, Clone)]
pub(super) struct Shape {
    pub(super) nodes: usize,
    pub(super) calm: bool, // no mishaps: then there is one load a fleet
    pub(super) theme: Theme,
    pub(super) shared_timeout: u64,
    pub(super) lease_wait: u64,
    pub(super) hard_timeout: u64,
    pub(super) ttl: u64,
    pub(super) revalidate: u64, // past its ttl a value is served at once for so long
    pub(super) on_error: u64,   // and for so long when there is no better one
    pub(super) soft_timeout: Option<u64>,
    pub(super) retry_after: u64,
    pub(super) suspects: bool, // Δ is given up while the store is away
    pub(super) schemas: bool,  // every second node writes values of another schema
}

/// What happens in episodes, beside the update.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Theme {
    Updates,
    Deaths,
    Rollbacks,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Step {
    pub(super) at: u64, // milliseconds from the start
    pub(super) act: Act,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Act {
    Read { node: usize, key: u64, patience: Option<u64> },
    Peek { node: usize, key: u64 },
    ReadMany { node: usize },
    Update { node: usize, key: u64, reach: Reach, patience: Option<u64> },
    Put { node: usize, key: u64 },
    LeasedPut { node: usize, key: u64, takes: u64 },
    Outage { lasts: u64 },
    Cut { node: usize, lasts: u64 },
    Pause { node: usize, lasts: u64 },
    Starve { node: usize, lasts: u64 },
    Crash { node: usize },
    Empty,
    Save,
    Restart,
    Jump { millis: i64 },
}

/// How an update of a key is invalidated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reach {
    Key,
    Tag,
    Everything,
}

impl Shape {
    /// How long a value may be served after its ttl.
    pub(super) fn grace(&self) -> u64 {
        self.revalidate.max(self.on_error)
    }

    /// What a run of this shape is held to.
    pub(super) fn bounds(&self) -> Bounds {
        Bounds {
            max_staleness: Duration::from_millis(DELTA_MS),
            ttl: Duration::from_millis(self.ttl),
            grace: Duration::from_millis(self.grace()),
            load_timeout: Duration::from_millis(self.hard_timeout),
            shared_timeout: Duration::from_millis(self.shared_timeout),
            lease_wait: Duration::from_millis(self.lease_wait),
            retry_after: Duration::from_millis(self.retry_after),
            slack: Duration::ZERO,
            suspects: self.suspects,
            calm: self.calm,
            absent: is_absent,
        }
    }
}

impl Reach {
    pub(super) fn covers(self, updated: u64, key: u64) -> bool {
        match self {
            Self::Key => updated == key,
            Self::Tag => updated % 2 == key % 2,
            Self::Everything => true,
        }
    }
}

impl Shape {
    pub(super) fn of(seed: u64) -> Self {
        let mut dice = Dice::of(&[seed, 1]);
        let calm = seed % 8 == 7;
        let (revalidate, on_error) = ([0, 100, 300][dice.index(3)], [0, 400][dice.index(2)]);
        Self {
            nodes: 3 + dice.index(3),
            calm,
            theme: [Theme::Updates, Theme::Deaths, Theme::Rollbacks, Theme::Updates][dice.index(4)],
            shared_timeout: if !calm && dice.percent(25) { 1_000 } else { 50 },
            lease_wait: 60,
            hard_timeout: 300,
            ttl: if calm { 60_000 } else { [150, 600, 60_000][dice.index(3)] },
            revalidate,
            on_error,
            soft_timeout: (on_error > 0 && dice.percent(50)).then_some(20),
            retry_after: [0, 30][dice.index(2)],
            suspects: dice.percent(12),
            schemas: !calm && dice.percent(50),
        }
    }
}

/// The steps of a seed, in time order.
pub(super) fn steps(seed: u64, shape: &Shape, count: usize) -> Vec<Step> {
    let mut dice = Dice::of(&[seed, 2]);
    let lasts = 3 * count as u64;
    let mut steps =
        if shape.calm { stampedes(&mut dice, shape, count) } else { disorder(&mut dice, shape, count) };
    steps.iter_mut().for_each(|step| step.at = step.at.min(lasts));
    steps.sort_by_key(|step| step.at);
    steps
}

/// Everything at any time, and episodes in between.
fn disorder(dice: &mut Dice, shape: &Shape, count: usize) -> Vec<Step> {
    let lasts = 3 * count as u64;
    let mut steps = Vec::with_capacity(count + EPISODE);
    for _ in 0..count / 2 {
        steps.push(Step { at: dice.below(lasts), act: everyday(dice, shape) });
    }
    for _ in 0..2 + dice.index(6) {
        steps.push(Step { at: dice.below(lasts), act: fault(dice, shape) });
    }
    while steps.len() < count {
        let at = 50 + dice.below(lasts - 50);
        episode(dice, shape, at, &mut steps);
    }
    steps
}

/// Steps of an episode, at most.
const EPISODE: usize = 18;

/// What is about one update: it is read before, and by its own node at once, and by another after Δ. At times the node dies, or
/// the store falls back to what it was before, while the news of it is under way.
fn episode(dice: &mut Dice, shape: &Shape, at: u64, steps: &mut Vec<Step>) {
    let (node, other, key) = (dice.index(shape.nodes), dice.index(shape.nodes), dice.below(KEYS));
    let read = |node| Act::Read { node, key, patience: None };
    let mut step = |at, act| steps.push(Step { at, act });
    step(at - dice.below(50), read(node));
    step(at - dice.below(50), read(other));
    let turn = dice.below(4);
    let sweeps = shape.theme == Theme::Updates && turn >= 2;
    let reach = if sweeps { [Reach::Tag, Reach::Everything][dice.index(2)] } else { Reach::Key };
    step(at, Act::Update { node, key, reach, patience: None });
    match (shape.theme, turn) {
        (Theme::Deaths, 0) => step(at + dice.between(3, 40), Act::Crash { node }),
        (Theme::Updates, 0 | 1) => {
            let (before, takes) = (dice.between(8, 40), dice.between(25, 70));
            step(at - before, Act::LeasedPut { node: other, key, takes });
        }
        (Theme::Updates, _) => {
            let (before, after) = (dice.between(8, 14), dice.between(52, 80)); // it may be deferred by then
            step(at - before, Act::LeasedPut { node, key, takes: before + after });
        }
        (Theme::Rollbacks, 0) => {
            step(at - dice.below(10), Act::Save);
            step(at + dice.between(3, 100), Act::Restart);
        }
        (Theme::Rollbacks, 1 | 2) => {
            let restart = at + dice.between(2, 10); // before it is read again
            step(at - dice.below(4), Act::Save);
            step(restart, Act::Restart);
            (0..3).for_each(|_| step(restart + dice.below(6), read(node))); // before anybody looks for news
        }
        _ => {}
    }
    (0..7).for_each(|_| step(at + dice.below(150), read(node)));
    (0..3).for_each(|_| step(at + DELTA_MS + dice.below(100), read(other)));
}

/// Every node wants one key at once, again and again, and now and then something is written.
fn stampedes(dice: &mut Dice, shape: &Shape, count: usize) -> Vec<Step> {
    let lasts = 3 * count as u64;
    let mut steps = Vec::with_capacity(count + shape.nodes);
    while steps.len() < count {
        let (at, key) = (dice.below(lasts), dice.below(KEYS));
        let read = |node| Act::Read { node, key, patience: None };
        steps.extend((0..shape.nodes).map(|node| Step { at: at + dice.below(4), act: read(node) }));
        if dice.percent(30) {
            steps.push(Step { at: dice.below(lasts), act: everyday(dice, shape) });
        }
    }
    steps
}

fn everyday(dice: &mut Dice, shape: &Shape) -> Act {
    let (node, key) = (dice.index(shape.nodes), dice.below(KEYS));
    let patience = dice.percent(10).then(|| 1 + dice.below(5));
    let reach = match dice.below(20) {
        0 => Reach::Everything,
        1..5 => Reach::Tag,
        _ => Reach::Key,
    };
    match dice.below(40) {
        0..22 => Act::Read { node, key, patience },
        22..28 => Act::Peek { node, key },
        28..30 => Act::ReadMany { node },
        30..38 => Act::Update { node, key, reach, patience },
        38 => Act::Put { node, key },
        _ => Act::LeasedPut { node, key, takes: dice.below(30) },
    }
}

fn fault(dice: &mut Dice, shape: &Shape) -> Act {
    let node = dice.index(shape.nodes);
    match dice.below(20) {
        0..3 => Act::Outage { lasts: dice.between(20, 400) },
        3..6 => Act::Cut { node, lasts: dice.between(20, 600) },
        6..8 => Act::Pause { node, lasts: dice.between(20, 500) },
        8..11 => Act::Starve { node, lasts: dice.between(100, 700) },
        11..14 => Act::Crash { node },
        14..17 => Act::Empty,
        _ => Act::Jump { millis: i64::try_from(dice.below(2_000)).unwrap_or(0) - 1_000 },
    }
}

impl fmt::Display for Act {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Outage { lasts } => write!(f, "the store is away for {lasts} ms"),
            Self::Cut { node, lasts } => write!(f, "node {node} cannot reach the store for {lasts} ms"),
            Self::Pause { node, lasts } => write!(f, "node {node} stands still for {lasts} ms"),
            Self::Starve { node, lasts } => {
                write!(f, "the polling task of node {node} starves for {lasts} ms")
            }
            Self::Crash { node } => write!(f, "node {node} dies, another takes its place"),
            Self::Empty => f.write_str("the store loses its memory"),
            Self::Save => f.write_str("the store writes its memory to a file"),
            Self::Restart => f.write_str("the store ends, and starts again from its file"),
            Self::Jump { millis } => write!(f, "the store's clock jumps by {millis} ms"),
            other => write!(f, "{other:?}"),
        }
    }
}
