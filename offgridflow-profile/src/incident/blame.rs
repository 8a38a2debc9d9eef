//! Who is to blame: what grew from before the trigger to after. Pure, so that it is tried on incidents whose cause is known.

use std::collections::HashMap;
use std::time::Duration;

use super::Evidence;
use super::attribution::{OWN, by_function};
use crate::binomial::two_sided;
use crate::trend::Bytes;
use crate::{Place, Profile};

/// Suspects named of one kind of evidence.
const EACH: usize = 5;

/// Something that grew.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Suspect {
    /// The function, or the name of the place.
    pub name: String,
    /// Which evidence it rests on: `heap`, `cpu`, `tasks` or `waits`.
    pub what: String,
    /// What it did, in words.
    pub grew: String,
    /// Its part of what grew in that evidence, 0 to 1.
    pub share: f64,
}

/// Who may be to blame for a trigger of this kind, the likeliest first: by the evidence that fits it, then by the rest.
///
/// Where a trigger named a place of its own, that is the first.
#[must_use]
pub fn suspects(kind: &str, place: Option<Place>, evidence: &[Evidence]) -> Vec<Suspect> {
    let order: [&str; 4] = match kind {
        "leak" | "limit" | "pressure" => ["heap", "tasks", "cpu", "waits"],
        "tasks" => ["tasks", "waits", "cpu", "heap"],
        "wait" => ["waits", "tasks", "cpu", "heap"],
        "latency" => ["waits", "cpu", "tasks", "heap"],
        _ => ["cpu", "waits", "tasks", "heap"],
    };
    let mut found: Vec<Suspect> = order
        .iter()
        .filter_map(|what| evidence.iter().find(|evidence| evidence.what == *what))
        .flat_map(of)
        .collect();
    if let Some(place) = place {
        let named = found.iter().position(|suspect| suspect.name == place.name);
        let first = named.map_or_else(|| by_trigger(kind, place), |index| found.remove(index));
        found.insert(0, first);
    }
    found
}

fn by_trigger(kind: &str, place: Place) -> Suspect {
    let what = if kind == "wait" { "waits" } else { "tasks" };
    Suspect {
        name: place.name.to_owned(),
        what: what.to_owned(),
        grew: format!("named by the trigger: {place}"),
        share: 1.0,
    }
}

fn of(evidence: &Evidence) -> Vec<Suspect> {
    let Some(after) = &evidence.after else { return Vec::new() };
    let before = evidence.before.as_ref();
    match evidence.what.as_str() {
        "heap" => {
            grown("heap", "inuse_space", before, after, |bytes| format!("{} more in use", Bytes(bytes)))
        }
        "tasks" => grown("tasks", "goroutine", before, after, |tasks| format!("{tasks:.0} more tasks")),
        "waits" => {
            grown("waits", "delay", before, after, |nanos| format!("{:.1} s more waited", nanos / 1e9))
        }
        "cpu" => busier(before, after),
        _ => Vec::new(),
    }
}

/// By how much more of a kind of value there is; for values that are there at an instant, or count since the start.
#[expect(clippy::cast_precision_loss, reason = "values below 2^53 are exact")]
fn grown(
    what: &str,
    kind: &str,
    before: Option<&Profile>,
    after: &Profile,
    words: impl Fn(f64) -> String,
) -> Vec<Suspect> {
    let sum = |profile: &Profile| by_function(profile, |one| one == kind);
    let earlier = before.map(sum).unwrap_or_default();
    let change = |(name, value): (String, i64)| {
        let more = value.saturating_sub(earlier.get(&name).copied().unwrap_or(0));
        (name, more as f64)
    };
    let changes: Vec<(String, f64)> =
        sum(after).into_iter().map(change).filter(|(_, more)| *more > 0.0).collect();
    rank(what, changes, |_, more| words(more))
}

