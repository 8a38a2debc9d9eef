mod heap;

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use self::heap::Heap;
use crate::source::{AllocatorSource, AllocatorStats, program_allocator};
use crate::trend::{TrendDetector, TrendOptions, Verdict, WindowDetector};
use crate::{Limit, MemoryReading, MemorySource, MemorySplit, ProfileError, Series, memory_source};

/// Reads this process's memory at a steady pace, on a thread of its own, and judges it when asked.
///
/// ```
/// use std::time::Duration;
/// use offgridflow_profile::{MemoryWatch, Shape};
///
/// let watch = MemoryWatch::builder().interval(Duration::from_millis(100)).start()?;
/// let status = watch.status();
/// assert!(status.reading.rss_bytes > 0);
/// // Nothing is said of a few readings: the verdict names how much longer it needs.
/// assert!(matches!(status.verdict.shape, Shape::Unknown { .. }));
/// # Ok::<(), offgridflow_profile::ProfileError>(())
/// ```
#[derive(Debug)]
#[must_use = "the watch ends when this is dropped: keep it for as long as memory is to be read"]
pub struct MemoryWatch {
    shared: Arc<Shared>,
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
    pid: u32,
}

/// What is known of this process's memory.
#[derive(Debug, Clone)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct MemoryStatus {
    /// The newest reading.
    pub reading: MemoryReading,
    /// What it must not exceed.
    pub limit: Option<Limit>,
    /// What the allocator says of itself, at its newest reading; `None` where it is not one that can be read.
    pub allocator: Option<AllocatorStats>,
    /// Where memory in use is.
    pub split: MemorySplit,
    /// Readings the verdict rests on.
    pub samples: usize,
    /// Readings that failed, or whose source panicked, since the start.
    pub failures: u64,
    /// What the readings say; with an allocator that can be read, whether it is the program that grows: [`Verdict::explained`].
    pub verdict: Verdict,
}

/// Settings of a [`MemoryWatch`]; see each method for its default.
#[must_use = "a builder does nothing until `start`"]
pub struct MemoryWatchBuilder {
    source: Option<Box<dyn MemorySource>>,
    allocator: Option<AllocatorSource>,
    interval: Duration,
    capacity: usize,
    options: TrendOptions,
}

impl fmt::Debug for MemoryWatchBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryWatchBuilder").field("interval", &self.interval).finish_non_exhaustive()
    }
}

impl MemoryWatchBuilder {
    /// Time between readings. Default: 1 s.
    pub fn interval(mut self, interval: Duration) -> Self {
        self.interval = interval;
        self
    }

    /// Readings kept; the oldest leaves first. Default: 4 096, more than an hour at one a second (64 KiB).
    pub fn capacity(mut self, readings: usize) -> Self {
        self.capacity = readings;
        self
    }

    /// What counts as a trend. Default: [`TrendOptions::default`]; a limit in it goes before the system's, which is filled in where it has none.
    pub fn trend(mut self, options: TrendOptions) -> Self {
        self.options = options;
        self
    }

    /// Where readings come from. Default: [`memory_source`].
    pub fn source(mut self, source: impl MemorySource + 'static) -> Self {
        self.source = Some(Box::new(source));
        self
    }

    /// What the program's allocator says of itself. Default: glibc's `mallinfo2`, or with the feature `jemalloc` that one's statistics, whichever is the
    /// program's allocator. For another one:
    ///
    /// ```
    /// # use offgridflow_profile::{AllocatorStats, MemoryWatch};
    /// # struct Counted { bytes: u64 }
    /// # fn counted() -> Option<Counted> { Some(Counted { bytes: 7 }) }
    /// let watch = MemoryWatch::builder().allocator(|| {
    ///     let allocated_bytes = counted()?.bytes; // what it has handed out
    ///     Some(AllocatorStats { name: "mine", allocated_bytes, free_bytes: None, held_bytes: None })
    /// });
    /// # let watch = watch.start()?;
    /// assert_eq!(watch.status().allocator.unwrap().allocated_bytes, 7);
    /// # Ok::<(), offgridflow_profile::ProfileError>(())
    /// ```
    ///
    /// mimalloc's C interface does not tell what it has handed out: count in a wrapper around it.
    ///
    /// It is asked every ten seconds, and more rarely where an answer takes longer than a millisecond: glibc walks its lists of free memory
    /// with each arena locked.
    pub fn allocator(mut self, stats: impl Fn() -> Option<AllocatorStats> + Send + Sync + 'static) -> Self {
        self.allocator = Some(Arc::new(stats));
        self
    }

