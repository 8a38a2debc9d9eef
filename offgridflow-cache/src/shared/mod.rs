//! The shared tier: bytes between processes, with a lease for whoever has to fill a missing key.

mod in_process;
#[cfg(feature = "redis")]
mod redis;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::watch;

#[cfg(feature = "sim")]
pub(crate) use self::in_process::Asks;
pub use self::in_process::InProcess;
#[cfg(feature = "redis")]
pub use self::redis::RedisBackend;
use crate::{BackendError, Key};

/// Times are cut down to this, which stands for ever: a clock counts farther, and so does a script, but not without end.
const LONGEST: Duration = Duration::from_secs(100 * 365 * 24 * 3_600);

/// A store that many processes share: bytes under keys, with a lease for whoever has to fill a missing one.
///
/// The cache asks with [`get_or_lease`](Self::get_or_lease), loads, and fills with the lease. Any number of nodes do so at
/// once. `remove` kills leases: a fill that comes later is [`Fenced`](Filled::Fenced). A dropped future leaves a command that
/// was carried out or not, perhaps later; a lease that nobody uses ends by itself. Losing values or leases at any time is safe;
/// losing removals is not, unless [`news`](Self::news) shows another [`epoch`](Position::epoch) and what was stored before is
/// not found again.
///
/// A key has a [name](Key::name) and a [schema](Key::schema), of which nodes of several may share a namespace. Removals go by name and
/// concern every schema. Values and leases are best kept for each schema: who finds a frame of another one cannot read it, and replaces it as
/// it would a damaged one, to be replaced in turn.
#[async_trait]
pub trait CacheBackend: fmt::Debug + Send + Sync + 'static {
    /// Looks up `keys`, all of one namespace, in one round trip, answering in their order; a miss carries a lease.
    /// An unreachable store is an `Err`, never a miss; one unreadable key is [`Lookup::Failed`].
    async fn get_or_lease(&self, keys: &[Key], terms: &Terms) -> Result<Vec<Lookup>, BackendError>;

    /// Stores what its lease still allows, or gives leases back, answering in order; all keys are of one namespace.
    async fn fill_if(&self, fills: Vec<Fill>) -> Result<Vec<Filled>, BackendError>;

    /// Removes a scope, kills its leases, and writes that down in the namespace's sequence. Whoever reads after this returned
    /// sees nothing older.
    async fn remove(&self, namespace: &str, scope: Scope) -> Result<(), BackendError>;

    /// What was removed since `seen`, in order. What was removed twice is told twice, unless a gap is admitted: who puts a value under
    /// a lease sees by it that somebody else was there.
    async fn news(&self, namespace: &str, seen: Option<Position>) -> Result<News, BackendError>;

    /// Changes when something was removed from the namespace, if the store can tell: whoever follows it then looks for news at
    /// once, in place of a little later. Messages may be lost, late and too many. Default: none.
    fn messages(&self, _namespace: &str) -> Option<watch::Receiver<()>> {
        None
    }

    /// What the store can do.
    fn caps(&self) -> Caps;

    /// What it did so far.
    fn stats(&self) -> BackendStats;
}

/// On what terms leases are given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Terms {
    /// How long a lease lives.
    pub lease: Duration,
    /// Whether keys whose value is still fresh are to be loaded again: a lease goes with the value, as if it were stale.
    pub early: bool,
    /// A lease that was given longer ago is taken over: it no longer fills. Default: none is.
    pub patience: Duration,
}

impl Terms {
    /// Leases that live for `lease`.
    #[must_use]
    pub const fn new(lease: Duration) -> Self {
        Self { lease, early: false, patience: Duration::MAX }
    }

    /// Takes over leases that were given longer ago.
    #[must_use]
    pub const fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// For values that are to be loaded again although they are fresh.
    #[must_use]
    pub const fn early(mut self) -> Self {
        self.early = true;
        self
    }
}

/// The answer for one key.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Lookup {
    /// A value that is valid.
    Fresh(Entry),
    /// A value to be replaced: past its ttl and within its grace, or asked for [early](Terms::early). Who got a lease may fill; without
    /// one somebody else is loading. A value asked for early while another loads is [`Fresh`](Self::Fresh).
    Stale(Entry, Option<Lease>),
    /// Nothing valid; who got this may fill.
    Miss(Lease),
    /// Nothing valid, and somebody else is loading; ask again.
    Busy,
    /// This key cannot be read; the others can.
    Failed,
}

