//! How the number of tasks of each place goes.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use crate::tasks::TaskSite;
use crate::trend::{Sample, Series, Shape, Spoken, TrendOptions, Verdict};
use crate::{Observation, Place};

/// Time between two counts.
const EVERY: Duration = Duration::from_secs(10);
/// Counts kept of a place: an hour and a half, 8 KiB.
const KEPT: usize = 512;
/// More tasks over the window than this matter.
const MATERIAL: u64 = 100;

/// Whether the tasks of one place become more and more: a leak of tasks, in the words of memory.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct TaskTrend {
    /// Where they are started.
    pub place: Place,
    /// How many there are now.
    pub live: u64,
    /// What the counts say; slopes are in tasks a second.
    pub verdict: Verdict,
}

impl fmt::Display for TaskTrend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} tasks; {}", self.place, self.live, self.verdict)
    }
}

/// Counts of the places that have the most tasks, or had: one that has few now makes room where another has more.
#[derive(Debug, Default)]
pub(super) struct TaskTrends {
    counts: BTreeMap<Place, Series>,
    next: Duration,
}

impl TaskTrends {
    /// Takes a count, if it is time. `sites` has those with the most tasks first.
    pub(super) fn count(&mut self, at: Duration, sites: &[TaskSite]) {
        if at < self.next {
            return;
        }
        self.next = at.saturating_add(EVERY);
        for (known, series) in &mut self.counts {
            let live = sites.iter().find(|site| place(site) == *known).map_or(0, |site| site.live);
            series.push(Sample { at, bytes: live });
        }
        for site in sites.iter().take(Observation::PLACES) {
            let place = place(site);
            if self.counts.contains_key(&place) {
                continue;
            }
            if self.counts.len() == Observation::PLACES {
                self.drop_fewest(site.live);
            }
            if self.counts.len() < Observation::PLACES {
                let mut series = Series::with_capacity(KEPT);
                series.push(Sample { at, bytes: site.live });
                self.counts.insert(place, series);
            }
        }
    }

    /// Makes room by the place with the fewest tasks, if those are fewer than `than`.
    fn drop_fewest(&mut self, than: u64) {
        let live = |series: &Series| series.last().map_or(0, |sample| sample.bytes);
        let fewest = self.counts.iter().min_by_key(|(_, series)| live(series));
        if let Some(place) = fewest.filter(|(_, series)| live(series) < than).map(|(place, _)| *place) {
            self.counts.remove(&place);
        }
    }

    /// What the counts say, by place, those that pile up first.
    pub(super) fn read(&self) -> Vec<TaskTrend> {
        let options = TrendOptions { material_bytes: MATERIAL, ..TrendOptions::default() };
        let trend = |(place, series): (&Place, &Series)| {
            let verdict = series.verdict(&options);
            let why = words(&verdict);
            TaskTrend {
                place: *place,
                live: series.last().map_or(0, |sample| sample.bytes),
                verdict: Verdict { why, ..verdict },
            }
        };
        let mut trends: Vec<TaskTrend> = self.counts.iter().map(trend).collect();
        trends.sort_by_key(|trend| (trend.verdict.shape != Shape::Leak, std::cmp::Reverse(trend.live)));
        trends
    }
}

fn place(site: &TaskSite) -> Place {
    Place { name: site.name, file: site.file, line: site.line }
}

fn words(verdict: &Verdict) -> String {
    let hourly =
        verdict.slope.map(|slope| [slope.estimate, slope.low, slope.high].map(|each| each * 3_600.0));
    match (verdict.shape, hourly) {
        (Shape::Leak, Some([more, low, high])) => {
            format!("pile up: {more:.0} more an hour (99 %: {low:.0} to {high:.0}), p = {:.1e}", verdict.p)
        }
        (Shape::Unknown { needs }, _) => format!("unknown (needs {} more)", Spoken(needs)),
        (Shape::WarmUp, _) => "became more, and do so less and less".to_owned(),
        (Shape::Step, _) => "jumped, and stand still apart from that".to_owned(),
        (_, Some([_, _, high])) => format!("stable: {:.0} more an hour at most", high.max(0.0)),
        _ => "stable".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn site(name: &'static str, live: u64) -> TaskSite {
        TaskSite {
            name,
            file: "shop.rs",
            line: 1,
            live,
            unpolled: 0,
            running: 0,
            mean_age: Duration::ZERO,
            started: live,
            completed: 0,
            dropped: 0,
            polls: 0,
            busy: Duration::ZERO,
            longest_poll: Duration::ZERO,
        }
    }

    #[test]
    fn tasks_that_pile_up_slowly_are_told_from_those_that_come_and_go() {
        let mut trends = TaskTrends::default();
        for second in 0..1_800 {
            let noise = |salt: u64| (second ^ salt).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 59;
            let sites = [site("request", 5_000 + 40 * noise(7)), site("export", 100 + second / 3 + noise(3))];
            trends.count(Duration::from_secs(second), &sites);
        }
        let read = trends.read();
        let [export, request] = read.as_slice() else { panic!("{read:?}") };
        assert_eq!((export.place.name, export.verdict.shape), ("export", Shape::Leak), "{export}");
        assert!(
            export.to_string().contains("pile up: 1") && export.to_string().contains("more an hour"),
            "{export}"
        );
        assert_ne!(request.verdict.shape, Shape::Leak, "{request}");
    }

    /// What had many tasks once and has none now is not among those with the most any more.
    #[test]
    fn after_a_burst_a_place_that_piles_up_is_seen() {
        let mut trends = TaskTrends::default();
        const START: [&str; 8] = ["a", "b", "c", "d", "e", "f", "g", "h"];
        const LATER: [&str; 8] = ["i", "j", "k", "l", "m", "n", "o", "p"];
        for second in 0..2_400_u64 {
            let noise = second.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 61;
            let burst = if second < 60 { 10_000 } else { 0 };
            let mut sites: Vec<TaskSite> = START.iter().map(|name| site(name, burst)).collect();
            sites.extend(LATER.iter().map(|name| site(name, 20 + noise)));
            sites.push(site("export", 30 + second / 2 + noise));
            sites.sort_by(|a, b| b.live.cmp(&a.live).then_with(|| a.name.cmp(b.name)));
            trends.count(Duration::from_secs(second), &sites);
        }
        let read = trends.read();
        assert_eq!((read[0].place.name, read[0].verdict.shape), ("export", Shape::Leak), "{read:?}");
        assert!(read.iter().all(|trend| trend.live < 10_000), "as many as there are now: {read:?}");
    }

    #[test]
    fn places_are_bounded_and_those_with_more_tasks_stay() {
        let mut trends = TaskTrends::default();
        const NAMES: [&str; 12] = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l"];
        let mut sites = Vec::new();
        for (round, name) in (1..).zip(NAMES) {
            sites.insert(0, site(name, 100 * round));
            trends.count(Duration::from_secs(10 * round), &sites);
        }
        let read = trends.read();
        assert_eq!(read.len(), Observation::PLACES);
        assert!(read.iter().all(|trend| trend.live > 400), "{read:?}");
        assert!(read[0].to_string().contains("unknown (needs"), "{}", read[0]);
    }
}
