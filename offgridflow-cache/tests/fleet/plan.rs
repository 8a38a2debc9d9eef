//! What a seed is: the settings of its nodes, what they do, and what goes wrong. Every process draws the same.

use std::time::Duration;

use offgridflow_cache::sim::Bounds;

use crate::stage::Variant;

/// Processes of a fleet.
pub(crate) const PLACES: usize = 4;
pub(crate) const KEYS: u64 = 5;
/// How long a fleet is at work, in milliseconds.
pub(crate) const LASTS: u64 = 1_200;
const STEPS: usize = 480;
const DELTA: u64 = 300;
/// What reads may be older than Δ, and everything else later than it is bound to be.
const SLACK: Duration = Duration::from_millis(100);

/// SplitMix64 (Steele, Lea & Flood 2014).
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn of(seed: u64, what: u64) -> Self {
        let mut dice = Self(seed.wrapping_mul(0xD134_2543_DE82_EF95) ^ what);
        dice.draw();
        dice
    }

    fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut draw = self.0;
        draw = (draw ^ (draw >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        draw = (draw ^ (draw >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        draw ^ (draw >> 31)
    }

    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        self.draw() % limit
    }

    fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.below(high - low)
    }

    pub(crate) fn percent(&mut self, share: u64) -> bool {
        self.below(100) < share
    }

    fn place(&mut self) -> usize {
        usize::try_from(self.below(PLACES as u64)).unwrap()
    }

    fn one_of<T: Copy>(&mut self, all: &[T]) -> T {
        all[usize::try_from(self.below(all.len() as u64)).unwrap()]
    }
}

/// Whether the source has nothing of a key in this version: of the last key, nothing in every third.
pub(crate) fn is_absent(key: u64, version: u64) -> bool {
    key == KEYS - 1 && version.is_multiple_of(3)
}

pub(crate) fn tag(key: u64) -> String {
    format!("tag {}", key % 2)
}

/// What is the same for a whole run, in milliseconds.
#[derive(Debug, Clone)]
pub(crate) struct Shape {
    pub(crate) calm: bool, // nothing goes wrong: then there is one load a fleet
    pub(crate) delta: u64,
    pub(crate) shared_timeout: u64,
    pub(crate) lease_wait: u64,
    pub(crate) load_timeout: u64,
    pub(crate) ttl: u64,
    pub(crate) revalidate: u64,
    pub(crate) on_error: u64,
    pub(crate) soft_timeout: Option<u64>,
    pub(crate) retry_after: u64,
    pub(crate) suspects: bool,
    pub(crate) over_moka: bool,
    pub(crate) hasty: bool, // connects again at once, not by the policy of `RedisBackend::connect`
}

impl Shape {
    pub(crate) fn of(seed: u64, variant: Variant) -> Self {
        let mut dice = Dice::of(seed, 1);
        let calm = seed % 8 == 7 && variant != Variant::Acl;
        let (revalidate, on_error) = (dice.one_of(&[0, 100, 300]), dice.one_of(&[0, 400]));
        Self {
            calm,
            delta: DELTA,
            shared_timeout: if calm { 1_000 } else { dice.one_of(&[120, 120, 120, 600]) },
            lease_wait: if calm { 1_000 } else { 80 },
            load_timeout: if calm { 2_000 } else { 400 },
            ttl: if calm { 60_000 } else { dice.one_of(&[250, 800, 60_000]) },
            revalidate,
            on_error,
            soft_timeout: (on_error > 0 && dice.percent(50)).then_some(30),
            retry_after: dice.one_of(&[0, 30]),
            suspects: dice.percent(12),
            over_moka: dice.percent(30),
            hasty: dice.percent(75),
        }
    }

    /// What a fleet of this shape is held to.
    pub(crate) fn bounds(&self) -> Bounds {
        let ms = Duration::from_millis;
        Bounds {
            max_staleness: ms(self.delta),
            ttl: ms(self.ttl),
            grace: ms(self.revalidate.max(self.on_error)),
            load_timeout: ms(self.load_timeout),
            shared_timeout: ms(self.shared_timeout),
            lease_wait: ms(self.lease_wait),
            retry_after: ms(self.retry_after),
            slack: SLACK,
            suspects: self.suspects,
            calm: self.calm,
            absent: is_absent,
        }
    }
}

