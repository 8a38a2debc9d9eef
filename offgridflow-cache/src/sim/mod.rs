//! Seeded simulation: several nodes over one store, on simulated time, with everything going wrong that the protocol allows for.
//! Needs the feature `sim`.
//!
//! One seed is one run: three to five caches, their store behind a network that loses, repeats, delays, reorders and damages
//! messages, outages, stores that lose or restore their memory, clocks that jump, nodes that stand still or die, loaders that are
//! slow, fail, panic or never return, callers that go away, nodes of two schemas beside each other. The history of the run is then held against every promise of this
//! crate. A run that breaks one is shrunk to the steps and mishaps that it takes, and printed.
//!
//! ```
//! use offgridflow_cache::InProcess;
//! use offgridflow_cache::sim::{self, Mutant, Settings};
//!
//! for seed in 0..5 {
//!     sim::run(seed, &Settings::default(), InProcess::new).unwrap(); // or a store of your own
//! }
//! // A protocol without one of its mechanisms is found out.
//! let broken = Settings::default().mutant(Mutant::BornAtLanding);
//! let failure = (0..100).find_map(|seed| sim::run(seed, &broken, InProcess::new).err()).unwrap();
//! println!("{failure}");
//! ```
//!
//! Fleets of processes over a real store cannot be replayed, but what they did can be held against the same promises: [`History`].
//!
//! Seeds in eight equal classes: in one of them no message is lost, and the fleet loads a key once; in the others about thirty in a
//! hundred messages meet a mishap.

mod check;
#[cfg(feature = "moka")]
mod composition;
mod connected;
mod dice;
mod history;
mod mutant;
mod near;
mod network;
mod node;
mod plan;
mod play;
mod shrink;
mod source;
mod store;
mod unfenced;
mod world;

use std::fmt;

pub use self::check::{Bounds, Broken};
pub use self::history::{Fault, History, Seen};
pub use self::mutant::Mutant;
pub(crate) use self::mutant::Probe;
use self::plan::Shape;
use self::play::{Plan, play};
pub use self::store::{Notice, Store};
use self::world::Mishaps;

/// How a run is made.
#[derive(Debug, Clone)]
#[must_use]
pub struct Settings {
    steps: usize,
    mishaps: u64,
    subject: Subject,
    shrinks: bool,
}

/// What is simulated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Subject {
    Cache(Option<Mutant>),
    #[cfg(feature = "moka")]
    Composition,
}

impl Subject {
    fn mutant(self) -> Option<Mutant> {
        match self {
            Self::Cache(mutant) => mutant,
            #[cfg(feature = "moka")]
            Self::Composition => None,
        }
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self { steps: 1_600, mishaps: 30, subject: Subject::Cache(None), shrinks: true }
    }
}

impl Settings {
    /// Reads, writes and faults of a run, one in about three milliseconds. Default: 1 600.
    pub fn steps(mut self, steps: usize) -> Self {
        self.steps = steps;
        self
    }

    /// How many of a hundred messages are lost, repeated, late or damaged. Default: 30.
    pub fn mishaps(mut self, percent: u8) -> Self {
        self.mishaps = u64::from(percent.min(100));
        self
    }

    /// Switches a mechanism of the protocol off. Default: none.
    pub fn mutant(mut self, mutant: Mutant) -> Self {
        self.subject = Subject::Cache(Some(mutant));
        self
    }

    /// In place of the cache, what is usually composed of moka's `get_with`, the shared store and messages: the control.
    #[cfg(feature = "moka")]
    #[cfg_attr(docsrs, doc(cfg(feature = "moka")))]
    pub fn composition(mut self) -> Self {
        self.subject = Subject::Composition;
        self
    }

    /// Whether a failure is shrunk before it is reported, which takes some hundred replays. Default: yes.
    pub fn shrink(mut self, shrinks: bool) -> Self {
        self.shrinks = shrinks;
        self
    }
}

/// A run that kept every promise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Report {
    /// Reads that were checked.
    pub reads: u64,
    /// Messages and loads that met a mishap.
    pub mishaps: u64,
}

/// A run that broke a promise. `Display` prints it with its trace.
#[derive(Debug, Clone, thiserror::Error)]
pub struct Failure {
    /// The seed: the same one fails again.
    pub seed: u64,
    /// The promise.
    pub promise: &'static str,
    /// How it was broken.
    pub how: String,
    /// What happened, a line an event: all that is left after shrinking.
    pub trace: Vec<String>,
    left: (usize, usize), // steps left, of so many
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (left, of) = self.left;
        writeln!(f, "seed {}: broken: {}\n  {}", self.seed, self.promise, self.how)?;
        writeln!(f, "  {left} of {of} steps are enough:")?;
        self.trace.iter().try_for_each(|line| writeln!(f, "  {line}"))
    }
}

/// Runs `seed` over the store that `store` makes, and checks what happened.
///
/// # Errors
/// When a promise was broken.
///
/// # Panics
/// Inside a tokio runtime: a run has one of its own.
pub fn run<S: Store>(seed: u64, settings: &Settings, store: impl Fn() -> S) -> Result<Report, Failure> {
    let shape = Shape::of(seed);
    let steps = plan::steps(seed, &shape, settings.steps);
    let mishaps = Mishaps::Share(settings.mishaps);
    let plan = Plan { seed, shape, steps, mishaps, subject: settings.subject };
    let ran = play(&plan, store(), false);
    let Some(broken) = ran.broken else {
        return Ok(Report { reads: ran.reads, mishaps: ran.mishaps.len() as u64 });
    };
    let least = if settings.shrinks {
        shrink::shrink(&plan, &ran.mishaps, settings.mishaps, broken.promise, &store)
    } else {
        plan.clone()
    };
    let last = play(&least, store(), true);
    let left = (least.steps.len(), plan.steps.len());
    let (how, at) = last.broken.map_or((broken.how, u64::MAX), |broken| (broken.how, broken.at));
    let told = |(when, line): &(u64, String)| *when <= at && !line.ends_with("nothing new");
    let trace =
        last.notes.into_iter().filter(told).map(|(when, line)| format!("{when:>6} ms  {line}")).collect();
    Err(Failure { seed, promise: broken.promise, how, trace, left })
}
