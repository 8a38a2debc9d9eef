//! The profiler's clock: observations, windows, triggers.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Arc, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime};

use super::budget_file::BudgetFile;
use super::capture::Capture;
use super::desk::{Desk, join, spawn};
use super::observer::Observer;
use super::parts::Parts;
use crate::tasks::{task_profile, tasks, wait_profile};
use crate::{Observation, ProfileError};

const THREAD: &str = "profiler-watch";
pub(super) const CAPTURES: &str = "profiler-capture";

/// Captures that wait: as many triggers may fire at once as a budget has, and each capture takes its seconds.
const WAITING: usize = 4;

/// Observations kept: ten minutes at one a second.
const OBSERVATIONS: usize = 600;

/// How often what is done.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pace {
    pub(super) observe: Duration,
    pub(super) window: Duration,
    pub(super) heap: Duration,
    pub(super) capture: Duration,
}

/// The thread; dropping this ends it.
pub(super) struct Watcher {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Watcher {
    pub(super) fn start(parts: &Arc<Parts>, pace: Pace, budget: BudgetFile) -> Result<Self, ProfileError> {
        let (stop, stopped) = channel();
        let mut watch = Watch {
            observer: Observer::new(Arc::clone(&parts.memory), parts.latency.clone()),
            parts: Arc::clone(parts),
            captures: Desk::start(CAPTURES, WAITING + 1)?, // and a snapshot of the heap
            heap_waits: Arc::default(),
            seen: VecDeque::new(),
            pace,
            budget,
            next_window: Duration::ZERO,
            next_heap: Duration::ZERO,
        };
        let work = move || {
            let began = Instant::now();
            loop {
                let parts = Arc::clone(&watch.parts);
                parts.guarded(THREAD, || watch.tick(began.elapsed()));
                if !matches!(stopped.recv_timeout(pace.observe), Err(RecvTimeoutError::Timeout)) {
                    return;
                }
            }
        };
        Ok(Self { stop: Some(stop), thread: Some(spawn(THREAD, work)?) })
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        drop(self.stop.take());
        join(self.thread.take());
    }
}

struct Watch {
    parts: Arc<Parts>,
    observer: Observer,
    captures: Desk,
    heap_waits: Arc<AtomicBool>, // or is being taken
    seen: VecDeque<Observation>,
    pace: Pace,
    budget: BudgetFile,
    next_window: Duration,
    next_heap: Duration,
}

impl Watch {
    fn tick(&mut self, at: Duration) {
        let mut seen = self.observer.observe(at);
        seen.late = self.late(at);
        self.parts.task_trends.lock().unwrap_or_else(PoisonError::into_inner).count(at, &tasks());
        let wall = SystemTime::now();
        let fired = self.parts.engine().step(&seen, wall);
        if self.seen.len() == OBSERVATIONS {
            self.seen.pop_front();
        }
        self.seen.push_back(seen);
        if !fired.is_empty() {
            self.parts.save_budget(&self.budget);
        }
        for (nth, fired) in (0..).zip(fired) {
            let capture = Capture {
                parts: Arc::clone(&self.parts),
                fired,
                at: wall + Duration::from_millis(nth), // an incident is named by its instant and its kind
                observations: self.seen.iter().cloned().collect(),
                takes: self.pace.capture,
                window: self.pace.window,
            };
            if self
                .captures
                .put(move || Arc::clone(&capture.parts).guarded(CAPTURES, || capture.take()))
                .is_err()
            {
                self.parts.counts.missed.fetch_add(1, Relaxed);
            }
        }
        self.windows(at);
    }

    /// How much later than it should this observation comes, where one or more are missing before it.
    fn late(&self, at: Duration) -> Duration {
        let passed = self.seen.back().map_or(Duration::ZERO, |before| at.saturating_sub(before.at));
        if passed > self.pace.observe.saturating_mul(2) { passed - self.pace.observe } else { Duration::ZERO }
    }

    /// What is known without sampling goes into the ring here; a snapshot of the heap takes long, so elsewhere.
    fn windows(&mut self, at: Duration) {
        if at >= self.next_window {
            self.next_window = at.saturating_add(self.pace.window);
            for (what, profile) in [("tasks", task_profile()), ("waits", wait_profile())] {
                if !profile.stacks.is_empty() {
                    self.parts.push(what, Ok(profile));
                }
            }
        }
        if at >= self.next_heap {
            self.next_heap = at.saturating_add(self.pace.heap);
            if let Some(heap) = self.parts.heap.clone().filter(|_| !self.heap_waits.swap(true, Relaxed)) {
                let (parts, waits) = (Arc::clone(&self.parts), Arc::clone(&self.heap_waits));
                let window = move || {
                    parts.guarded(CAPTURES, || parts.push("heap", heap()));
                    crate::sys::glibc::trim(); // of what reading symbols took
                    waits.store(false, Relaxed);
                };
                if self.captures.put(window).is_err() {
                    self.heap_waits.store(false, Relaxed); // captures wait, which take snapshots themselves
                }
            }
        }
    }
}