#[derive(Debug, Clone)]
pub(crate) struct Step {
    pub(crate) at: u64, // milliseconds from the start
    pub(crate) place: usize,
    pub(crate) act: Act,
}

#[derive(Debug, Clone)]
pub(crate) enum Act {
    Read { key: u64, patience: Option<u64> },
    Peek { key: u64 },
    ReadMany,
    Update { key: u64, reach: Reach, patience: Option<u64> },
    Put { key: u64 },
    LeasedPut { key: u64, takes: u64 },
}

/// How an update of a key is invalidated.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Reach {
    Key,
    Tag,
    Everything,
}

impl Reach {
    pub(crate) fn covers(self, updated: u64, key: u64) -> bool {
        match self {
            Self::Key => updated == key,
            Self::Tag => updated % 2 == key % 2,
            Self::Everything => true,
        }
    }
}

/// What all nodes do, in time order.
pub(crate) fn steps(seed: u64, shape: &Shape, variant: Variant) -> Vec<Step> {
    let mut dice = Dice::of(seed, 2);
    let mut steps = Vec::new();
    for (at, fault) in faults(seed, shape, variant) {
        around(&mut dice, at, fault, &mut steps);
    }
    while steps.len() < STEPS {
        let at = dice.below(LASTS);
        match dice.below(3) {
            _ if shape.calm => stampede(&mut dice, at, &mut steps),
            0 => episode(&mut dice, at, &mut steps),
            _ => (0..10).for_each(|_| {
                let at = dice.below(LASTS);
                everyday(&mut dice, at, &mut steps);
            }),
        }
    }
    steps.retain(|step| step.at < LASTS);
    steps.sort_by_key(|step| step.at);
    steps
}

fn everyday(dice: &mut Dice, at: u64, steps: &mut Vec<Step>) {
    let (place, key) = (dice.place(), dice.below(KEYS));
    let patience = dice.percent(10).then(|| 1 + dice.below(5));
    let reach = match dice.below(20) {
        0 => Reach::Everything,
        1..5 => Reach::Tag,
        _ => Reach::Key,
    };
    let act = match dice.below(40) {
        0..22 => Act::Read { key, patience },
        22..28 => Act::Peek { key },
        28..30 => Act::ReadMany,
        30..38 => Act::Update { key, reach, patience },
        38 => Act::Put { key },
        _ => Act::LeasedPut { key, takes: dice.below(30) },
    };
    steps.push(Step { at, place, act });
}

/// One update: its key is read before, by its own node at once, and by another around Δ later. At times another node puts the key
/// under a lease across it.
fn episode(dice: &mut Dice, at: u64, steps: &mut Vec<Step>) {
    let (writer, other, key) = (dice.place(), dice.place(), dice.below(KEYS));
    let mut step = |at, place, act| steps.push(Step { at, place, act });
    let read = || Act::Read { key, patience: None };
    step(at.saturating_sub(dice.below(50)), writer, read());
    step(at.saturating_sub(dice.below(50)), other, read());
    step(at, writer, Act::Update { key, reach: Reach::Key, patience: None });
    if dice.percent(30) {
        let (before, takes) = (dice.between(8, 40), dice.between(25, 70));
        step(at.saturating_sub(before), other, Act::LeasedPut { key, takes });
    }
    if dice.percent(30) {
        let soon = at + dice.between(3, 10); // while a read of before is being loaded
        step(soon - 2, writer, read());
        step(soon, writer, Act::Update { key, reach: Reach::Key, patience: None });
    }
    (0..6).for_each(|_| step(at + dice.below(100), writer, read()));
    (0..4).for_each(|_| step(at + DELTA + 100 + dice.below(150), other, read()));
}