/// By how much more CPU time a second is spent; what could be chance is left out.
#[expect(clippy::cast_precision_loss, reason = "counts of samples")]
fn busier(before: Option<&Profile>, after: &Profile) -> Vec<Suspect> {
    let samples = |profile: &Profile| by_function(profile, |kind| kind == "samples");
    let seconds = |profile: &Profile| profile.duration.max(Duration::from_millis(1)).as_secs_f64();
    let (earlier, later) = (before.map(samples).unwrap_or_default(), samples(after));
    let (then, now) = (before.map_or(0.0, seconds), seconds(after));
    let period = after.period as f64 / 1e9;
    let mut chances = HashMap::new();
    let change = |(name, count): (String, i64)| {
        let was = earlier.get(&name).copied().unwrap_or(0);
        let rate = if then > 0.0 { was as f64 / then } else { 0.0 };
        // Given its samples in both, how many are later is binomial by the times, if it is as busy as it was.
        let p = if then > 0.0 {
            two_sided(was.max(0).unsigned_abs(), count.max(0).unsigned_abs(), now / (then + now))
        } else {
            0.0
        };
        chances.insert(name.clone(), p);
        (name, (count as f64 / now - rate) * period)
    };
    let changes: Vec<(String, f64)> = later.into_iter().map(change).collect();
    let tests = changes.len().max(1) as f64;
    let sure = |(name, more): &(String, f64)| *more > 0.0 && chances[name] * tests < 0.05;
    let changes: Vec<(String, f64)> = changes.into_iter().filter(sure).collect();
    rank("cpu", changes, |name, more| format!("{more:.2} cores more (p = {:.1e})", chances[name]))
}

