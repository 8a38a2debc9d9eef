//! Whether this machine can send as fast as a plan asks.

use std::{io, sync::Arc, thread, time::Duration};

use tokio::sync::oneshot;

use crate::{
    calibrate::null_rate,
    error::PreflightError,
    histogram::as_f64,
    plan::Plan,
    preflight::{Check, cpu_quota},
    report::text::short,
    run::on_a_thread,
    shard::as_u64,
    units::plain_rate,
    workload::Workload,
};

/// From which part of what could be sent on a plan is likely to be late.
const TIGHT: f64 = 0.8;
/// How many times more than that is refused: beyond what a measurement of milliseconds may be off by.
const HOPELESS: f64 = 2.0;

/// What an operation takes of the thread that sends it, measured.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Capacity {
    engine: Duration,
    /// The workload's own part, where it can tell.
    workload: Option<Duration>,
}

impl Capacity {
    /// Asks the workload and the engine, each on a thread of its own, for at most 300 ms; `None` if the engine could not
    /// be timed.
    ///
    /// # Errors
    /// No thread.
    pub(crate) async fn measure<W: Workload>(workload: Arc<W>) -> io::Result<Option<Self>> {
        let (cost, costs) = oneshot::channel();
        thread::Builder::new().name("load-rehearsal".into()).spawn(move || cost.send(workload.cost()))?;
        let workload = costs.await.ok().flatten();
        let (rate, is_rate) = oneshot::channel();
        on_a_thread("load-preflight", move || async move {
            let _ = rate.send(null_rate().await);
        })?;
        let rate = is_rate.await.ok().flatten();
        Ok(rate.map(|per_sec| Self { engine: Duration::from_secs_f64(1.0 / per_sec.max(1.0)), workload }))
    }

    /// Nothing for a closed loop, which takes what it gets.
    ///
    /// # Errors
    /// A rate far beyond what the plan's threads could send.
    pub(crate) fn check(self, plan: &Plan) -> Result<Option<Check>, PreflightError> {
        let Some(arrivals) = plan.executor.arrivals() else { return Ok(None) };
        let peak = arrivals.peak_rate();
        let each = self.engine + self.workload.unwrap_or_default();
        let could = threads(plan) / each.as_secs_f64().max(1e-9);
        if peak > HOPELESS * could {
            let remedy = format!(
                "lower the rate, or send from more threads (`shards`) on more cores: one takes {} for an operation",
                short(each)
            );
            let (have, need) = (whole(could), whole(peak));
            return Err(PreflightError { limit: "operations a second".into(), have, need, remedy });
        }
        let worrying = peak > TIGHT * could;
        let outlook = match (worrying, self.workload) {
            (true, _) => ": it will probably be late",
            (false, Some(_)) => "",
            (false, None) => ", what the workload itself takes not counted",
        };
        let finding = format!(
            "up to {}/s are wanted, {} thread{} could send about {could:.0}/s ({} each){outlook}",
            plain_rate(peak),
            plan.shards,
            if plan.shards == 1 { "" } else { "s" },
            short(each)
        );
        Ok(Some(Check { name: "rate", finding, worrying }))
    }
}

/// How many of the plan's threads can run at a time.
fn threads(plan: &Plan) -> f64 {
    let cores = thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let threads = as_f64(as_u64(plan.shards.min(cores)));
    cpu_quota().map_or(threads, |quota| threads.min(quota))
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "rates are from 0 to 1e9")]
fn whole(per_sec: f64) -> u64 {
    libm::round(per_sec) as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{LoadTest, Rate, workload_fn};

    fn check(peak: f64, cost: Option<Duration>) -> Result<Option<Check>, PreflightError> {
        let test =
            LoadTest::new(workload_fn(|_| async {})).rate(Rate::constant(peak, Duration::from_secs(1)));
        let capacity = Capacity { engine: Duration::from_micros(1), workload: cost };
        capacity.check(&test.shards(1).validate().expect("sound"))
    }

    #[test]
    fn a_rate_is_fine_tight_or_hopeless() {
        let http = Some(Duration::from_micros(19)); // 50 000 a second with the engine's own
        let found = |peak, cost| check(peak, cost).expect("carried").expect("an open loop");
        assert!(!found(30_000.0, http).worrying);
        assert!(
            found(45_000.0, http).finding.contains("45000/s are wanted") && found(45_000.0, http).worrying
        );
        assert!(found(45_000.0, None).finding.contains("not counted") && !found(45_000.0, None).worrying);
        let hopeless = check(200_000.0, http).expect_err("four times too much").to_string();
        assert!(
            hopeless.contains("needs 200000, there are 50000") && hopeless.contains("20.0µs"),
            "{hopeless}"
        );
    }
}
