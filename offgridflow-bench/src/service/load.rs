use std::fmt;

/// Longest that rounds are stretched.
const MOST: u32 = 8;

/// Makes rounds rarer while the machine is busy: each busy moment doubles the interval, up to eight times, and a calm one ends that. Rounds never
/// stop, as an objective would then look best when it matters most.
pub(super) struct BackOff {
    pub(super) above: f64, // > 0
    pub(super) load: Box<dyn Fn() -> f64 + Send + Sync>,
    stretch: u32, // 1 to `MOST`
}

impl BackOff {
    pub(super) fn new(above: f64, load: Box<dyn Fn() -> f64 + Send + Sync>) -> Self {
        Self { above, load, stretch: 1 }
    }

    /// How many intervals to wait before the next round.
    pub(super) fn intervals(&mut self) -> u32 {
        self.stretch = if (self.load)() > self.above { (self.stretch * 2).min(MOST) } else { 1 };
        self.stretch
    }
}

impl fmt::Debug for BackOff {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BackOff").field("above", &self.above).finish_non_exhaustive()
    }
}

/// Tasks that ran or waited over the last minute, a processor; 0 where the system does not tell (elsewhere than on Linux).
pub(super) fn machine() -> f64 {
    let tasks = std::fs::read_to_string("/proc/loadavg").ok().and_then(|text| minute(&text)).unwrap_or(0.0);
    let processors = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    tasks / processors as f64
}

/// `0.20 0.18 0.12 3/80 11206`: the first is of the last minute.
fn minute(loadavg: &str) -> Option<f64> {
    loadavg.split(' ').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[test]
    fn rounds_become_rarer_under_load_and_never_stop() {
        let load = Arc::new(AtomicU32::new(3));
        let read = Arc::clone(&load);
        let mut back_off = BackOff::new(2.0, Box::new(move || f64::from(read.load(Ordering::Relaxed))));
        assert_eq!([(); 5].map(|()| back_off.intervals()), [2, 4, 8, 8, 8]);
        load.store(2, Ordering::Relaxed);
        assert_eq!(back_off.intervals(), 1, "a calm moment ends it");
    }

    #[test]
    fn the_load_of_the_last_minute_is_read() {
        assert_eq!(minute("0.20 0.18 0.12 3/80 11206\n"), Some(0.2));
        assert_eq!(minute(""), None);
    }
}