    /// Takes a first reading and starts the thread.
    ///
    /// # Errors
    /// [`ProfileError::Setting`] for an interval of zero, a capacity below two or an `alpha` that is no chance; when memory cannot be read here,
    /// or no thread can be started.
    pub fn start(self) -> Result<MemoryWatch, ProfileError> {
        if self.interval.is_zero() {
            let hint = "must be longer than zero";
            return Err(ProfileError::Setting { setting: "interval", value: "0".to_owned(), hint });
        }
        if self.capacity < 2 {
            let hint = "must be 2 or more: a trend needs two readings";
            return Err(ProfileError::setting("capacity", self.capacity, hint));
        }
        self.options.check()?;
        let source = self.source.map_or_else(memory_source, Ok)?;
        let reading = source.read()?;
        let limit = source.limit();
        let own_limit = self.options.limit_bytes;
        let limit_bytes = own_limit.or(limit.map(|limit| limit.bytes));
        let options = TrendOptions { limit_bytes, ..self.options };
        let mut detector = WindowDetector::new(Series::with_capacity(self.capacity), options.clone());
        detector.push(Duration::ZERO, reading.in_use_bytes());
        let allocator = Heap::new(self.allocator.or_else(program_allocator), self.capacity, options);
        let state = State { detector, heap: allocator, reading, read_at: Duration::ZERO, limit, failures: 0 };
        let shared = Arc::new(Shared { source, own_limit, state: Mutex::new(state) });
        shared.read_allocator(Duration::ZERO);
        let (stop, stopped) = channel();
        let (reader, interval) = (Arc::clone(&shared), self.interval);
        let work = move || {
            let began = Instant::now();
            while matches!(stopped.recv_timeout(interval), Err(RecvTimeoutError::Timeout)) {
                let read = || {
                    reader.read(began.elapsed());
                    reader.read_allocator(began.elapsed());
                };
                // A source that panics fails: the thread goes on, and the failure is counted.
                if catch_unwind(AssertUnwindSafe(read)).is_err() {
                    reader.state().failures += 1;
                }
            }
        };
        let engine =
            |source: std::io::Error| ProfileError::Engine { engine: "thread", source: Box::new(source) };
        let thread = thread::Builder::new().name("memory-watch".to_owned()).spawn(work).map_err(engine)?;
        Ok(MemoryWatch { shared, stop: Some(stop), thread: Some(thread), pid: process::id() })
    }
}

impl MemoryWatch {
    /// Settings, with their defaults.
    pub fn builder() -> MemoryWatchBuilder {
        MemoryWatchBuilder {
            source: None,
            allocator: None,
            interval: Duration::from_secs(1),
            capacity: Series::DEFAULT_CAPACITY,
            options: TrendOptions::default(),
        }
    }

    /// The newest reading, and the limit.
    #[must_use]
    pub fn newest(&self) -> (MemoryReading, Option<Limit>) {
        let state = self.shared.state();
        (state.reading, state.limit)
    }

    /// What the allocator said last, if it can be asked.
    #[cfg(feature = "profiler")]
    pub(crate) fn newest_of_allocator(&self) -> Option<AllocatorStats> {
        self.shared.state().heap.newest
    }

    /// The readings, in bytes in use.
    #[must_use]
    pub fn series(&self) -> Series {
        self.shared.state().detector.series().clone()
    }

    /// The newest reading, and what all of them say. Costs about a millisecond.
    #[must_use]
    pub fn status(&self) -> MemoryStatus {
        let (detector, heap, reading, limit, failures, split) = {
            let state = self.shared.state();
            let split = state.split();
            (state.detector.clone(), state.heap.clone(), state.reading, state.limit, state.failures, split)
        };
        MemoryStatus {
            reading,
            limit,
            allocator: heap.newest,
            split,
            samples: detector.series().len(),
            failures,
            verdict: heap.explain(detector.verdict()),
        }
    }

    /// A verdict on this process's memory, from elsewhere, explained by what the allocator said meanwhile.
    #[cfg(feature = "profiler")]
    pub(crate) fn explain(&self, verdict: Verdict) -> Verdict {
        let heap = self.shared.state().heap.clone();
        heap.explain(verdict)
    }
}

impl Drop for MemoryWatch {
    /// A forked child has no such thread: there is none to wait for, and it may have held a lock when it was left behind.
    fn drop(&mut self) {
        if process::id() != self.pid {
            std::mem::forget((self.stop.take(), self.thread.take()));
            return;
        }
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

struct Shared {
    source: Box<dyn MemorySource>,
    own_limit: Option<u64>, // the caller's, which goes before the system's
    state: Mutex<State>,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").finish_non_exhaustive()
    }
}

struct State {
    detector: WindowDetector,
    heap: Heap,
    reading: MemoryReading,
    read_at: Duration,
    limit: Option<Limit>,
    failures: u64,
}

impl State {
    /// Of the moment when the allocator answered, with the reading beside it; without either, the newest reading's.
    fn split(&self) -> MemorySplit {
        match (&self.heap.newest, self.heap.beside) {
            (Some(stats), Some((at, reading))) => {
                MemorySplit::of(&reading, Some(stats), self.read_at.saturating_sub(at))
            }
            _ => MemorySplit::of(&self.reading, None, Duration::ZERO),
        }
    }
}

impl Shared {
    /// Asks the allocator, if it is time.
    fn read_allocator(&self, at: Duration) {
        let source = {
            let state = self.state();
            state.heap.source.clone().filter(|_| at >= state.heap.next)
        };
        if let Some(source) = source {
            let began = Instant::now();
            let stats = source();
            let (took, reading) = (began.elapsed(), stats.and_then(|_| self.source.read().ok()));
            let mut state = self.state();
            state.heap.push(at, stats, took);
            state.heap.beside = reading.map(|reading| (at, reading));
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A failed reading is counted; the series then has a gap, which the verdict allows for.
    fn read(&self, at: Duration) {
        let (reading, limit) = (self.source.read(), self.source.limit());
        let mut state = self.state();
        let Ok(reading) = reading else {
            state.failures += 1;
            return;
        };
        #[cfg(feature = "metrics")]
        publish(&reading);
        state.detector.push(at, reading.in_use_bytes());
        state.detector.set_limit(self.own_limit.or(limit.map(|limit| limit.bytes)));
        (state.reading, state.read_at, state.limit) = (reading, at, limit);
    }
}

#[cfg(feature = "metrics")]
#[expect(clippy::cast_precision_loss, reason = "gauges are floats; memory below 2^53 bytes is exact")]
fn publish(reading: &MemoryReading) {
    metrics::gauge!("process_resident_memory_bytes").set(reading.rss_bytes as f64);
    metrics::gauge!("process_virtual_memory_bytes").set(reading.virtual_bytes as f64);
    if let Some(threads) = reading.threads {
        metrics::gauge!("process_threads").set(threads as f64);
    }
}
