//! From counters of the process to observations, about once a second.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use super::latency::LatencyFeed;
use crate::cpu::usage::{cpu_time, cpu_waited};
use crate::tasks::{TaskSite, Waited, tasks, waits};
use crate::{MemoryWatch, Observation, Place, ProcSource, TaskCount, WaitTime};

pub(super) struct Observer {
    memory: Arc<MemoryWatch>,
    proc: ProcSource,
    latency: LatencyFeed,
    cpu: Option<(Duration, Duration)>,     // when, and CPU time by then
    starved: Option<(Duration, Duration)>, // when, and time waited for a core by then
    waits: HashMap<Place, Before>,
}

/// What a place had waited by the observation before.
#[derive(Default)]
struct Before {
    waits: u64,
    waited: Duration,
    stuck_since: Option<Duration>,
}

impl Observer {
    pub(super) fn new(memory: Arc<MemoryWatch>, latency: LatencyFeed) -> Self {
        Self { memory, proc: ProcSource::new(), latency, cpu: None, starved: None, waits: HashMap::new() }
    }

    pub(super) fn observe(&mut self, at: Duration) -> Observation {
        let (reading, limit) = self.memory.newest();
        let mut seen = Observation::new(at);
        seen.memory_bytes = Some(reading.in_use_bytes());
        seen.limit_bytes = limit.map(|limit| limit.bytes);
        if let Some(stats) = self.memory.newest_of_allocator() {
            seen.allocated_bytes = Some(stats.allocated_bytes);
            seen.held_bytes = stats.held_bytes;
        }
        seen.cpu_cores = cpu_time().and_then(|used| cores(&mut self.cpu, at, used));
        seen.cpu_waited = cpu_waited().and_then(|waited| cores(&mut self.starved, at, waited));
        seen.pressure = self.proc.pressure().map(|pressure| pressure.some.share_10s);
        seen.latency_p99 = self.latency.take_p99();
        seen.tasks = tasks().iter().take(Observation::PLACES).map(count).collect();
        seen.waits = self.waits(at, &waits());
        seen
    }

    fn waits(&mut self, at: Duration, sites: &[Waited]) -> Vec<WaitTime> {
        let mut times: Vec<WaitTime> = sites.iter().map(|site| self.wait(at, site)).collect();
        times.sort_by(|a, b| b.mean.cmp(&a.mean).then_with(|| a.place.cmp(&b.place)));
        times.truncate(Observation::PLACES);
        times
    }

    fn wait(&mut self, at: Duration, site: &Waited) -> WaitTime {
        let place = Place { name: site.name, file: site.file, line: site.line };
        let before = self.waits.entry(place).or_default();
        let ended = site.waits.saturating_sub(before.waits);
        let took = site.waited.saturating_sub(before.waited);
        let stuck = site.waiting > 0 && ended == 0;
        let since = if stuck { Some(before.stuck_since.unwrap_or(at)) } else { None };
        let mean = match (since, u32::try_from(ended)) {
            (Some(since), _) => at.saturating_sub(since),
            (None, Ok(ended)) if ended > 0 => took / ended,
            _ => Duration::ZERO,
        };
        *before = Before { waits: site.waits, waited: site.waited, stuck_since: since };
        WaitTime { place, waiting: site.waiting, mean }
    }
}

/// Time of threads since the last observation, by time: as cores. A thread that ended takes its time along, so it may seem less.
fn cores(last: &mut Option<(Duration, Duration)>, at: Duration, spent: Duration) -> Option<f64> {
    let (then, before) = last.replace((at, spent))?;
    let passed = at.checked_sub(then)?.as_secs_f64();
    (passed > 0.0).then(|| spent.saturating_sub(before).as_secs_f64() / passed)
}

fn count(site: &TaskSite) -> TaskCount {
    TaskCount { place: Place { name: site.name, file: site.file, line: site.line }, live: site.live }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn observer() -> Observer {
        Observer::new(Arc::new(MemoryWatch::builder().start().unwrap()), LatencyFeed::new())
    }

    fn site(waiting: u64, waits: u64, millis: u64) -> Waited {
        let (waited, longest) = (Duration::from_millis(millis), Duration::ZERO);
        Waited {
            name: "pool",
            kind: crate::WaitKind::Other,
            file: "pool.rs",
            line: 1,
            waiting,
            under_way: Duration::ZERO,
            waits,
            waited,
            longest,
        }
    }

    #[test]
    fn a_mean_wait_is_of_those_that_ended_since() {
        let mut observer = observer();
        let mut mean = |second, waited| observer.waits(Duration::from_secs(second), &[waited])[0].mean;
        assert_eq!(mean(0, site(0, 10, 1_000)), Duration::from_millis(100));
        assert_eq!(mean(1, site(2, 20, 4_000)), Duration::from_millis(300));
        assert_eq!(mean(2, site(0, 20, 4_000)), Duration::ZERO, "nobody waits");
    }

    #[test]
    fn a_place_where_nothing_ends_waits_longer_and_longer() {
        let mut observer = observer();
        let mut mean = |second| observer.waits(Duration::from_secs(second), &[site(5, 10, 1_000)])[0].mean;
        mean(0);
        assert_eq!((mean(1), mean(4)), (Duration::ZERO, Duration::from_secs(3)));
    }

    #[test]
    fn this_process_is_observed() {
        let mut observer = observer();
        observer.observe(Duration::ZERO);
        let spin = || {
            for round in 0..5_000_000 {
                std::hint::black_box(round);
            }
        };
        // As often as it takes to get time on a busy machine.
        let mut seen = (1..500).map(|turn| {
            spin();
            observer.observe(Duration::from_millis(50) * turn)
        });
        let seen = seen.find(|seen| seen.cpu_cores.is_some_and(|cores| cores > 0.1)).unwrap();
        assert!(seen.memory_bytes.unwrap() > 0);
        assert!(seen.cpu_cores.unwrap() > 0.1, "{seen:?}");
    }
}
