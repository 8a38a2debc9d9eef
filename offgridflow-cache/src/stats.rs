use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

pub use self::durations::Durations;
pub(crate) use self::durations::Recorder;
use self::striped::Striped;
use crate::{BackendStats, Bound};

mod durations;
#[cfg(feature = "metrics")]
pub(crate) mod metrics;
mod striped;

/// One near hit in so many is asked how old its value is.
const SAMPLED: u64 = 1_024;

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident),+ $(,)?) => {
        #[derive(Debug, Default)]
        pub(crate) struct Counters {
            near_hits: Striped,
            /// From the call of the loader to its answer, errors and panics included.
            pub(crate) load_time: Recorder,
            age_at_serve: Recorder,
            loading: AtomicU64,
            $(pub(crate) $name: Counter),+
        }

        /// What a cache did so far. Counted with relaxed atomics: each figure is exact, together they are of about one moment.
        #[derive(Debug, Clone, Default, PartialEq, Eq)]
        #[cfg_attr(feature = "serde", derive(serde::Serialize))]
        #[non_exhaustive]
        pub struct Stats {
            /// Reads answered by the near tier.
            pub near_hits: u64,
            $($(#[$doc])* pub $name: u64,)+
            /// How long loads took, from the call of the loader to its answer or the end of its time. A batch is one.
            pub load_time: Durations,
            /// How old values were when the near tier served them, since they were asked for, here or by another
            /// node. One hit in 1 024 of each thread is asked.
            pub age_at_serve: Durations,
            /// Failed loads that were forgotten before `retry_after` was over, because too many keys failed since: these are
            /// loaded again by their next read.
            pub failures_forgotten: u64,
            /// Entries in the near tier, roughly.
            pub near_entries: u64,
            /// What the near tier may keep; `None` where it does not say.
            pub near_bound: Option<Bound>,
            /// Entries that the near tier threw out, or did not take, for want of room; `None` where it does not count them.
            pub evictions: Option<u64>,
            /// Keys whose load is under way.
            pub loads_in_flight: u64,
            /// Invalidations that wait for the shared tier to answer.
            pub deferred: u64,
            /// Why the shared tier failed, while it does: until it answers a look for news, has taken what was deferred, and failed
            /// nothing since the look before.
            pub outage: Option<String>,
            /// What the shared tier did; zero without one.
            pub shared: BackendStats,
        }

        impl Counters {
            /// What is counted here.
            pub(crate) fn stats(&self) -> Stats {
                Stats {
                    near_hits: self.near_hits.get(),
                    $($name: self.$name.get(),)+
                    load_time: self.load_time.get(),
                    age_at_serve: self.age_at_serve.get(),
                    loads_in_flight: self.loading.load(Ordering::Relaxed),
                    ..Stats::default()
                }
            }
        }
    };
}

counters! {
    /// Reads that joined a flight under way.
    coalesced,
    /// Reads that found nothing near, and opened a flight.
    misses,
    /// Reads that opened none: of a key whose load has just failed, of one that waits for itself, or outside a runtime. They got the
    /// error, or a stale value.
    refused,
    /// Flights of reads answered by the shared tier.
    shared_hits,
    /// Keys loaded.
    loads,
    /// Keys whose load failed, panicked or took too long.
    load_errors,
    /// Loads whose value was not kept, because the key was invalidated meanwhile.
    fenced,
    /// Near entries that were not served because they were loaded, and the shared tier last heard of, longer than Δ ago.
    distrusted,
    /// Reads answered with a value past its ttl.
    stale_hits,
    /// Reads answered near while the shared tier was not heard of for longer than Δ.
    suspect_hits,
    /// Loads begun behind a reader's back.
    refreshes,
    /// Times that a gap in the sequence of invalidations made everything near invalid.
    gaps,
    /// Frames from the shared tier that are damaged, another's, or cannot be decoded.
    decode_errors,
    /// Values that could not be encoded for the shared tier, and live near only.
    encode_errors,
    /// Calls that the shared tier failed or did not answer in time.
    shared_errors,
    /// Times that the shared tier began to fail; the reason is told by an event, and by `outage`.
    outages,
    /// Calls of the near tier that panicked, as its weigher may: the value was not kept.
    near_errors,
    /// Invalidations asked for.
    invalidations,
}

impl Counters {
    /// `keys` are being loaded until what this returns is dropped.
    pub(crate) fn loading(&self, keys: u64) -> Loading<'_> {
        self.loading.fetch_add(keys, Ordering::Relaxed);
        Loading { counters: self, keys }
    }

    /// A near hit; how old its value is, is asked for one in a while.
    #[inline]
    pub(crate) fn near_hit(&self, age: impl FnOnce() -> Duration) {
        if self.near_hits.count().is_multiple_of(SAMPLED) {
            self.age_at_serve.record(age());
        }
    }
}

/// Loads under way, also when whoever waits for them is dropped.
pub(crate) struct Loading<'a> {
    counters: &'a Counters,
    keys: u64,
}

impl Drop for Loading<'_> {
    fn drop(&mut self) {
        self.counters.loading.fetch_sub(self.keys, Ordering::Relaxed);
    }
}

impl Stats {
    /// Share of reads that needed no load; `None` before the first read.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "a share")]
    pub fn hit_ratio(&self) -> Option<f64> {
        let asked = self.asked();
        (asked > 0).then(|| (self.near_hits + self.shared_hits) as f64 / asked as f64)
    }

    /// Reads.
    #[must_use]
    pub const fn asked(&self) -> u64 {
        self.near_hits + self.coalesced + self.misses + self.refused
    }
}

#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    pub(crate) fn add(&self, count: u64) {
        self.0.fetch_add(count, Ordering::Relaxed);
    }

    fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}
