//! How a run goes over time, kept in memory that does not grow with its length.

use std::{ops::RangeInclusive, time::Duration};

use crate::{
    histogram::{Coarse, Latencies, Quantile, rank},
    report::{Stretch, Timeline},
    shard::WINDOW,
    window::Window,
};

/// The fewest operations a percentile is told of: of fewer, it would be the longest.
const TOLD: [(f64, u64); 3] = [(0.5, 1), (0.95, 20), (0.99, 100)];

/// Windows, put together in pairs whenever they become too many.
#[derive(Debug, Clone, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub(crate) struct Course {
    parts: Vec<Part>, // at most Timeline::MOST, in time order
    doublings: u32,   // a part is as long as 2^doublings windows
}

/// What is kept of neighbouring windows.
#[derive(Debug, Clone, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
struct Part {
    #[cfg_attr(feature = "serde", serde(with = "crate::report::nanos"))]
    from: Duration,
    #[cfg_attr(feature = "serde", serde(with = "crate::report::nanos"))]
    to: Duration,
    measured: bool,
    #[cfg_attr(feature = "serde", serde(with = "crate::report::nanos", default))]
    paused: Duration,
    offered: Option<u64>,
    ok: u64,
    failed: u64,
    in_flight: u64, // at most
    answered: Coarse,
    given_up: Coarse,
    lag: Coarse,
}

impl Course {
    /// Adds the next window, and the generator's lag in it.
    pub(crate) fn take(&mut self, window: &Window, lag: &Latencies) {
        match self.parts.last_mut() {
            Some(last) if place(last.from, self.doublings) == place(window.from, self.doublings) => {
                last.add(window, lag);
            }
            _ => {
                let nothing = window.offered.map(|_| 0);
                let mut part = Part { from: window.from, offered: nothing, ..Part::default() };
                part.add(window, lag);
                self.parts.push(part);
            }
        }
        while self.parts.len() > Timeline::MOST {
            self.halve();
        }
    }

    /// Adds that of another process, which ran beside.
    #[cfg(feature = "serde")]
    pub(crate) fn join(&mut self, mut other: Self) {
        while self.doublings < other.doublings {
            self.halve();
        }
        while other.doublings < self.doublings {
            other.halve();
        }
        for part in other.parts {
            let at = place(part.from, self.doublings);
            let before = self.parts.partition_point(|ours| place(ours.from, self.doublings) < at);
            match self.parts.get_mut(before).filter(|ours| place(ours.from, self.doublings) == at) {
                Some(ours) => ours.join(&part),
                None => self.parts.insert(before, part),
            }
        }
        while self.parts.len() > Timeline::MOST {
            self.halve();
        }
    }

    /// Puts neighbours together.
    fn halve(&mut self) {
        self.doublings += 1;
        let doublings = self.doublings;
        self.parts.dedup_by(|next, part| {
            let together = place(part.from, doublings) == place(next.from, doublings);
            if together {
                part.merge(next);
            }
            together
        });
    }

    /// For the report.
    pub(crate) fn timeline(&self) -> Timeline {
        let rows = self.parts.iter().flat_map(|part| part.answered.rows());
        let ends = rows.fold(None, |ends: Option<(usize, usize)>, (row, _)| {
            ends.map_or(Some((row, row)), |(low, high)| Some((low.min(row), high.max(row))))
        });
        let rows = ends.map(|(low, high)| low..=high);
        Timeline {
            rows: rows.iter().cloned().flatten().map(Coarse::end_of_row).collect(),
            stretches: self.parts.iter().map(|part| part.stretch(rows.as_ref())).collect(),
        }
    }
}

/// Which stretch of that length an instant belongs to.
fn place(at: Duration, doublings: u32) -> u128 {
    at.as_nanos() / WINDOW.saturating_mul(1 << doublings.min(31)).as_nanos()
}

impl Part {
    /// Adds the window that follows.
    fn add(&mut self, window: &Window, lag: &Latencies) {
        self.to = self.to.max(window.to);
        self.measured |= window.measured;
        self.paused += window.paused;
        self.offered = self.offered.zip(window.offered).map(|(ours, theirs)| ours + theirs);
        self.ok += window.ok;
        self.failed += window.failed;
        self.in_flight = self.in_flight.max(window.in_flight);
        self.answered.add(window.response.answered());
        window.response.given_up().into_iter().for_each(|given_up| self.given_up.add(given_up));
        self.lag.add(lag);
    }

    /// Adds the same stretch of another process.
    #[cfg(feature = "serde")]
    fn join(&mut self, other: &Self) {
        let (from, in_flight) = (self.from.min(other.from), self.in_flight + other.in_flight);
        self.merge(other);
        (self.from, self.in_flight) = (from, in_flight);
    }

