use std::fs;
use std::time::Duration;

use super::Cancel;

/// Longest that one round waits for a calmer machine.
const LONGEST: Duration = Duration::from_millis(500);
const STEP: Duration = Duration::from_millis(100);

/// Waits while other work keeps the machine busy, at most half a second, and says how long, in milliseconds. The round then runs in any
/// case: it is delayed before anybody has looked, never dropped.
pub(crate) fn wait(cancel: &Cancel) -> u64 {
    let mut waited = Duration::ZERO;
    while waited < LONGEST && busy() && !cancel.is_cancelled() {
        cancel.sleep(STEP);
        waited += STEP;
    }
    u64::try_from(waited.as_millis()).unwrap_or(u64::MAX)
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
        assert_eq!(wait(&cancel), 0);
    }
}
