use std::fs;
use std::time::Duration;

use super::Cancel;

/// Longest that one round waits for a calmer machine.
const LONGEST: Duration = Duration::from_millis(500);
const STEP: Duration = Duration::from_millis(100);
/// After so many waits in vain, one after the other, the machine is taken for busy by habit.
const IN_VAIN: u32 = 4;

/// Delays rounds while other work keeps the machine busy. A round then runs in any case: it is delayed before anybody has looked, never
/// dropped. Where waiting does not help, it is given up until a calm moment is seen.
#[derive(Debug, Default)]
pub(crate) struct Weather {
    in_vain: u32,
}

impl Weather {
    /// Waits at most half a second, and says how long, in milliseconds.
    pub(crate) fn wait(&mut self, cancel: &Cancel) -> u64 {
        self.wait_while(&busy, cancel)
    }

    fn wait_while(&mut self, busy: &dyn Fn() -> bool, cancel: &Cancel) -> u64 {
        let longest = if self.in_vain < IN_VAIN { LONGEST } else { Duration::ZERO };
        let mut waited = Duration::ZERO;
        let mut still = busy();
        while still && waited < longest && !cancel.is_cancelled() {
            cancel.sleep(STEP);
            waited += STEP;
            still = busy();
        }
        self.in_vain = if still { self.in_vain.saturating_add(1) } else { 0 };
        u64::try_from(waited.as_millis()).unwrap_or(u64::MAX)
    }
}

/// Whether more tasks are runnable than there are processors. Elsewhere than on Linux nothing is known, and nothing waits.
fn busy() -> bool {
    let runnable = fs::read_to_string("/proc/loadavg").ok().and_then(|text| runnable(&text));
    let processors = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    runnable.is_some_and(|runnable| runnable > processors)
}

/// `0.20 0.18 0.12 3/80 11206`: three are runnable.
fn runnable(loadavg: &str) -> Option<usize> {
    loadavg.split(' ').nth(3)?.split('/').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runnable_tasks_are_read() {
        assert_eq!(runnable("0.20 0.18 0.12 3/80 11206\n"), Some(3));
        assert_eq!(runnable(""), None);
    }

    #[test]
    fn nobody_waits_once_cancelled() {
        let cancel = Cancel::new();
        cancel.cancel();
        assert_eq!(Weather::default().wait(&cancel), 0);
    }

    #[test]
    fn waiting_is_given_up_where_it_does_not_help_and_taken_up_again() {
        let (cancel, mut weather) = (Cancel::new(), Weather::default());
        let waits = [true; 6].map(|_| weather.wait_while(&|| true, &cancel));
        assert_eq!(waits, [500, 500, 500, 500, 0, 0]);
        assert_eq!(weather.wait_while(&|| false, &cancel), 0);
        assert_eq!(weather.wait_while(&|| true, &cancel), 500);
    }
}