    /// Adds the one that follows.
    fn merge(&mut self, next: &Self) {
        self.to = self.to.max(next.to);
        self.measured |= next.measured;
        self.paused += next.paused;
        self.offered = self.offered.zip(next.offered).map(|(ours, theirs)| ours + theirs);
        self.ok += next.ok;
        self.failed += next.failed;
        self.in_flight = self.in_flight.max(next.in_flight);
        self.answered.merge(&next.answered);
        self.given_up.merge(&next.given_up);
        self.lag.merge(&next.lag);
    }

    fn stretch(&self, rows: Option<&RangeInclusive<usize>>) -> Stretch {
        let mut heat = vec![0; rows.map_or(0, |rows| rows.clone().count())];
        let first = rows.map_or(0, |rows| *rows.start());
        self.answered.rows().for_each(|(row, n)| heat[row - first] += n);
        let [p50, p95, p99] = TOLD.map(|(q, least)| self.quantile(q).filter(|_| self.count() >= least));
        Stretch {
            from: self.from,
            to: self.to,
            measured: self.measured,
            paused: self.paused,
            offered: self.offered,
            ok: self.ok,
            failed: self.failed,
            unanswered: self.given_up.count(),
            in_flight: self.in_flight,
            p50,
            p95,
            p99,
            lag_p50: self.lag.quantile(0.5),
            lag_p99: self.lag.quantile(0.99),
            lag_max: self.lag.longest(),
            heat,
        }
    }

    fn count(&self) -> u64 {
        self.answered.count() + self.given_up.count()
    }

    /// As [`Distribution`](crate::Distribution) has it: what was never answered is slower than every answer.
    fn quantile(&self, q: f64) -> Option<Quantile> {
        let rank = rank(q, self.count());
        if rank <= self.answered.count() {
            return self.answered.at_rank(rank).map(Quantile::Value);
        }
        let mut floor = self.answered.clone();
        floor.merge(&self.given_up);
        floor.at_rank(rank).map(Quantile::AtLeast)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::histogram::Distribution;

    const SECOND: Duration = Duration::from_secs(1);

    fn window(nth: u32) -> Window {
        let mut response = Distribution::default();
        (1..=50).for_each(|n| response.record(Duration::from_millis(n)));
        response.record_unanswered(SECOND);
        Window {
            from: SECOND * nth,
            to: SECOND * (nth + 1),
            planned: SECOND * 100,
            paused: Duration::ZERO,
            offered: Some(60),
            ok: 49,
            failed: 2,
            in_flight: u64::from(nth % 7),
            measured: nth > 0,
            p50: None,
            p95: None,
            lag_p99: None,
            outlook: None,
            failures: Vec::new(),
            response,
        }
    }

    fn after(windows: u32) -> Course {
        let mut lag = Latencies::new();
        lag.record(Duration::from_micros(70));
        let mut course = Course::default();
        (0..windows).for_each(|nth| course.take(&window(nth), &lag));
        course
    }

    #[test]
    fn a_run_of_any_length_has_a_bounded_number_of_stretches_and_loses_no_count() {
        for windows in [1, 119, 120, 121, 5_000] {
            let timeline = after(windows).timeline();
            let stretches = &timeline.stretches;
            assert!(stretches.len() <= Timeline::MOST, "{windows}: {}", stretches.len());
            assert!(windows < 120 || stretches.len() >= Timeline::MOST / 2, "{windows}: {}", stretches.len());
            let sum = |of: fn(&Stretch) -> u64| stretches.iter().map(of).sum::<u64>();
            let all = u64::from(windows);
            assert_eq!(sum(|one| one.ok + one.failed), all * 51);
            assert_eq!(sum(|one| one.heat.iter().sum::<u64>() + one.unanswered), all * 51);
            assert_eq!(sum(|one| one.offered.unwrap_or(0)), all * 60);
            assert!(stretches.windows(2).all(|pair| pair[0].to == pair[1].from), "without a gap");
            let lengths: Vec<_> = stretches.iter().rev().skip(1).map(Stretch::length).collect();
            assert!(lengths.windows(2).all(|pair| pair[0] == pair[1]), "{lengths:?}");
        }
    }

    #[test]
    fn percentiles_need_operations_and_those_never_answered_are_bounds() {
        let timeline = after(1).timeline();
        let one = &timeline.stretches[0];
        let p50 = one.p50.and_then(Quantile::value).expect("a value");
        assert!((Duration::from_millis(26)..Duration::from_millis(28)).contains(&p50), "{p50:?}");
        assert_eq!((one.p95.is_some(), one.p99), (true, None), "51 operations");
        let stretch = &after(500).timeline().stretches[0];
        assert_eq!(stretch.p99, Some(Quantile::AtLeast(SECOND)));
        assert_eq!(stretch.lag_max, Some(Duration::from_micros(70)));
        assert!(!one.measured && stretch.measured);
    }
}
