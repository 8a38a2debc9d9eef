use std::collections::VecDeque;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use super::budget_file::BudgetFile;
use super::builder::ProfilerBuilder;
use super::cpu_desk::CpuDesk;
use super::desk::guarded;
use super::task_trends::{TaskTrend, TaskTrends};
use super::watcher::{CAPTURES, Watcher};
use super::{Caps, LatencyFeed};
use crate::incident::IncidentSink;
use crate::{
    CpuTally, Explanation, Incident, MemoryStatus, MemoryWatch, Profile, ProfileError, Ring, Series, Suspect,
    TriggerEngine,
};

/// Incidents whose pages are kept in memory.
const INCIDENTS: usize = 8;

/// Takes a heap profile.
pub(crate) type HeapSource = Arc<dyn Fn() -> Result<Profile, ProfileError> + Send + Sync>;

/// Watches this process: memory with a verdict, and the newest profiles in a ring; with triggers, captures that hold what was before.
///
/// ```
/// use offgridflow_profile::Profiler;
///
/// let profiler = Profiler::builder().start()?;        // memory and ring; nothing is sampled
/// println!("{}", profiler.caps());                    // what works here
/// println!("{}", profiler.memory().verdict);
/// # Ok::<(), offgridflow_profile::ProfileError>(())
/// ```
///
/// Clones are handles to the same profiler; with the last one its threads end, after the captures under way. A forked child
/// has no threads: there a profiler stands still, and leaks when it is dropped. One that is not kept watches nothing, and does not pass unnoticed:
///
/// ```compile_fail
/// #![deny(unused_must_use)]
/// # fn main() -> Result<(), offgridflow_profile::ProfileError> {
/// offgridflow_profile::Profiler::builder().start()?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
#[must_use = "the profiler ends when its last handle is dropped: keep it for as long as the program runs"]
pub struct Profiler {
    running: Arc<Running>,
}

/// The threads end before the parts they use.
struct Running {
    parts: Option<Arc<Parts>>,
    watcher: Option<Watcher>,
    pid: u32,
}

/// What the threads and the handles share.
pub(crate) struct Parts {
    pub(crate) memory: Arc<MemoryWatch>,
    pub(crate) ring: Arc<Ring>,
    pub(crate) heap: Option<HeapSource>,
    pub(crate) cpu: Option<CpuDesk>,
    pub(super) engine: Mutex<TriggerEngine>,
    pub(super) sinks: Vec<Box<dyn IncidentSink>>,
    pub(super) incidents: Mutex<VecDeque<Kept>>,
    pub(super) latency: LatencyFeed,
    pub(super) task_trends: Mutex<TaskTrends>,
    pub(super) counts: Counts,
    pub(super) sink_failure: Mutex<Option<String>>, // why the newest incident that a sink could not keep was not
    pub(super) budget_failure: Mutex<Option<String>>, // why the next start may not know what was spent
    pub(super) panicked: Mutex<Option<(&'static str, String)>>, // by which thread, and what it said
    pub(super) caps: Caps,
}

#[derive(Default)]
pub(super) struct Counts {
    pub(super) captures: AtomicU64,
    pub(super) missed: AtomicU64,
    pub(super) not_kept: AtomicU64,
    pub(super) not_pushed: AtomicU64,
    pub(super) panics: AtomicU64,
}

/// An incident that is kept in memory.
pub(super) struct Kept {
    pub(super) summary: IncidentSummary,
    pub(super) page: Arc<str>,
}

/// An incident in short.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct IncidentSummary {
    /// Its name.
    pub id: String,
    /// When the trigger fired.
    pub at: SystemTime,
    /// What the trigger watches, in one word.
    pub kind: String,
    /// What held, in one sentence.
    pub why: String,
    /// Who may be to blame, the likeliest first.
    pub suspects: Vec<Suspect>,
}

/// What a profiler did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct ProfilerStats {
    /// Captures taken, and handed to every sink.
    pub captures: u64,
    /// Captures that were due while four others were waiting behind the one under way.
    pub missed: u64,
    /// Incidents that a sink could not keep, or at which it panicked. Why: [`Profiler::sink_failure`].
    pub not_kept: u64,
    /// Windows that could not be taken, or not put into the ring.
    pub not_pushed: u64,
    /// Panics on the profiler's threads, of a sink or an engine that was given say: what was under way is left out, and the thread goes on.
    /// Why: [`Profiler::panic`].
    pub panics: u64,
}

