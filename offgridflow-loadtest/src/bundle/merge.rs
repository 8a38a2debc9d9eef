//! All shards of a run, added up and judged once.

use std::{
    collections::BTreeMap,
    time::{Duration, UNIX_EPOCH},
};

use super::{Bundle, record::Record};
use crate::{
    error::ConfigError,
    report::{Began, Ending, Measured, Report},
    route::RouteTable,
};

/// Why shards cannot be judged together: every reason, one a line, with the shard it is about.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", .problems.join("\n"))]
#[non_exhaustive]
pub struct MergeError {
    /// One for each shard that is missing, there twice, of another run, late, or not whole.
    pub problems: Vec<String>,
}

/// The report of a run from the bundles of all its shards: their histograms are added counter for counter, and the sum is judged once,
/// as if one process had run it.
///
/// `expect` is how many shards there have to be, and `max_skew` how far apart they may have begun, by the clock that all of them see
/// ([`Bundle::clock_ahead_ns`]). What the shards' own machines were like enters the verdict by the worst of them.
///
/// ```
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use offgridflow_loadtest::{LoadTest, Rate, merge, workload_fn};
/// use std::time::Duration;
/// let shard = |index| {
///     LoadTest::new(workload_fn(|_op| tokio::time::sleep(Duration::from_millis(2))))
///         .rate(Rate::constant(1_000.0, Duration::from_secs(2)))
///         .threshold("p95(response) < 100ms")
///         .shard(index, 2)
/// };
/// let bundles = vec![shard(0).run_shard_here().await?.0, shard(1).run_shard_here().await?.0];
/// let skew = Duration::from_secs(60); // they ran one after the other here
/// let report = merge(bundles, 2, skew)?;
/// assert_eq!((report.offered, report.passed()), (2_000, true));
///
/// let alone = merge(vec![shard(0).run_shard_here().await?.0], 2, skew).unwrap_err();
/// assert_eq!(alone.to_string(), "shard 1 is missing");
/// # Ok(()) }
/// ```
///
/// # Errors
/// Every shard that is missing, there twice, of another plan than the others, not run to its end, or that began more than `max_skew` from
/// the middle one.
pub fn merge(mut bundles: Vec<Bundle>, expect: usize, max_skew: Duration) -> Result<Report, MergeError> {
    bundles.sort_by_key(Bundle::shard);
    let problems = problems(&bundles, expect, max_skew);
    if !problems.is_empty() {
        return Err(MergeError { problems });
    }
    summed(bundles).map_err(|error| MergeError { problems: vec![error.to_string()] })
}

fn problems(bundles: &[Bundle], expect: usize, max_skew: Duration) -> Vec<String> {
    let mut by_shard: BTreeMap<u64, usize> = BTreeMap::new();
    bundles.iter().for_each(|bundle| *by_shard.entry(bundle.shard()).or_default() += 1);
    let expected = u64::try_from(expect).unwrap_or(u64::MAX);
    let missing = (0..expected).filter(|shard| !by_shard.contains_key(shard));
    let missing = missing.map(|shard| format!("shard {shard} is missing"));
    let twice = by_shard.iter().filter(|(_, n)| **n > 1);
    let twice = twice.map(|(shard, n)| format!("shard {shard} is there {n} times"));
    let mut all: Vec<_> = missing.chain(twice).collect();
    if expect == 0 {
        all.push("there is nothing to expect: name the number of shards".into());
    }
    all.extend(bundles.iter().filter_map(|bundle| of_another_split(bundle, expected)));
    all.extend(of_another_plan(bundles));
    all.extend(bundles.iter().filter_map(not_whole));
    all.extend(skewed(bundles, max_skew));
    all
}

fn of_another_split(bundle: &Bundle, expected: u64) -> Option<String> {
    let of = bundle.of_shards();
    (of != expected).then(|| format!("shard {} is one of {of}, not of {expected}", bundle.shard()))
}

/// Those that do not agree with what most have.
fn of_another_plan(bundles: &[Bundle]) -> Vec<String> {
    let agreeing = |bundle: &&Bundle| bundles.iter().filter(|other| other.terms == bundle.terms).count();
    let Some(usual) = bundles.iter().rev().max_by_key(agreeing) else { return Vec::new() };
    let others = bundles.iter().filter(|bundle| bundle.terms != usual.terms);
    let said = others.map(|bundle| {
        let differences = usual.terms.differences(&bundle.terms).join(", ");
        format!("shard {} is of another run than shard {}: {differences}", bundle.shard(), usual.shard())
    });
    said.collect()
}

