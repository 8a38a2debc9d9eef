//! Checkouts of one connection, side by side: all sides take part in each round, in an order of its own.

use crate::Failure;
use crate::sides::Side;
use benches::figures::{median, spread};
use benches::row;
use offgridflow_query::GateDatabase;
use offgridflow_query::sqlx::Connection;
use std::hint::black_box;
use std::time::{Duration, Instant};

/// Checkouts of one side in one round.
pub(crate) const CHECKOUTS: usize = 500;

/// What was measured, in microseconds, a figure a round.
pub(crate) struct Costs {
    /// Median checkout of the gate, less that of sqlx's pool without ping.
    pub(crate) gate_adds: Vec<f64>,
    /// The same of sqlx's pool with ping.
    pub(crate) ping_adds: Vec<f64>,
}

/// What one round of one side took, in microseconds.
#[derive(Default)]
struct Series {
    checkout: Vec<f64>,
    there_and_back: Vec<f64>,
    with_exchange: Vec<f64>,
}

const NAMES: [&str; 3] = ["sqlx without ping", "gate", "sqlx with ping"];

pub(crate) async fn measure<DB: GateDatabase>(
    name: &str,
    options: <DB::Connection as Connection>::Options,
    rounds: usize,
    seed: u64,
) -> Result<Costs, Failure> {
    let sides =
        [Side::<DB>::bare(options.clone(), false), Side::gate(options.clone())?, Side::bare(options, true)];
    for side in &sides {
        side.warm().await?;
    }
    let mut series: [Series; 3] = Default::default();
    for round in 0..=rounds {
        for nth in 0..sides.len() {
            let at = (nth + round + usize::try_from(seed % 3)?) % sides.len();
            let (checkout, loops) = (
                checkouts(&sides[at]).await?,
                [bare_loop(&sides[at]).await?, exchange_loop(&sides[at]).await?],
            );
            if round > 0 {
                series[at].checkout.push(checkout);
                series[at].there_and_back.push(loops[0]);
                series[at].with_exchange.push(loops[1]);
            } // the first round warms up
        }
    }
    print(name, &series, &sides);
    let adds = |at: usize| -> Vec<f64> {
        series[at].checkout.iter().zip(&series[0].checkout).map(|(one, bare)| one - bare).collect()
    };
    Ok(Costs { gate_adds: adds(1), ping_adds: adds(2) })
}

/// The median checkout of a connection at hand, the return left out.
async fn checkouts<DB: GateDatabase>(side: &Side<DB>) -> Result<f64, Failure> {
    let mut taken = Vec::with_capacity(CHECKOUTS);
    for _ in 0..CHECKOUTS {
        side.settle().await;
        let began = Instant::now();
        let lent = black_box(side.acquire().await?);
        taken.push(micros(began.elapsed()));
        drop(lent);
    }
    side.settle().await;
    Ok(median(&taken))
}

/// There and back as fast as it goes, a checkout on average.
async fn bare_loop<DB: GateDatabase>(side: &Side<DB>) -> Result<f64, Failure> {
    let began = Instant::now();
    for _ in 0..CHECKOUTS {
        drop(black_box(side.acquire().await?));
    }
    let taken = began.elapsed();
    side.settle().await;
    Ok(micros(taken) / benches::figures::as_f64(CHECKOUTS as u64))
}

/// The same with one exchange with the database while it is out.
async fn exchange_loop<DB: GateDatabase>(side: &Side<DB>) -> Result<f64, Failure> {
    let began = Instant::now();
    for _ in 0..CHECKOUTS {
        side.acquire().await?.exchange().await?;
    }
    let taken = began.elapsed();
    side.settle().await;
    Ok(micros(taken) / benches::figures::as_f64(CHECKOUTS as u64))
}

fn micros(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e6
}

fn print<DB: GateDatabase>(name: &str, series: &[Series], sides: &[Side<DB>]) {
    row!("\n{name}, µs, median (10th to 90th percentile) of the rounds:");
    row!("  {:<20} {:<26} {:<28} {:<28} open", "", "checkout", "there and back", "with one exchange");
    for ((name, series), side) in NAMES.iter().zip(series).zip(sides) {
        row!(
            "  {name:<20} {:<26} {:<28} {:<28} {}",
            spread(&series.checkout),
            spread(&series.there_and_back),
            spread(&series.with_exchange),
            side.open()
        );
    }
}
