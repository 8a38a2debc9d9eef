//! Rows a second into PostgreSQL against the size of a batch and the delay of the network, beside rows by hand and other ways.
//!
//! `query-plot [FOLDER]` starts a server and a proxy that delays, and writes `query-plot.csv` and `query-plot.svg` to FOLDER
//! (default: `target/plots`). Every point is the median of `VERIFY_SIZE=quick|full` interleaved rounds.

mod svg;
mod ways;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use benches::figures::{full, median};

use crate::svg::{Curve, Panel};
use crate::ways::{Bench, Way};

/// Why a measurement could not be made.
type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Rows a transaction.
const SIZES: [usize; 6] = [10, 100, 1_000, 4_000, 16_000, 64_000];
/// One way, in microseconds: loopback, a data centre, two regions.
const DELAYS_MICROS: [u64; 3] = [0, 500, 5_000];

fn main() -> ExitCode {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let folder = PathBuf::from(std::env::args().nth(1).unwrap_or_else(|| "target/plots".to_owned()));
    let done = runtime.map_err(Failure::from).and_then(|runtime| runtime.block_on(draw(folder)));
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("query-plot: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn draw(folder: PathBuf) -> Result<(), Failure> {
    let rounds = if full() { 9 } else { 3 };
    let bench = Bench::start().await?;
    let (mut csv, mut panels) = ("delay_us,rows_a_batch,way,rows_per_sec\n".to_owned(), Vec::new());
    for delay in DELAYS_MICROS {
        bench.delay(Duration::from_micros(delay));
        let mut curves: Vec<Curve> =
            Way::ALL.map(|way| Curve { name: way.name(), points: Vec::new() }).into();
        for size in SIZES {
            let mut rates = vec![Vec::new(); Way::ALL.len()];
            for round in 0..rounds {
                for turn in 0..Way::ALL.len() {
                    let at = (turn + round) % Way::ALL.len();
                    rates[at].push(bench.rate(Way::ALL[at], size).await?);
                }
            }
            for (curve, rates) in curves.iter_mut().zip(&rates) {
                let rate = median(rates);
                csv.push_str(&format!("{delay},{size},{},{rate:.0}\n", curve.name));
                eprintln!("{delay:>6} µs {size:>6} rows {:<28} {rate:>9.0} rows/s", curve.name);
                curve.points.push((size, rate));
            }
        }
        panels.push(Panel {
            title: format!("{} ms one way", Duration::from_micros(delay).as_secs_f64() * 1e3),
            curves,
        });
    }
    std::fs::create_dir_all(&folder)?;
    std::fs::write(folder.join("query-plot.csv"), csv)?;
    std::fs::write(folder.join("query-plot.svg"), svg::document(&panels))?;
    println!("{}", folder.join("query-plot.svg").display());
    Ok(())
}
