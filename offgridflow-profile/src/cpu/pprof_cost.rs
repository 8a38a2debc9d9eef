use std::hint::black_box;
use std::time::Duration;

use crate::sys::signal::profiling_signals;

/// Signals a measurement: the handler takes microseconds.
const SIGNALS: u32 = 32;
/// How much deeper the second measurement's stack is.
const DEEPER: u32 = 32;

/// What a sample costs, signal and handler and unwinding together: more on a deeper stack.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Cost {
    nanos: f64,
    nanos_a_frame: f64,
}

impl Cost {
    /// Raises signals in this thread, at two depths. The engine's handler must be installed.
    pub(super) fn measure() -> Option<Self> {
        profiling_signals(SIGNALS)?; // its caches fill
        let (shallow, deep) = (at_depth(0)?, at_depth(DEEPER)?);
        Some(Self::of(shallow, deep))
    }

    /// From what a sample took here, and so many frames deeper. What is below the first frames counts as the signal's own cost.
    fn of(shallow: Duration, deep: Duration) -> Self {
        let [shallow, deep] = [shallow, deep].map(|took| took.as_secs_f64() * 1e9);
        let nanos_a_frame = ((deep - shallow) / f64::from(DEEPER)).max(0.0);
        Self { nanos: shallow, nanos_a_frame }
    }

    /// Of a sample of so many frames, nanoseconds.
    #[expect(clippy::cast_precision_loss, reason = "at most 128 frames")]
    pub(super) fn of_sample(&self, frames: usize) -> f64 {
        self.nanos + self.nanos_a_frame * frames as f64
    }
}

/// What a signal takes below so many frames of this function's.
#[inline(never)]
fn at_depth(frames: u32) -> Option<Duration> {
    let took = if frames == 0 { profiling_signals(SIGNALS) } else { at_depth(frames - 1) };
    black_box(took) // not a tail call: the frame stays
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deeper_stack_costs_more_by_the_frame() {
        let cost = Cost::of(Duration::from_micros(5), Duration::from_nanos(8_200));
        assert_eq!((cost.of_sample(0), cost.of_sample(10)), (5_000.0, 6_000.0));
        let even = Cost::of(Duration::from_micros(5), Duration::from_micros(4));
        assert_eq!(even.of_sample(100), 5_000.0, "noise does not make frames free");
    }
}
