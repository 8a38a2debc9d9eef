use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use offgridflow_profile::{LatencyCounts, LatencyFeed};

use super::{TrafficPoint, TrafficView};

/// How often it is looked at, what a point speaks of, and how many points are kept.
pub(crate) const LOOK: Duration = Duration::from_secs(2);
const SPAN: Duration = Duration::from_secs(10);
const POINTS: usize = 150;
/// Fewest requests of which a 95th percentile is said: with fewer, the largest of them would be no bound for it at 95 % confidence.
const LEAST: u64 = 59;

/// The course of requests, from a feed that only counts them.
#[derive(Debug, Default)]
pub(crate) struct Traffic {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    earlier: VecDeque<(Instant, LatencyCounts)>, // of the last ten seconds, the oldest first
    course: VecDeque<TrafficPoint>,              // at most POINTS
}

impl Traffic {
    /// Looks at the feed; to be called every [`LOOK`].
    pub(crate) fn look(&self, feed: &LatencyFeed, now: Instant) {
        let counts = feed.counts();
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        while state.earlier.len() > 1 && state.earlier.front().is_some_and(|(then, _)| now - *then > SPAN) {
            state.earlier.pop_front();
        }
        if let Some((then, before)) = state.earlier.front() {
            let point = point(&counts.since(before), now - *then);
            state.course.push_back(point);
        }
        state.earlier.push_back((now, counts));
        while state.course.len() > POINTS {
            state.course.pop_front();
        }
    }

    pub(crate) fn view(&self) -> TrafficView {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        TrafficView {
            now: state.course.back().copied().unwrap_or_default(),
            course: state.course.iter().copied().collect(),
        }
    }
}

fn point(since: &LatencyCounts, span: Duration) -> TrafficPoint {
    let (requests, millis) = (since.count(), |took: Duration| took.as_secs_f64() * 1e3);
    TrafficPoint {
        rate_per_sec: requests as f64 / span.as_secs_f64().max(1e-3),
        requests,
        p50_ms: since.quantile(0.5).map(millis),
        p95_ms: since.quantile(0.95).map(millis).filter(|_| requests >= LEAST),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rate_and_percentile_are_those_of_the_last_ten_seconds() {
        let profiler = offgridflow_profile::Profiler::builder().start().unwrap();
        let (feed, traffic, start) = (profiler.latency(), Traffic::default(), Instant::now());
        traffic.look(&feed, start);
        assert_eq!(traffic.view(), TrafficView::default(), "one look tells nothing");
        for look in 1..=200_u64 {
            let millis = if look <= 100 { 100 } else { 10 };
            (0..20).for_each(|_| feed.record(Duration::from_millis(millis)));
            traffic.look(&feed, start + LOOK * u32::try_from(look).unwrap());
        }
        let view = traffic.view();
        assert_eq!((view.now.rate_per_sec, view.now.requests, view.course.len()), (10.0, 100, POINTS));
        assert!((10.0..12.0).contains(&view.now.p95_ms.unwrap()), "{:?}", view.now);
        assert!(view.course[0].p95_ms.unwrap() > 99.0, "{:?}", view.course[0]);
    }

    #[test]
    fn too_few_requests_have_no_percentile() {
        let profiler = offgridflow_profile::Profiler::builder().start().unwrap();
        let (feed, traffic, start) = (profiler.latency(), Traffic::default(), Instant::now());
        traffic.look(&feed, start);
        (0..58).for_each(|_| feed.record(Duration::from_millis(1)));
        traffic.look(&feed, start + LOOK);
        assert!(traffic.view().now.p50_ms.is_some() && traffic.view().now.p95_ms.is_none());
    }
}
