//! C8: how much the cache keeps, beside the map that it is built on; and what it reloads when much ends together.

use std::convert::Infallible;
use std::time::Duration;

use offgridflow_cache::{Cache, Loaded, MemoryTier, Moka, QuickCache, loader_fn};
use tokio::runtime::Runtime;

use crate::Failure;
use crate::requests::{Requests, mixes, traces};
use crate::waves;
use benches::{
    figures::{as_f64, full, seed},
    row,
};

/// Points of hit ratio by which the cache may differ from the raw map.
const POINTS: f64 = 0.5;
/// Pairs of runs, of which the mean difference counts: what a map evicts depends on its hash seed, and moka's housekeeping on the
/// time. More pairs than the fewest while the 99 % interval of the mean leaves it open on which side of the limit it is.
const PAIRS: [usize; 2] = [3, 40];

pub(crate) fn main() -> Result<(), Failure> {
    let seed = seed();
    let count = if full() { 1_000_000 } else { 200_000 };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut all = traces(if full() { usize::MAX } else { 400_000 })?;
    let published = all.len();
    all.extend(mixes(seed, count));
    row!(
        "{:<20} {:>9} {:>7} {:>8} {:>8} {:<6} {:>8} {:>8} {:<6} {:>8} {:>8}",
        "requests",
        "n",
        "room",
        "moka",
        "ours",
        "",
        "quick",
        "ours",
        "",
        "control",
        "LRU"
    );
    let rows = all.iter().map(|requests| Row::measure(&runtime, requests));
    let rows = rows.collect::<Result<Vec<_>, _>>()?;
    let furthest = |of: fn(&Row) -> f64| rows.iter().map(of).fold(0.0, f64::max);
    let (moka, quick) = (furthest(|row| row.moka.at_most()), furthest(|row| row.quick.at_most()));
    let caught = rows.iter().filter(|row| row.off_control() > POINTS).count();
    let waves = waves::measure()?;
    let pass = moka <= POINTS && quick <= POINTS && caught > 0 && waves.held && waves.control_failed;
    println!(
        "{} measured=points-off-moka={moka:.2},points-off-quick_cache={quick:.2},{} control=half-the-room-off-by-more-than-{POINTS}-in-{caught}/{},{} n={}-of-{count},{published}-traces seed {seed}{}",
        if pass { "PASS" } else { "FAIL" },
        waves.measured,
        rows.len(),
        waves.control,
        rows.len() - published,
        if published == 0 { "; no traces: OFFGRIDFLOW_DATA names no folder that has them" } else { "" },
    );
    Ok(())
}

/// Hit ratios, in percent.
struct Row {
    moka: Pairs,
    quick: Pairs,
    control: f64, // the cache over quick_cache with half the room
}

/// Runs of the raw map and of the cache over it, in turn.
#[derive(Default)]
struct Pairs {
    raw: Vec<f64>,
    ours: Vec<f64>,
}

impl Pairs {
    fn measure(
        raw: impl Fn() -> Result<f64, Failure>,
        ours: impl Fn() -> Result<f64, Failure>,
    ) -> Result<Self, Failure> {
        let mut pairs = Self::default();
        while pairs.raw.len() < PAIRS[0] || (pairs.open() && pairs.raw.len() < PAIRS[1]) {
            pairs.raw.push(raw()?);
            pairs.ours.push(ours()?);
        }
        Ok(pairs)
    }

    fn off(&self) -> f64 {
        (mean(&self.raw) - mean(&self.ours)).abs()
    }

    /// Half the 99 % interval of the mean difference.
    fn margin(&self) -> f64 {
        let differences: Vec<f64> = self.raw.iter().zip(&self.ours).map(|(raw, ours)| raw - ours).collect();
        let (mean, count) = (mean(&differences), as_f64(differences.len() as u64));
        let squares: f64 = differences.iter().map(|one| (one - mean).powi(2)).sum();
        2.58 * (squares / (count - 1.0) / count).sqrt()
    }

    fn open(&self) -> bool {
        (self.off() - POINTS).abs() < self.margin()
    }

    /// The end of the interval, unless there is no doubt: what is not shown to be within the limit is not within it.
    fn at_most(&self) -> f64 {
        self.off() + if self.open() { self.margin() } else { 0.0 }
    }
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / as_f64(values.len() as u64)
}

impl Row {
    fn measure(runtime: &Runtime, requests: &Requests) -> Result<Self, Failure> {
        let room = requests.room;
        let raw_moka = || {
            let map = moka::sync::Cache::new(room);
            Ok(raw(requests, |key| map.get(&key).is_some(), |key| map.insert(key, key)))
        };
        let raw_quick = || {
            let map = quick_cache::sync::Cache::new(usize::try_from(room)?);
            Ok(raw(requests, |key| map.get(&key).is_some(), |key| map.insert(key, key)))
        };
        let row = Self {
            moka: Pairs::measure(raw_moka, || ours(runtime, requests, Moka::entries(room)))?,
            quick: Pairs::measure(raw_quick, || ours(runtime, requests, QuickCache::entries(room)))?,
            control: ours(runtime, requests, QuickCache::entries(room / 2))?,
        };
        row!(
            "{:<20} {:>9} {room:>7} {:>8.2} {:>8.2} ±{:<5.2} {:>8.2} {:>8.2} ±{:<5.2} {:>8.2} {:>8.2}",
            requests.name,
            requests.keys.len(),
            mean(&row.moka.raw),
            mean(&row.moka.ours),
            row.moka.margin(),
            mean(&row.quick.raw),
            mean(&row.quick.ours),
            row.quick.margin(),
            row.control,
            lru(requests)
        );
        Ok(row)
    }

    fn off_control(&self) -> f64 {
        (mean(&self.quick.raw) - self.control).abs()
    }
}

fn percent(hits: u64, requests: &Requests) -> f64 {
    100.0 * as_f64(hits) / as_f64(requests.keys.len() as u64)
}

fn raw(requests: &Requests, mut get: impl FnMut(u64) -> bool, mut insert: impl FnMut(u64)) -> f64 {
    let mut hits = 0;
    for key in &requests.keys {
        if get(*key) {
            hits += 1;
        } else {
            insert(*key);
        }
    }
    percent(hits, requests)
}

fn ours(runtime: &Runtime, requests: &Requests, near: impl MemoryTier<u64, u64>) -> Result<f64, Failure> {
    let builder = Cache::builder("c8").near(near).ttl(Duration::from_secs(3_600));
    let cache =
        builder.build(loader_fn(|key: u64| async move { Ok::<_, Infallible>(Loaded::value(key)) }))?;
    runtime.block_on(async {
        for key in &requests.keys {
            cache.get(key).await?;
        }
        Ok::<_, Failure>(())
    })?;
    Ok(percent(cache.stats().near_hits, requests))
}

/// What the least recently used policy keeps: for the table only.
fn lru(requests: &Requests) -> f64 {
    let room = usize::try_from(requests.room).unwrap_or(usize::MAX);
    let mut last = std::collections::HashMap::new(); // by key, when it was asked for
    let mut order = std::collections::BTreeMap::new(); // the other way round
    let mut hits = 0;
    for (turn, key) in requests.keys.iter().enumerate() {
        if let Some(before) = last.insert(*key, turn) {
            hits += 1;
            order.remove(&before);
        } else if last.len() > room
            && let Some((_, oldest)) = order.pop_first()
        {
            last.remove(&oldest);
        }
        order.insert(turn, *key);
    }
    percent(hits, requests)
}
