//! Measures promise Q6: what a checkout from the gate costs over one from sqlx's own pool, and what looking at statements costs.
//!
//! `gate-truth` prints a table on standard error and, as its last line on standard output,
//! `PASS|FAIL measured=… control=… n=… note`. Without PostgreSQL it measures on SQLite alone, and says so.
//!
//! `VERIFY_SIZE=quick|full`, `VERIFY_SEED` as in `scripts/verify.sh`.

mod checkout;
mod looking;
mod sides;

use benches::figures::{full, quantile, seed};
use benches::row;
use checkout::{Costs, measure};
use looking::Looking;
use offgridflow_query::sqlx::postgres::PgConnectOptions;
use offgridflow_query::sqlx::sqlite::SqliteConnectOptions;
use offgridflow_query::sqlx::{Postgres, Sqlite};
use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: looking::Counting = looking::Counting;

/// Why a measurement could not be made.
type Failure = Box<dyn std::error::Error>;

/// What a checkout may cost more than sqlx's without its ping, in microseconds.
const LIMIT_US: f64 = 2.0;
/// What recognising a known text and counting it may cost, in nanoseconds; what a whole observation may take of a point read, in
/// percent; what texts that come once may leave, in MiB.
const KNOWN_NS: f64 = 100.0;
/// A statement's histogram has so many pages, and each is allocated when the first duration falls into it.
const PAGES: u64 = 40;
const SHARE_PERCENT: f64 = 1.0;
const TEXTS_MIB: f64 = 16.0;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("FAIL measured=none {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Failure> {
    let (seed, rounds) = (seed(), if full() { 201 } else { 41 });
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let folder = tempfile::tempdir()?;
    let file =
        SqliteConnectOptions::new().filename(folder.path().join("checkout.db")).create_if_missing(true);
    let looking = runtime.block_on(looking::measure(rounds))?;
    let mut costs = vec![("sqlite", runtime.block_on(measure::<Sqlite>("SQLite", file, rounds, seed))?)];
    let server = testkit::Postgres::start();
    match &server {
        Ok(server) => {
            let options: PgConnectOptions = server.url().parse()?;
            let measured = runtime.block_on(measure::<Postgres>("PostgreSQL", options, rounds, seed))?;
            costs.push(("postgres", measured));
        }
        Err(why) => row!("PostgreSQL is not measured: {why}"),
    }
    verdict(&costs, &looking, rounds, seed);
    Ok(())
}

fn verdict(costs: &[(&str, Costs)], looking: &Looking, rounds: usize, seed: u64) {
    let median = |values: &[f64]| quantile(values, 0.5);
    let list = |figure: &dyn Fn(&Costs) -> f64| -> String {
        let one = |(name, costs): &(&str, Costs)| format!("{name}:{:+.2}us", figure(costs));
        costs.iter().map(one).collect::<Vec<_>>().join(",")
    };
    let (shares, known) = (looking.shares(), median(&looking.recognised()));
    let cheap = known <= KNOWN_NS
        && looking.recognising == 0
        && looking.counting <= PAGES
        && median(&shares) <= SHARE_PERCENT;
    let small = looking.grown_mib <= TEXTS_MIB;
    let met = cheap && small && costs.iter().all(|(_, costs)| median(&costs.gate_adds) <= LIMIT_US);
    let control_fails =
        costs.iter().all(|(_, costs)| median(&costs.ping_adds) > LIMIT_US) && median(&looking.map) > KNOWN_NS;
    println!(
        "{} measured=checkout-adds:{},known-text:{known:.0}ns({:.0}-with-its-clock),allocations:{}-and-{}-histogram-pages-in-{}-calls,observer:{:.2}%({:.2}-to-{:.2})-of-a-point-read,{}-texts:{:.1}MiB control=ping-adds:{},mutexed-map:{:.0}ns n={rounds}-rounds-of-{} seed {seed}; 10th to 90th percentile of checkouts {}",
        if met && control_fails { "PASS" } else { "FAIL" },
        list(&|costs| median(&costs.gate_adds)),
        median(&looking.known),
        looking.recognising,
        looking.counting,
        Looking::calls(rounds),
        median(&shares),
        quantile(&shares, 0.1),
        quantile(&shares, 0.9),
        looking.texts,
        looking.grown_mib,
        list(&|costs| median(&costs.ping_adds)),
        median(&looking.map),
        checkout::CHECKOUTS,
        costs
            .iter()
            .map(|(name, costs)| format!(
                "{name} {:+.2} to {:+.2}",
                quantile(&costs.gate_adds, 0.1),
                quantile(&costs.gate_adds, 0.9)
            ))
            .collect::<Vec<_>>()
            .join(", ")
    );
}