impl fmt::Debug for Profiler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Profiler").field("caps", &self.parts().caps).finish_non_exhaustive()
    }
}

impl Profiler {
    /// Settings, with their defaults: memory and a ring in memory.
    pub fn builder() -> ProfilerBuilder {
        ProfilerBuilder::default()
    }

    pub(super) fn run(parts: Arc<Parts>, watcher: Watcher) -> Self {
        let (parts, watcher, pid) = (Some(parts), Some(watcher), std::process::id());
        Self { running: Arc::new(Running { parts, watcher, pid }) }
    }

    pub(crate) fn parts(&self) -> &Arc<Parts> {
        self.running.parts.as_ref().expect("taken away only when the last handle is dropped")
    }

    /// What works here.
    #[must_use]
    pub fn caps(&self) -> &Caps {
        &self.parts().caps
    }

    /// The newest reading of memory, and the verdict. Costs about a millisecond.
    #[must_use]
    pub fn memory(&self) -> MemoryStatus {
        self.parts().memory.status()
    }

    /// The readings of memory that the verdict rests on.
    #[must_use]
    pub fn memory_series(&self) -> Series {
        self.parts().memory.series()
    }

    /// The newest profiles.
    #[must_use]
    pub fn ring(&self) -> &Arc<Ring> {
        &self.parts().ring
    }

    /// Takes the latencies of requests, for triggers on them.
    #[must_use]
    pub fn latency(&self) -> LatencyFeed {
        self.parts().latency.clone()
    }

    /// Why each trigger does not fire: what it saw last, and what it is doing.
    #[must_use]
    pub fn explain(&self) -> Vec<Explanation> {
        self.parts().engine().explain(SystemTime::now())
    }

    /// The newest incidents, the newest first; at most eight.
    #[must_use]
    pub fn incidents(&self) -> Vec<IncidentSummary> {
        self.parts().summaries()
    }

    /// The page of one of them.
    #[must_use]
    pub fn incident_page(&self, id: &str) -> Option<Arc<str>> {
        self.parts().page(id)
    }

    /// Ends the sampling of CPU time for good, and waits until it has ended; the rest goes on. To be called before `exec`: the timer would go on in the program
    /// that follows, which has no handler for its signal and would be killed by it. Children that are started beside (`Command::spawn`) are safe without.
    ///
    /// Blocks while a profile under way is thrown away, or written where windows are taken: milliseconds to a second. Not to be called by an engine or a sink.
    pub fn stop_cpu(&self) {
        if let Some(cpu) = &self.parts().cpu {
            cpu.end();
        }
    }

    /// What the profiles of CPU time came to so far; nothing without an engine that counts.
    #[must_use]
    pub fn cpu_tally(&self) -> CpuTally {
        self.parts().cpu.as_ref().map(CpuDesk::tally).unwrap_or_default()
    }

    /// Why the newest window of CPU time could not be taken; `None` where it could, or where none is taken.
    #[must_use]
    pub fn cpu_failure(&self) -> Option<String> {
        self.parts().cpu.as_ref()?.failure()
    }

