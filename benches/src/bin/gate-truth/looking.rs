//! What looking costs: an observation of a known text, beside a mutexed map of texts and beside a point read on SQLite; and what texts that
//! never come again leave in memory.

use crate::Failure;
use benches::figures::{as_f64, full, median, quantile};
use benches::row;
use offgridflow_query::sqlx::sqlite::SqliteConnectOptions;
use offgridflow_query::sqlx::{self, ConnectOptions, SqliteConnection};
use offgridflow_query::{Fingerprint, Observer};
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::collections::HashMap;
use std::hint::black_box;
use std::sync::Mutex;
use std::time::{Duration, Instant};

const SQL: &str = "SELECT name, kwh FROM readings WHERE id = $1 AND site = $2";
/// Calls of one side in one round.
const CALLS: u64 = 2_000;
const READS: u64 = 200;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

/// The system's allocator, which counts what this thread asks for.
pub(crate) struct Counting;

// SAFETY: everything is passed on to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let _ = ALLOCATIONS.try_with(|count| count.set(count.get() + 1));
        // SAFETY: as the caller promises.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: as the caller promises.
        unsafe { System.dealloc(memory, layout) }
    }
}

/// Nanoseconds a call unless said otherwise, a figure a round.
#[derive(Default)]
pub(crate) struct Looking {
    pub(crate) clocks: Vec<f64>,
    pub(crate) known: Vec<f64>,
    pub(crate) whole: Vec<f64>,
    pub(crate) map: Vec<f64>,
    pub(crate) read: Vec<f64>,
    pub(crate) observed_read: Vec<f64>,
    pub(crate) recognising: u64, // allocations
    pub(crate) counting: u64,
    pub(crate) texts: u64,
    pub(crate) grown_mib: f64,
}

impl Looking {
    /// What recognising a known text and counting its execution takes, without the two looks at the clock that timing it is: a
    /// figure a round.
    pub(crate) fn recognised(&self) -> Vec<f64> {
        self.known.iter().zip(&self.clocks).map(|(known, clocks)| known - clocks).collect()
    }

    /// Observations whose allocations were counted.
    pub(crate) fn calls(rounds: usize) -> u64 {
        rounds as u64 * CALLS
    }

    /// What an observation takes of a point read, in percent: a figure a round.
    pub(crate) fn shares(&self) -> Vec<f64> {
        self.whole.iter().zip(&self.read).map(|(whole, read)| whole / read * 100.0).collect()
    }
}

pub(crate) async fn measure(rounds: usize) -> Result<Looking, Failure> {
    let mut looking = Looking::default();
    (looking.texts, looking.grown_mib) = texts()?;
    let observer = Observer::new("sqlite");
    let texts: Mutex<HashMap<String, (u64, Duration)>> = Mutex::default();
    let mut conn = SqliteConnectOptions::new().in_memory(true).connect().await?;
    sqlx::raw_sql("CREATE TABLE readings (id INTEGER PRIMARY KEY, site INTEGER, name TEXT, kwh REAL); INSERT INTO readings VALUES (1, 1, 'a', 2)")
        .execute(&mut conn)
        .await?;
    for round in 0..=rounds {
        let clocks = nanos(CALLS, || {
            black_box(black_box(Instant::now()).elapsed());
        });
        let known = nanos(CALLS, || black_box(&observer).start(black_box(SQL)).succeeded(1));
        let whole = nanos(CALLS, || observer.start_text(black_box(SQL)).succeeded(1));
        let (recognising, counting) = allocations(&observer);
        let map = nanos(CALLS, || {
            let began = Instant::now();
            let key = Fingerprint::of(black_box(SQL)).to_string();
            let mut texts = texts.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            let entry = texts.entry(key).or_default();
            *entry = (entry.0 + 1, entry.1 + began.elapsed());
        });
        let read = reads(&mut conn, None).await?;
        let observed = reads(&mut conn, Some(&observer)).await?;
        if round > 0 {
            looking.clocks.push(clocks);
            looking.known.push(known);
            looking.whole.push(whole);
            looking.map.push(map);
            looking.read.push(read);
            looking.observed_read.push(observed);
            looking.recognising += recognising;
            looking.counting += counting;
        } // the first round warms up
    }
    print(&looking);
    Ok(looking)
}

/// What recognising a known text allocates, and what counting its execution does.
fn allocations(observer: &Observer) -> (u64, u64) {
    let (mut recognising, mut counting) = (0, 0);
    for _ in 0..CALLS {
        let before = ALLOCATIONS.with(Cell::get);
        let observation = observer.start_text(black_box(SQL));
        let recognised = ALLOCATIONS.with(Cell::get);
        observation.succeeded(1);
        recognising += recognised - before;
        counting += ALLOCATIONS.with(Cell::get) - recognised;
    }
    (recognising, counting)
}

fn nanos(calls: u64, mut call: impl FnMut()) -> f64 {
    let began = Instant::now();
    (0..calls).for_each(|_| call());
    began.elapsed().as_secs_f64() * 1e9 / as_f64(calls)
}

/// Mean time of a point read.
async fn reads(conn: &mut SqliteConnection, observer: Option<&Observer>) -> Result<f64, Failure> {
    let began = Instant::now();
    for _ in 0..READS {
        let asked = sqlx::query(SQL).bind(1).bind(1);
        let row = match observer {
            Some(observer) => asked.fetch_optional(observer.on(&mut *conn)).await?,
            None => asked.fetch_optional(&mut *conn).await?,
        };
        black_box(row);
    }
    Ok(began.elapsed().as_secs_f64() * 1e9 / as_f64(READS))
}

/// Texts that come once each, and what the process has grown by after them, in MiB.
fn texts() -> Result<(u64, f64), Failure> {
    let (observer, texts) = (Observer::new("sqlite"), if full() { 10_000_000 } else { 1_000_000 });
    let before = resident_kib()?;
    for n in 0..texts {
        observer.start_text(&format!("SELECT c{n} FROM readings WHERE id = {n}")).succeeded(1);
    }
    let after = resident_kib()?;
    black_box(&observer);
    Ok((texts, as_f64(after.saturating_sub(before)) / 1024.0))
}

fn resident_kib() -> Result<u64, Failure> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line =
        status.lines().find_map(|line| line.strip_prefix("VmRSS:")).ok_or("no VmRSS in /proc/self/status")?;
    Ok(line.trim().trim_end_matches(" kB").parse()?)
}

fn print(looking: &Looking) {
    let told = |values: &[f64]| {
        format!("{:.0} ({:.0} to {:.0})", median(values), quantile(values, 0.1), quantile(values, 0.9))
    };
    row!("\nlooking, ns a call, median (10th to 90th percentile) of the rounds:");
    row!("  two looks at the clock             {}", told(&looking.clocks));
    row!("  a static text, counted and timed   {}", told(&looking.known));
    row!("  the same without the clock         {}", told(&looking.recognised()));
    row!("  the same known by its text         {}", told(&looking.whole));
    row!("  a mutexed map of normal forms      {}", told(&looking.map));
    row!("  a point read on SQLite             {}", told(&looking.read));
    row!("  the same through `on`              {}", told(&looking.observed_read));
    row!("  {} texts that come once            {:.1} MiB more", looking.texts, looking.grown_mib);
}