fn not_whole(bundle: &Bundle) -> Option<String> {
    let why = match bundle.ending() {
        Ending::Completed | Ending::Aborted => return None,
        Ending::Interrupted => "was interrupted".into(),
        Ending::NotStarted => {
            format!(
                "did not start: {}",
                bundle.record.unreachable.as_deref().unwrap_or("its target did not answer")
            )
        }
    };
    Some(format!("shard {} {why}", bundle.shard()))
}

/// Those that began at another time than the middle one.
fn skewed(bundles: &[Bundle], max_skew: Duration) -> Vec<String> {
    let mut began: Vec<_> = bundles.iter().map(Bundle::began).collect();
    began.sort_unstable();
    let Some(&middle) = began.get(began.len() / 2) else { return Vec::new() };
    let most = i128::try_from(max_skew.as_nanos()).unwrap_or(i128::MAX);
    let off = bundles.iter().filter(|bundle| (bundle.began() - middle).abs() > most);
    off.map(|bundle| said_of_skew(bundle, bundle.began() - middle, max_skew)).collect()
}

fn said_of_skew(bundle: &Bundle, off_ns: i128, max_skew: Duration) -> String {
    #[expect(clippy::cast_precision_loss, reason = "for people")]
    let seconds = |ns: i128| ns.unsigned_abs() as f64 / 1e9;
    let when = if off_ns > 0 { "after" } else { "before" };
    let clock = match bundle.clock_ahead_ns {
        Some(ahead) if ahead.unsigned_abs() > 1_000_000 => {
            let way = if ahead > 0 { "ahead" } else { "behind" };
            format!(", its clock is {:.3} s {way}", seconds(ahead.into()))
        }
        _ => String::new(),
    };
    let late = if bundle.late_ns > 1_000_000_000 { ", it was not ready in time" } else { "" };
    format!(
        "shard {} began {:.3} s {when} the others, more than {max_skew:?}{clock}{late}",
        bundle.shard(),
        seconds(off_ns)
    )
}

fn summed(bundles: Vec<Bundle>) -> Result<Report, ConfigError> {
    let threads = bundles.iter().map(|bundle| bundle.record.threads).sum();
    let mut notes: Vec<String> = bundles.iter().flat_map(|bundle| bundle.record.notes.clone()).collect();
    notes.sort();
    notes.dedup();
    notes.push(format!(
        "merged from {} shards; what is said of the generator is of the worst of them",
        bundles.len()
    ));
    let names = names(bundles.iter().map(|bundle| &bundle.record));
    let began = bundles.iter().map(Bundle::began).min().unwrap_or(0);
    let at = UNIX_EPOCH + Duration::from_nanos(u64::try_from(began).unwrap_or(0));
    let began = Began { at, late: Duration::ZERO };
    let mut plan = None;
    let mut whole: Option<Measured> = None;
    for bundle in bundles {
        if plan.is_none() {
            plan = Some(bundle.terms.plan(threads, std::mem::take(&mut notes))?);
        }
        let measured = bundle.record.measured(&names, began);
        match &mut whole {
            Some(whole) => whole.join(measured),
            None => whole = Some(measured),
        }
    }
    let nothing = || ConfigError::new("", "there is nothing to merge");
    Ok(whole.ok_or_else(nothing)?.report(&plan.ok_or_else(nothing)?, &names))
}

/// The names of all shards, in the order of the first that has them.
fn names<'a>(records: impl Iterator<Item = &'a Record> + Clone) -> RouteTable {
    let mut routes: Vec<String> = Vec::new();
    let mut steps: Vec<String> = Vec::new();
    for record in records {
        for (all, of) in [(&mut routes, &record.routes), (&mut steps, &record.steps)] {
            for (name, _) in of.iter().filter(|(name, _)| !matches!(&**name, "unnamed" | "other")) {
                if !all.contains(name) {
                    all.push(name.clone());
                }
            }
        }
    }
    RouteTable::knowing(&routes).with_steps(&steps)
}

impl Measured {
    /// Adds what was measured beside it.
    fn join(&mut self, other: Self) {
        self.tally.merge(&other.tally);
        if self.ending == Ending::Completed {
            self.ending = other.ending;
        }
        self.elapsed = self.elapsed.max(other.elapsed);
        self.measured_from = self.measured_from.max(other.measured_from);
        self.silence = self.silence.overlap(other.silence);
        self.offered += other.offered;
        self.stuck.extend(other.stuck);
        self.fault = self.fault.take().or(other.fault);
        self.generator = self.generator.beside(other.generator);
        self.settled &= other.settled;
        self.trend = match (self.trend, other.trend) {
            (Some(one), Some(two)) => Some(one || two),
            (one, two) => one.or(two),
        };
        self.unreachable = self.unreachable.take().or(other.unreachable);
        self.aborted = self.aborted.take().or(other.aborted);
        self.environment = self.environment.take().or(other.environment);
        self.course.join(other.course);
    }
}