    /// Why the newest of the incidents that [`ProfilerStats::not_kept`] counts was not kept, with its id; `None` where each was.
    #[must_use]
    pub fn sink_failure(&self) -> Option<String> {
        self.parts().sink_failure.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Why what was spent of the budget could not be read or, the last time, not be kept in its file, which a next start then knows nothing of; `None` where all
    /// is well, or there is no such file.
    #[must_use]
    pub fn budget_failure(&self) -> Option<String> {
        self.parts().budget_failure.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether the tasks of the places with the most of them pile up; a count every ten seconds, of an hour and a half at most. Costs
    /// about a millisecond a place.
    #[must_use]
    pub fn task_trends(&self) -> Vec<TaskTrend> {
        self.parts().task_trends.lock().unwrap_or_else(PoisonError::into_inner).read()
    }

    /// The newest panic of those that [`ProfilerStats::panics`] counts, as [`ProfileError::Panicked`]; those of the CPU engine are in
    /// [`cpu_failure`](Self::cpu_failure). `None` where there was none.
    #[must_use]
    pub fn panic(&self) -> Option<ProfileError> {
        let panicked = self.parts().panicked.lock().unwrap_or_else(PoisonError::into_inner);
        panicked.clone().map(|(thread, message)| ProfileError::Panicked { thread, message })
    }

    /// What was done so far.
    #[must_use]
    pub fn stats(&self) -> ProfilerStats {
        self.parts().stats()
    }
}

/// An error and what caused it, in one line.
pub(super) fn with_causes(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |words, cause| format!("{words}: {cause}"))
}

impl Parts {
    pub(super) fn engine(&self) -> MutexGuard<'_, TriggerEngine> {
        self.engine.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn kept(&self) -> MutexGuard<'_, VecDeque<Kept>> {
        self.incidents.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps an incident's page in memory, then hands the incident to the sinks, which may take long, fail or panic.
    pub(super) fn keep(&self, incident: &Incident) {
        let summary = IncidentSummary {
            id: incident.id.clone(),
            at: incident.at,
            kind: incident.kind.clone(),
            why: incident.why.clone(),
            suspects: incident.suspects.clone(),
        };
        let page = incident.to_html().into();
        let mut kept = self.kept();
        kept.push_front(Kept { summary, page });
        kept.truncate(INCIDENTS);
        drop(kept);
        self.sinks.iter().for_each(|sink| self.hand_to(sink.as_ref(), incident));
        self.counts.captures.fetch_add(1, Relaxed);
    }

    /// Whatever this sink does, the next one has its turn.
    fn hand_to(&self, sink: &dyn IncidentSink, incident: &Incident) {
        let Err(error) = guarded(CAPTURES, || sink.put(incident)) else { return };
        self.counts.not_kept.fetch_add(1, Relaxed);
        let words = format!("{}: {}", incident.id, with_causes(&error));
        *self.sink_failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(words);
        self.note_panic(error);
    }

    pub(crate) fn summaries(&self) -> Vec<IncidentSummary> {
        self.kept().iter().map(|kept| kept.summary.clone()).collect()
    }

    pub(crate) fn page(&self, id: &str) -> Option<Arc<str>> {
        self.kept().iter().find(|kept| kept.summary.id == id).map(|kept| Arc::clone(&kept.page))
    }

    pub(crate) fn stats(&self) -> ProfilerStats {
        let read = |count: &AtomicU64| count.load(Relaxed);
        ProfilerStats {
            captures: read(&self.counts.captures),
            missed: read(&self.counts.missed),
            not_kept: read(&self.counts.not_kept),
            not_pushed: read(&self.counts.not_pushed),
            panics: read(&self.counts.panics) + self.cpu.as_ref().map_or(0, CpuDesk::panics),
        }
    }

    /// Does what may call code of others; a panic of it is counted and kept.
    pub(super) fn guarded(&self, thread: &'static str, work: impl FnOnce()) {
        let done = guarded(thread, || {
            work();
            Ok(())
        });
        if let Err(error) = done {
            self.note_panic(error);
        }
    }

    /// Counts and keeps a panic; any other error is told elsewhere.
    fn note_panic(&self, error: ProfileError) {
        if let ProfileError::Panicked { thread, message } = error {
            self.counts.panics.fetch_add(1, Relaxed);
            *self.panicked.lock().unwrap_or_else(PoisonError::into_inner) = Some((thread, message));
        }
    }

    /// Keeps what was spent of the budget for the next start; what cannot be kept is told, and captures go on.
    pub(super) fn save_budget(&self, file: &BudgetFile) {
        let written = file.write(&self.engine().budget().to_text());
        *self.budget_failure.lock().unwrap_or_else(PoisonError::into_inner) = written.err();
    }

    /// Puts a window into the ring, and counts it when that fails.
    pub(super) fn push(&self, what: &str, profile: Result<Profile, ProfileError>) {
        if profile.and_then(|profile| self.ring.push(what, &profile)).is_err() {
            self.counts.not_pushed.fetch_add(1, Relaxed);
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if std::process::id() == self.pid {
            let cpu = self.parts.as_ref().and_then(|parts| parts.cpu.as_ref());
            cpu.iter().for_each(|cpu| cpu.stop()); // a capture under way need not wait for its profile
            drop(self.watcher.take());
        } else {
            // A forked child: there is no thread to wait for, and a lock may be held by one that is not there.
            std::mem::forget((self.watcher.take(), self.parts.take()));
        }
    }
}