/// While something goes wrong, a key is updated that a node has near: the node that it goes wrong with, if it is with one.
fn around(dice: &mut Dice, at: u64, fault: Fault, steps: &mut Vec<Step>) {
    let reader = match fault {
        Fault::Cut(place) | Fault::Stuck(place) | Fault::Mute(place) | Fault::Stop(place) => place,
        Fault::Flush | Fault::Restart(_) | Fault::Freeze(_) | Fault::Deafen => dice.place(),
        _ => return,
    };
    let (writer, key) = ((reader + 1 + dice.place() % (PLACES - 1)) % PLACES, dice.below(KEYS));
    let mut step = |at, place, act| steps.push(Step { at, place, act });
    let read = || Act::Read { key, patience: None };
    (0..2).for_each(|_| step(at.saturating_sub(dice.below(60)), reader, read()));
    step(at + dice.below(40), writer, Act::Update { key, reach: Reach::Key, patience: None });
    (0..6).for_each(|_| step(at + DELTA + 100 + dice.below(250), reader, read()));
}

/// Every node wants one key at once, and now and then something is written.
fn stampede(dice: &mut Dice, at: u64, steps: &mut Vec<Step>) {
    let key = dice.below(KEYS);
    let read = || Act::Read { key, patience: None };
    steps.extend((0..PLACES).map(|place| Step { at: at + dice.below(4), place, act: read() }));
    if dice.percent(30) {
        let at = dice.below(LASTS);
        everyday(dice, at, steps);
    }
}

/// What goes wrong, or ends.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Fault {
    /// The link of a place is cut.
    Cut(usize),
    /// Nothing passes it, and nobody is told.
    Stuck(usize),
    /// Answers no longer pass it; it is cut before they do again.
    Mute(usize),
    /// What passes it takes so many milliseconds.
    Slow(usize, u64),
    /// It is as good as new.
    Restore(usize),
    /// The process stands still, and goes on.
    Stop(usize),
    Continue(usize),
    /// The process is killed, and another takes its place.
    Kill(usize),
    /// The store, or one node of it, stands still, and goes on.
    Freeze(usize),
    Thaw(usize),
    /// It is killed, and started again without a memory.
    Restart(usize),
    /// Everything in it is gone.
    Flush,
    /// Whoever listens for messages has to connect again.
    Deafen,
    /// Scripts are refused to a place, or allowed again. Only where users have rights.
    Deny(usize),
    Allow(usize),
}

/// When what goes wrong; nothing in a calm run.
pub(crate) fn faults(seed: u64, shape: &Shape, variant: Variant) -> Vec<(u64, Fault)> {
    if shape.calm {
        return Vec::new();
    }
    let mut dice = Dice::of(seed, 3);
    let mut faults = Vec::new();
    for _ in 0..2 + dice.below(5) {
        let (at, place) = (dice.below(LASTS - 100), dice.place());
        let (begin, end, longest) = match dice.below(20) {
            0..3 => (Fault::Cut(place), Some(Fault::Restore(place)), 400),
            3..5 => (Fault::Stuck(place), Some(Fault::Restore(place)), 600),
            5..7 => (Fault::Mute(place), Some(Fault::Restore(place)), 500),
            7..9 => (Fault::Slow(place, 2 + dice.below(40)), Some(Fault::Restore(place)), 800),
            9..11 => (Fault::Stop(place), Some(Fault::Continue(place)), 600),
            11..13 => (Fault::Kill(place), None, 0),
            13..15 => (Fault::Freeze(place), Some(Fault::Thaw(place)), 500),
            15..17 => (Fault::Flush, None, 0),
            17..18 if variant != Variant::Cluster || dice.percent(20) => (Fault::Restart(place), None, 0),
            _ if variant == Variant::Acl => (Fault::Deny(place), Some(Fault::Allow(place)), 600),
            _ => (Fault::Deafen, None, 0),
        };
        faults.push((at, begin));
        faults.extend(end.map(|end| (at + dice.between(30, longest), end)));
    }
    faults.sort_by_key(|(at, _)| *at);
    faults
}

/// To whom scripts are denied when it begins: one, two or all.
pub(crate) fn denied(seed: u64) -> [bool; PLACES] {
    let mut dice = Dice::of(seed, 4);
    let mut denied = [false; PLACES];
    match dice.below(10) {
        0..4 => denied[dice.place()] = true,
        4..6 => (0..2).for_each(|_| denied[dice.place()] = true),
        _ => denied = [true; PLACES],
    }
    denied
}
