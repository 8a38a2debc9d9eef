//! A server that stands still for a part of the run, and what arithmetic says of it.

use std::time::Duration;

use super::{
    Line, Size, no_start,
    server::{Freeze, Server},
};
use crate::{
    HttpTarget, LoadTest, OnCap, Rate, Report,
    error::Error,
    histogram::Quantile,
    report::text::{quantile, short},
};

const PER_SEC: u32 = 200;
/// The share of the run in which nothing is answered is a tenth.
const TENTH: u32 = 10;
/// As promise L1 has it, ...
const WITHIN: f64 = 0.02;
/// ... and what the backlog takes to drain.
const DRAIN: Duration = Duration::from_millis(10);

pub(super) async fn line(size: Size) -> Result<Line, Error> {
    let run = Duration::from_secs(size.pick(10, 4));
    let after = u64::from(PER_SEC) * run.as_secs() / 2;
    let server = Server::start(Some(Freeze { after, length: run / TENTH })).map_err(no_start)?;
    let test = LoadTest::new(HttpTarget::new(&server.url())?).rate(Rate::constant(PER_SEC.into(), run));
    let report = test.max_in_flight(4_096, OnCap::CountAsFailure).run().await?;
    Ok(judge(&report, run, server.froze().unwrap_or_default()))
}

/// Whoever is due while nothing is answered waits for the end of it: evenly from nothing to all of it, so the quantile `q` of all is
/// `froze − (1 − q) × run`.
fn judge(report: &Report, run: Duration, froze: Duration) -> Line {
    let seen = &report.total.response;
    let compared = [("p95", 0.95, seen.p95), ("p99", 0.99, seen.p99)].map(|(name, q, said)| {
        let truth = froze.saturating_sub(run.mul_f64(1.0 - q));
        (format!("{name} {} of {}", quantile(said), short(truth)), off(said, truth))
    });
    let worst = compared.iter().map(|(_, off)| off.unwrap_or(f64::INFINITY)).fold(0.0, f64::max);
    let [p95, p99] = compared.map(|(said, _)| said);
    let says = report.verdict.name();
    Line {
        name: "freeze",
        passed: worst <= 1.0,
        measured: format!("a server stood still for {} of {}: {p95}, {p99}; verdict {says}", short(froze), short(run)),
        means: "a stall is measured as long as its users would have waited; most tools would show one slow request".into(),
    }
}

/// How far a percentile is from the truth, in what is allowed.
fn off(said: Quantile, truth: Duration) -> Option<f64> {
    let said = said.value()?;
    let allowed = truth.mul_f64(WITHIN) + DRAIN;
    Some(said.abs_diff(truth).as_secs_f64() / allowed.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_freeze_that_is_not_in_the_percentiles_fails() {
        let ms = Duration::from_millis;
        let off = |said| off(Quantile::Value(said), ms(500)).expect("a value");
        assert!(off(ms(505)) < 1.0 && off(ms(495)) < 1.0);
        assert!(off(ms(530)) > 1.0 && off(ms(1)) > 1.0, "as tools that time from the sending have it");
        assert_eq!(super::off(Quantile::Needs(299), ms(500)), None);
    }
}
