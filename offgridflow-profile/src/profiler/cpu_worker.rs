use std::cell::Cell;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use super::cpu_desk::{Keep, Order, Shared, State, THREAD};
use super::desk::guarded;
use crate::deadline::Deadline;
use crate::{CpuProfiler, CpuSpec, Profile, ProfileError};

/// What the desk's thread does: captures that are ordered, and windows in between.
pub(super) struct Worker {
    engine: Arc<dyn CpuProfiler>,
    shared: Arc<Shared>,
    windows: Option<(CpuSpec, Keep)>,
    /// Whether a window has ended and the next one is under way.
    sampling: Cell<bool>,
}

impl Worker {
    pub(super) fn new(
        engine: Arc<dyn CpuProfiler>,
        shared: Arc<Shared>,
        windows: Option<(CpuSpec, Keep)>,
    ) -> Self {
        Self { engine, shared, windows, sampling: Cell::new(false) }
    }

    pub(super) fn run(&self) {
        while let Some(order) = self.next() {
            match (order, &self.windows) {
                (Some(order), _) => self.capture(order),
                (None, Some((spec, keep))) => self.window(spec, keep),
                (None, None) => {}
            }
        }
        if self.sampling.get() {
            self.discard();
        }
        let order = self.shared.state().order.take();
        if let Some(order) = order {
            let replied = guarded(THREAD, || {
                (order.reply)(Err(ProfileError::Ended));
                Ok(())
            });
            self.count(&replied);
        }
        self.shared.state().ended = true;
        self.shared.changed.notify_all();
    }

    /// An order, or none when it is time for a window; `None` when the desk stops.
    fn next(&self) -> Option<Option<Order>> {
        let mut state = self.shared.state();
        loop {
            if state.stop {
                return None;
            }
            let order = state.order.take();
            if order.is_some() || self.windows.is_some() {
                return Some(order);
            }
            state = self.shared.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn capture(&self, order: Order) {
        if self.sampling.replace(false) {
            self.discard(); // a window that has only just begun
        }
        let cancelled = |state: &State| state.taken.as_ref().is_none_or(|taken| taken.cancelled);
        let result = self.sampled(|| {
            self.engine.start(&order.spec)?;
            if self.sleep(order.spec.expected, |state| state.stop || cancelled(state)) {
                self.engine.drain()
            } else {
                self.engine.discard();
                Err(ProfileError::Ended)
            }
        });
        let replied = guarded(THREAD, || {
            (order.reply)(result);
            Ok(())
        });
        self.count(&replied);
        self.shared.state().taken = None; // whoever has the answer may ask again
        crate::sys::glibc::trim(); // of what the answer took: once a capture, not once a window
    }

    /// A window ends early when a capture is ordered; what it has seen is kept.
    fn window(&self, spec: &CpuSpec, keep: &Keep) {
        let interrupted = |state: &State| state.stop || state.order.is_some();
        let begun = self.sampling.replace(true);
        let profile = self.sampled(|| {
            if !begun {
                self.engine.start(spec)?;
            }
            let whole = self.sleep(spec.expected, interrupted);
            self.sampling.set(whole);
            if whole { self.engine.rotate(spec) } else { self.engine.drain() }
        });
        self.sampling.set(self.sampling.get() && profile.is_ok());
        let failure = profile.as_ref().err().map(ToString::to_string);
        self.shared.state().failure = failure;
        match profile {
            Ok(profile) => {
                let kept = guarded(THREAD, || {
                    keep(&profile);
                    Ok(())
                });
                self.count(&kept);
            }
            // Somebody else profiles, or the engine fails: again after a while.
            Err(_) => drop(self.sleep(spec.expected, interrupted)),
        }
    }

    /// Runs the engine; where it panics, what it was at is thrown away.
    fn sampled(&self, work: impl FnOnce() -> Result<Profile, ProfileError>) -> Result<Profile, ProfileError> {
        let result = guarded(THREAD, work);
        self.count(&result);
        if matches!(result, Err(ProfileError::Panicked { .. })) {
            self.discard();
        }
        result
    }

    fn discard(&self) {
        let discarded = guarded(THREAD, || {
            self.engine.discard();
            Ok(())
        });
        self.count(&discarded);
    }

    fn count<T>(&self, result: &Result<T, ProfileError>) {
        let panicked = matches!(result, Err(ProfileError::Panicked { .. }));
        self.shared.state().panics += u64::from(panicked);
    }

    /// Sleeps until the time is over; false when `interrupted` before.
    fn sleep(&self, duration: Duration, interrupted: impl Fn(&State) -> bool) -> bool {
        let until = Deadline::after(duration);
        let mut state = self.shared.state();
        loop {
            if interrupted(&state) {
                return false;
            }
            let left = until.left();
            if left.is_zero() {
                return true;
            }
            state = self.shared.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}