/// A value in the store, or the absence of one: to the store both are a frame with a ttl and tags.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Entry {
    /// The frame, opaque to the store.
    pub frame: Bytes,
    /// How long it is still fresh: in a fill, its ttl.
    pub left: Duration,
    /// In an answer, for how long it has not been fresh.
    pub stale: Duration,
    /// In a fill, how long it is to be kept after that.
    pub grace: Duration,
    /// Its tags.
    pub tags: Vec<Arc<str>>,
}

impl Entry {
    /// A frame that is fresh for `left`, and not kept any longer.
    #[must_use]
    pub const fn new(frame: Bytes, left: Duration, tags: Vec<Arc<str>>) -> Self {
        Self { frame, left, stale: Duration::ZERO, grace: Duration::ZERO, tags }
    }

    /// Kept for `grace` after it is no longer fresh, to be served stale.
    #[must_use]
    pub const fn with_grace(mut self, grace: Duration) -> Self {
        self.grace = grace;
        self
    }

    /// One that has not been fresh for `stale`.
    #[must_use]
    pub const fn stale_for(mut self, stale: Duration) -> Self {
        self.stale = stale;
        self
    }
}

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (bytes, tags) = (self.frame.len(), self.tags.len());
        write!(f, "Entry({bytes} bytes, {:?} left, {tags} tags)", self.left)
    }
}

/// The right to fill one key, until it is removed or the lease runs out.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Lease {
    /// Unique to the lease.
    pub token: Bytes,
    /// Where the sequence stood when it was given: tags removed later invalidate what it fills.
    pub born: u64,
}

impl Lease {
    /// The right that goes with `token`.
    #[must_use]
    pub const fn new(token: Bytes, born: u64) -> Self {
        Self { token, born }
    }
}

impl fmt::Debug for Lease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lease").field("born", &self.born).finish_non_exhaustive()
    }
}

/// What to do with a lease.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Fill {
    /// The key.
    pub key: Key,
    /// The lease that [`CacheBackend::get_or_lease`] gave for it.
    pub lease: Lease,
    /// What to store.
    pub with: FillWith,
}

impl Fill {
    /// Uses `lease` of `key` for `with`.
    #[must_use]
    pub const fn new(key: Key, lease: Lease, with: FillWith) -> Self {
        Self { key, lease, with }
    }
}

/// What a lease is used for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FillWith {
    /// Store this; `left` is its ttl.
    Entry(Entry),
    /// The load failed: let somebody else try.
    Release,
}

/// What became of a fill.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Filled {
    /// Stored, or released.
    Stored,
    /// The key was removed, or the lease ran out, meanwhile: nothing was stored.
    Fenced,
}

/// What to remove.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scope {
    /// These keys.
    Keys(Vec<Key>),
    /// Everything that carries one of these tags.
    Tags(Vec<Arc<str>>),
    /// Everything in the namespace.
    Namespace,
}

/// How far one has followed a namespace's sequence of removals.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Position {
    /// The life of the store's memory; a store that lost it has another.
    pub epoch: Bytes,
    /// The number of the last removal seen.
    pub sequence: u64,
}

/// What happened since a position.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct News {
    /// Where one stands after it.
    pub position: Position,
    /// The removals in between, in order; `None` when they are not all known any more: anything may have been removed.
    pub changes: Option<Vec<Change>>,
}

/// One removal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// The key of this name.
    Key(Bytes),
    /// What carries this tag.
    Tag(Arc<str>),
    /// Everything in the namespace.
    Namespace,
}

/// What a store can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Caps {
    /// Its name, for messages.
    pub name: &'static str,
    /// Whether it gives leases; without them it is only read from.
    pub leases: bool,
}

impl Caps {
    /// A store of this name.
    #[must_use]
    pub const fn new(name: &'static str, leases: bool) -> Self {
        Self { name, leases }
    }
}

/// What a store did so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct BackendStats {
    /// Commands sent.
    pub commands: u64,
    /// Commands that failed.
    pub errors: u64,
    /// Values that were not stored because they are longer than the store takes.
    pub too_long: u64,
    /// Times that it was found with an older memory than it had: started again from a file, or taken over from.
    pub rolled_back: u64,
    /// Namespaces whose announcements of removals cannot be heard at the moment: other nodes' removals are found every Δ/4, not sooner.
    pub unheard: u64,
    /// Calls refused without a command, by a [`Breaker`](crate::Breaker).
    pub shed: u64,
}
