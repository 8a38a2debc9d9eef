use std::collections::HashMap;
use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher, Hash};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::time::Instant;

/// A mechanism of the protocol, switched off. A check that passes all of them checks nothing: each breaks a promise, and
/// [`run`](super::run) has to find it.
///
/// They exist with the feature `sim` only, and only where a simulation or [`CacheBuilder::mutant`](crate::CacheBuilder::mutant)
/// asks for one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Mutant {
    /// S1: an invalidation fences before it tells the shared tier, and not again; reads in between ask the shared tier.
    FenceOnce,
    /// S2: what a flight brings counts as born when it lands, not when it was asked for.
    BornAtLanding,
    /// S3: every node numbers its own removals and sends them as messages; a gap is seen only in what arrives.
    OwnSequences,
    /// S4: trust is a flag that the polling task sets and clears, not a deadline that hits read.
    TickedTrust,
    /// S5: a shared tier that came back with an older memory is believed.
    TrustRollback,
    /// S5: what a shared tier that came back with an older memory answers is believed until somebody looks for news.
    BelieveLooks,
    /// S6: what is put is kept whether or not the key was invalidated after its lease was taken.
    PutUnleased,
    /// A flight keeps what it brings although the key was invalidated meanwhile.
    LandRevoked,
    /// The shared tier stores a fill whose lease was taken away.
    FillUnleased,
    /// A gap in the sequence of removals changes nothing.
    IgnoreGaps,
    /// A key whose removal is deferred is read from the shared tier all the same.
    ForgetDeferred,
    /// A value past its time is served although it was invalidated.
    ServeInvalidated,
    /// A flight is joined however old it is.
    JoinAny,
    /// A key that another node is loading is loaded here too.
    LoadWhileBusy,
    /// Every read of a missing key opens a flight of its own.
    LoadAlone,
    /// A shared tier that fails, fails the read.
    FailWithStore,
    /// The schema is part of a key's name: who removes it removes it in its own schema only.
    SchemasApart,
}

impl Mutant {
    /// Every one of them.
    pub const ALL: [Self; 17] = [
        Self::FenceOnce,
        Self::BornAtLanding,
        Self::OwnSequences,
        Self::TickedTrust,
        Self::TrustRollback,
        Self::BelieveLooks,
        Self::PutUnleased,
        Self::LandRevoked,
        Self::FillUnleased,
        Self::IgnoreGaps,
        Self::ForgetDeferred,
        Self::ServeInvalidated,
        Self::JoinAny,
        Self::LoadWhileBusy,
        Self::LoadAlone,
        Self::FailWithStore,
        Self::SchemasApart,
    ];
}

/// What a simulation changes and watches inside a cache.
#[derive(Debug, Clone, Default)]
pub(crate) struct Probe {
    pub(crate) mutant: Option<Mutant>,
    fences: Arc<Mutex<Fences>>,
}

/// When flights were last taken out, or made too old to be joined.
#[derive(Debug, Default)]
struct Fences {
    of_keys: HashMap<u64, Instant>, // by the key's hash
    of_all: Option<Instant>,
}

impl Probe {
    pub(crate) fn of(mutant: Option<Mutant>) -> Self {
        Self { mutant, fences: Arc::default() }
    }

    pub(crate) fn fence<K: Hash>(&self, key: &K) {
        self.fences().of_keys.insert(hash(key), Instant::now());
    }

    pub(crate) fn fence_all(&self) {
        self.fences().of_all = Some(Instant::now());
    }

    /// The last time that a flight of `key` lost its lease.
    pub(crate) fn fenced<K: Hash>(&self, key: &K) -> Option<Instant> {
        let fences = self.fences();
        fences.of_keys.get(&hash(key)).copied().max(fences.of_all)
    }

    fn fences(&self) -> MutexGuard<'_, Fences> {
        self.fences.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn hash<K: Hash>(key: &K) -> u64 {
    BuildHasherDefault::<DefaultHasher>::default().hash_one(key)
}
