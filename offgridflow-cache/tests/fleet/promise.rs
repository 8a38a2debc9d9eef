//! What `scripts/verify/C1.sh` says of fleets: seeds of each variant, and the control.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::run::{Kept, run};
use crate::stage::{Stage, Variant};
use crate::{CACHE, RIVAL};

/// A seed that was played, in `target/verify/C1-fleets.jsonl`: only those of this revision count, and only in full size.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Unit {
    revision: String,
    base: u64,
    variant: String,
    seed: u64,
    reads: u64,
    stalled_ms: u64,
    broken: Option<String>,
}

struct Units {
    file: PathBuf,
    revision: String,
    base: u64,
    done: Mutex<Vec<Unit>>,
}

impl Units {
    /// Quick runs begin anew; full runs go on, with the seeds they began with.
    fn open(full: bool) -> Self {
        let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..");
        let file = root.join("target/verify/C1-fleets.jsonl");
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        let revision = revision();
        let text = if full { fs::read_to_string(&file).unwrap_or_default() } else { String::new() };
        let units = text.lines().filter_map(|line| serde_json::from_str(line).ok());
        let done: Vec<Unit> = units.filter(|unit: &Unit| unit.revision == revision).collect();
        if done.is_empty() {
            let _ = fs::remove_file(&file);
        }
        let asked = std::env::var("VERIFY_SEED").ok().and_then(|seed| seed.parse().ok());
        let fresh = 1_000_000 + asked.unwrap_or(1_u64) % 1_000_000_000 * 1_000; // a multiple of the eight classes
        let base = done.first().map_or(fresh, |unit| unit.base);
        Self { file, revision, base, done: Mutex::new(done) }
    }

    fn has(&self, variant: Variant, seed: u64) -> bool {
        let same = |unit: &Unit| unit.variant == variant.name() && unit.seed == seed;
        self.done.lock().unwrap().iter().any(same)
    }

    fn add(&self, variant: Variant, seed: u64, kept: Kept, broken: Option<String>) {
        let unit = Unit {
            revision: self.revision.clone(),
            base: self.base,
            variant: variant.name().to_owned(),
            seed,
            reads: kept.reads,
            stalled_ms: u64::try_from(kept.stalled.as_millis()).unwrap_or(u64::MAX),
            broken,
        };
        let mut done = self.done.lock().unwrap();
        let mut file = OpenOptions::new().create(true).append(true).open(&self.file).unwrap();
        writeln!(file, "{}", serde_json::to_string(&unit).unwrap()).unwrap();
        done.push(unit);
    }

    /// Plays what is missing of a variant until the time is up.
    fn play(&self, variant: Variant, count: u64, until: Instant) {
        let mut stage = None;
        for seed in self.base..self.base + count {
            if self.has(variant, seed) || Instant::now() > until {
                continue;
            }
            let stage = stage.get_or_insert_with(|| Stage::set(variant));
            match run(stage, seed, CACHE) {
                Ok(kept) => self.add(variant, seed, kept, None),
                Err(failure) => {
                    println!("{}: {failure}", variant.name());
                    self.add(variant, seed, Kept::default(), Some(failure.promise().to_owned()));
                }
            }
        }
    }
}

/// The last commit that changed what is measured or what measures.
fn revision() -> String {
    let sources = ["offgridflow-cache", "testkit/src", "Cargo.lock"];
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
    let output =
        Command::new("git").args(["-C", root, "rev-list", "-1", "HEAD", "--"]).args(sources).output();
    output.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned()).unwrap_or_default()
}

/// How many seeds of the usual composition it takes until a promise is broken.
fn rival_caught(base: u64) -> Option<u64> {
    let mut stage = Stage::set(Variant::Proxy);
    (0..10).find(|n| run(&mut stage, base + n, RIVAL).is_err()).map(|n| n + 1)
}

pub(crate) fn promise() {
    let full = std::env::var("VERIFY_SIZE").is_ok_and(|size| size == "full");
    let seconds = std::env::var("FLEET_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(480);
    let (count, until) = (if full { 200 } else { 10 }, Instant::now() + Duration::from_secs(seconds));
    let units = Units::open(full);
    std::thread::scope(|scope| {
        for variant in Variant::ALL {
            let units = &units;
            scope.spawn(move || units.play(variant, count, until));
        }
    });
    let caught = rival_caught(units.base);
    let done = units.done.into_inner().unwrap();
    let mut figures = Vec::new();
    let mut passed = caught.is_some();
    for variant in Variant::ALL {
        let mine: Vec<_> = done.iter().filter(|unit| unit.variant == variant.name()).collect();
        let broken = mine.iter().filter(|unit| unit.broken.is_some()).count();
        passed &= broken == 0 && mine.len() as u64 == count;
        figures.push(format!("{}={broken}-of-{}", variant.name(), mine.len()));
    }
    let reads: u64 = done.iter().map(|unit| unit.reads).sum();
    let stalled: u64 = done.iter().map(|unit| unit.stalled_ms).sum();
    let rest = if done.len() as u64 == count * 3 { "" } else { " unfinished: the next call goes on" };
    println!(
        "{} {} control=moka+Redis+messages:{} n={reads}-reads seed={} stalled={stalled}ms{rest}",
        if passed { "PASS" } else { "FAIL" },
        figures.join(","),
        caught.map_or("not-caught".to_owned(), |after| format!("caught-after-{after}")),
        units.base,
    );
}