fn rank(what: &str, mut changes: Vec<(String, f64)>, words: impl Fn(&str, f64) -> String) -> Vec<Suspect> {
    changes.retain(|(name, _)| name != OWN);
    changes.sort_by(|a, b| b.1.total_cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    let all: f64 = changes.iter().map(|(_, more)| more).sum();
    let suspect = |(name, more): (String, f64)| Suspect {
        grew: words(&name, more),
        name,
        what: what.to_owned(),
        share: if all > 0.0 { more / all } else { 0.0 },
    };
    changes.into_iter().take(EACH).map(suspect).collect()
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::super::attribution::OWN;
    use super::*;
    use crate::{Frame, Stack, ValueKind};

    fn profile(kind: (&str, &str), seconds: u64, stacks: &[(&[&str], i64)]) -> Profile {
        let kind = ValueKind::new(kind.0, kind.1);
        let stack = |(frames, value): &(&[&str], i64)| Stack {
            frames: frames.iter().map(|function| Frame::named(*function)).collect(),
            values: vec![*value],
            labels: vec![],
        };
        Profile {
            kinds: vec![kind.clone()],
            stacks: stacks.iter().map(stack).collect(),
            began: SystemTime::UNIX_EPOCH,
            duration: Duration::from_secs(seconds),
            period: 10_000_000,
            period_kind: kind,
            comments: vec![],
            mappings: vec![],
        }
    }

    fn evidence(what: &str, before: Option<Profile>, after: Profile) -> Evidence {
        Evidence { what: what.to_owned(), before, after: Some(after) }
    }

    /// Their stacks may be cut before they reach this crate.
    #[test]
    fn what_samples_and_what_reads_debug_information_is_the_profiler() {
        let heap = ("inuse_space", "bytes");
        let table: &[&str] = &[
            "once_cell::sync::Lazy<T,F>::force",
            "pprof::profiler::trigger_lazy",
            "core::ops::function::FnOnce::call_once",
        ];
        let names: &[&str] = &[
            "alloc::vec::Vec<T>::push",
            "gimli::read::abbrev::Abbreviations::insert",
            "addr2line::unit::ResUnits<R>::parse",
        ];
        let theirs: &[&str] = &["gimli::read::abbrev::Abbreviations::insert", "shop::crash::symbolize"];
        let after = profile(heap, 0, &[(table, 18 << 20), (names, 30 << 20), (theirs, 2 << 20)]);
        let found = suspects("leak", None, &[evidence("heap", None, after.clone())]);
        assert_eq!(found.iter().map(|one| one.name.as_str()).collect::<Vec<_>>(), ["shop::crash::symbolize"]);
        assert_eq!(by_function(&after, |_| true)[OWN], 48 << 20);
    }

    #[test]
    fn what_was_always_large_is_not_blamed_for_what_grew() {
        let heap = ("inuse_space", "bytes");
        let before =
            profile(heap, 0, &[(&["shop::cache::fill"], 900 << 20), (&["shop::receipts::keep"], 1 << 20)]);
        let after =
            profile(heap, 0, &[(&["shop::cache::fill"], 902 << 20), (&["shop::receipts::keep"], 41 << 20)]);
        let found = suspects("leak", None, &[evidence("heap", Some(before), after)]);
        assert_eq!(
            (found[0].name.as_str(), found[0].grew.as_str()),
            ("shop::receipts::keep", "40.0 MiB more in use")
        );
        assert!((found[0].share - 40.0 / 42.0).abs() < 1e-9);
    }

    /// What the capture itself needs grows while it is taken, and an application's tasks run within this crate's wrappers.
    #[test]
    fn the_profiler_is_not_blamed_for_its_own_work() {
        let heap = ("inuse_space", "bytes");
        let own: &[&str] = &[
            "alloc::vec::Vec<T>::push",
            "object::read::elf::symbols",
            "offgridflow_profile::symbols::elf::read",
            "offgridflow_profile::profiler::watcher::run",
        ];
        let served: &[&str] =
            &["<offgridflow_profile::http::service::ProfileService as tower_service::Service<R>>::call"];
        let task: &[&str] = &[
            "shop::receipts::keep",
            "<offgridflow_profile::tasks::future::Profiled<F> as core::future::future::Future>::poll",
            "tokio::runtime::run",
        ];
        let after = profile(heap, 0, &[(own, 60 << 20), (served, 9 << 20), (task, 40 << 20)]);
        let found = suspects("leak", None, &[evidence("heap", None, after.clone())]);
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!((found[0].name.as_str(), found[0].share), ("shop::receipts::keep", 1.0));
        assert_eq!(by_function(&after, |_| true)[OWN], 69 << 20, "it is shown all the same");
    }

    #[test]
    fn cpu_is_compared_by_the_second_and_chance_is_left_out() {
        let cpu = ("samples", "count");
        let before = profile(cpu, 100, &[(&["shop::serve"], 4_000), (&["shop::hash"], 20)]);
        let after = profile(cpu, 10, &[(&["shop::serve"], 410), (&["shop::hash"], 900)]);
        let found = suspects("cpu", None, &[evidence("cpu", Some(before), after)]);
        let names: Vec<&str> = found.iter().map(|suspect| suspect.name.as_str()).collect();
        assert_eq!(names, ["shop::hash"], "410 in 10 s are no more than 4 000 in 100 s");
        assert!(found[0].grew.starts_with("0.90 cores more (p = "), "{}", found[0].grew);
    }

    #[test]
    fn without_windows_from_before_the_largest_is_named() {
        let after = profile(("samples", "count"), 10, &[(&["shop::a"], 10), (&["shop::b"], 500)]);
        assert_eq!(suspects("cpu", None, &[evidence("cpu", None, after)])[0].name, "shop::b");
    }

    #[test]
    fn the_place_that_a_trigger_names_is_the_first() {
        let tasks = profile(("goroutine", "count"), 0, &[(&["idle"], 50_000), (&["export"], 20_000)]);
        let place = Place { name: "export", file: "src/export.rs", line: 3 };
        let found = suspects("tasks", Some(place), &[evidence("tasks", None, tasks)]);
        assert_eq!((found[0].name.as_str(), found[1].name.as_str()), ("export", "idle"));
        assert_eq!(suspects("wait", Some(place), &[])[0].what, "waits");
    }
}
