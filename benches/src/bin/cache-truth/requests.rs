//! What is asked for: seeded mixes, and published traces.

use std::path::Path;
use std::process::Command;

use crate::Failure;
use benches::figures::{as_f64, full};

use crate::dice::Dice;

/// Keys in the order in which they are asked for, and how many entries there is room for.
pub(crate) struct Requests {
    pub(crate) name: String,
    pub(crate) room: u64,
    pub(crate) keys: Vec<u64>,
}

/// Different keys of a mix.
const UNIVERSE: usize = 50_000;
const ROOM: u64 = 1_000;

/// Every mix, `count` requests each.
pub(crate) fn mixes(seed: u64, count: usize) -> Vec<Requests> {
    let mix = |name: &str, keys| Requests { name: name.to_owned(), room: ROOM, keys };
    let zipf = |skew: f64| {
        let mut popular = Zipf::new(skew, Dice(seed ^ skew.to_bits()));
        mix(&format!("zipf {skew}"), (0..count).map(|_| popular.next()).collect())
    };
    let mut all: Vec<Requests> = [0.7, 0.8, 0.9, 1.0, 1.1].map(zipf).into();
    all.push(mix("scans + zipf 0.9", scans(seed, count)));
    all.push(mix("loop of 1.2 rooms", (0..count as u64).map(|turn| turn % (ROOM * 6 / 5)).collect()));
    all.push(mix("drifting zipf 1.0", drifting(seed, count)));
    all
}

/// Popular keys, and every now and then a run through 5 000 that are not asked for again: a third of all.
fn scans(seed: u64, count: usize) -> Vec<u64> {
    const RUN: u64 = 5_000;
    let mut popular = Zipf::new(0.9, Dice(seed ^ 1));
    let mut keys = Vec::with_capacity(count);
    let mut scanned = 1 << 32;
    while keys.len() < count {
        keys.extend((0..2 * RUN).map(|_| popular.next()));
        keys.extend(scanned..scanned + RUN);
        scanned += RUN;
    }
    keys.truncate(count);
    keys
}

/// Popular keys, of which the first half of the ranks moves on by one every 100 requests.
fn drifting(seed: u64, count: usize) -> Vec<u64> {
    let mut popular = Zipf::new(1.0, Dice(seed ^ 2));
    (0..count as u64).map(|turn| popular.rank() + turn / 100).collect()
}

/// Zipf's law over [`UNIVERSE`] keys, by inversion.
struct Zipf {
    cumulative: Vec<f64>,
    names: Vec<u64>, // by rank
    dice: Dice,
}

impl Zipf {
    fn new(skew: f64, mut dice: Dice) -> Self {
        let mut sum = 0.0;
        let weight = |rank: usize| as_f64(rank as u64 + 1).powf(-skew);
        let mut cumulative: Vec<f64> = (0..UNIVERSE)
            .map(|rank| {
                sum += weight(rank);
                sum
            })
            .collect();
        cumulative.iter_mut().for_each(|share| *share /= sum);
        let mut names: Vec<u64> = (0..UNIVERSE as u64).collect();
        dice.shuffle(&mut names);
        Self { cumulative, names, dice }
    }

    fn rank(&mut self) -> u64 {
        let draw = self.dice.unit();
        self.cumulative.partition_point(|share| *share < draw).min(UNIVERSE - 1) as u64
    }

    fn next(&mut self) -> u64 {
        let rank = usize::try_from(self.rank()).unwrap_or(0);
        self.names[rank]
    }
}

/// The traces of the folder that `OFFGRIDFLOW_DATA` names, at most `count` requests of each; none without a folder.
pub(crate) fn traces(count: usize) -> Result<Vec<Requests>, Failure> {
    let Some(folder) = std::env::var_os("OFFGRIDFLOW_DATA") else { return Ok(Vec::new()) };
    let mut all = Vec::new();
    let rooms = if full() { [10_000, 60_000] } else { [5_000, 20_000] }; // the beginning of P3 does not fill more
    for (name, rooms) in [("OLTP", [1_000, 5_000]), ("P3", rooms)] {
        let file = Path::new(&folder).join(format!("{name}.lis.zst"));
        if !file.exists() {
            continue;
        }
        let keys = arc_trace(&file, count)?;
        let at = |room| Requests { name: format!("{name} at {room}"), room, keys: keys.clone() };
        all.extend(rooms.map(at));
    }
    Ok(all)
}

/// Lines `start count ignored number`, each of which asks for `count` pages from `start` on (Megiddo & Modha 2003).
fn arc_trace(file: &Path, most: usize) -> Result<Vec<u64>, Failure> {
    let output =
        Command::new("zstd").arg("-dcq").arg(file).output().map_err(|error| format!("zstd: {error}"))?;
    let text = String::from_utf8(output.stdout)?;
    let mut keys = Vec::new();
    for line in text.lines() {
        let mut fields = line.split_ascii_whitespace().map(str::parse::<u64>);
        let (Some(Ok(start)), Some(Ok(pages))) = (fields.next(), fields.next()) else { continue };
        keys.extend(start..start + pages);
        if keys.len() >= most {
            break;
        }
    }
    keys.truncate(most);
    if keys.is_empty() { Err(format!("{} is no trace", file.display()).into()) } else { Ok(keys) }
}
