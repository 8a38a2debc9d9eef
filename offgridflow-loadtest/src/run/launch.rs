//! Looking whether a load test can be run, and running it: on threads of its own, or on the caller's.

use std::sync::Arc;

use tokio::{sync::oneshot, task::LocalSet, time::timeout};

use super::{
    LoadTest,
    runtime::on_a_thread,
    start::Start,
    wiring::{ConductorEnds, wire},
};
#[cfg(feature = "serde")]
use crate::bundle::Bundle;
use crate::{
    audience::Audience,
    calibrate::calibrate,
    capacity::Capacity,
    clock::ClockSource,
    conductor::Conductor,
    error::Error,
    generator::Calibration,
    guard::caught,
    histogram::as_f64,
    outcome::{FailKind, TargetError},
    plan::Plan,
    preflight::Check,
    report::{Measured, Report},
    route::RouteTable,
    shard::as_u64,
    stop::StopOnDrop,
    watch::Watch,
    workload::Workload,
};

impl<W: Workload> LoadTest<W> {
    /// Looks whether it can be run: settles all numbers, checks this machine's limits, times for at most 300 ms on a thread of its
    /// own what an operation takes to send (for HTTP: to a server within this process), and asks the target without putting
    /// load on it (for HTTP: resolves the name and opens one connection).
    ///
    /// # Errors
    /// What [`run`](Self::run) would refuse, and a target that cannot be reached.
    pub async fn preflight(&self) -> Result<(Plan, Vec<Check>), Error> {
        let plan = self.validate()?;
        let mut checks = plan.preflight()?;
        let capacity = Capacity::measure(Arc::clone(&self.workload)).await.map_err(Error::Start)?;
        if let Some(capacity) = capacity {
            checks.extend(capacity.check(&plan)?);
        }
        let found = timeout(self.timeout, self.workload.check()).await;
        let found = found.unwrap_or_else(|_| Err(format!("no answer within {:?}", self.timeout)));
        let finding = found.map_err(|why| Error::Target(TargetError::unanswered(FailKind::Connect, why)))?;
        if !finding.is_empty() {
            checks.push(Check { name: "target", finding, worrying: false });
        }
        Ok((plan, checks))
    }

    /// Runs it on threads of its own and waits for the judged report. Works inside any program with an
    /// executor, whose own clock and load do not matter.
    ///
    /// # Errors
    /// [`Error`]: a plan that cannot be run, a machine that cannot carry it (limits on descriptors and ports; above 20 000/s a thread also a rate
    /// of more than twice what it could send, timed for at most 300 ms unless [`calibrate`](Self::calibrate) is off), no threads. Whatever the
    /// target does is a report, not an error.
    ///
    /// # Cancel safety
    /// Dropping the future stops the shards within about a second; there is no report then. To end early
    /// with a report use [`stop_handle`](Self::stop_handle).
    pub async fn run(self) -> Result<Report, Error> {
        self.run_to(|_, _, _| ()).await.map(|(report, ())| report)
    }

    /// Runs its [part](Self::shard) of a load test and gives what [`merge`](crate::merge) needs of it, beside a report of the part alone,
    /// which judges nothing.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    ///
    /// # Cancel safety
    /// As [`run`](Self::run).
    #[cfg(feature = "serde")]
    pub async fn run_shard(self) -> Result<(Bundle, Report), Error> {
        self.run_to(Bundle::of).await.map(|(report, bundle)| (bundle, report))
    }

    /// The same on the calling thread and runtime; see [`run_here`](Self::run_here).
    ///
    /// # Errors
    /// As [`run`](Self::run).
    ///
    /// # Cancel safety
    /// As [`run_here`](Self::run_here).
    #[cfg(feature = "serde")]
    pub async fn run_shard_here(self) -> Result<(Bundle, Report), Error> {
        self.run_here_to(Bundle::of).await.map(|(report, bundle)| (bundle, report))
    }

    /// Runs it on threads of its own, and makes something of what was measured beside the report.
    async fn run_to<T: Send + 'static>(self, make: Make<T>) -> Result<(Report, T), Error> {
        let plan = self.validate()?;
        let _stop = StopOnDrop(self.stop.clone());
        let (done, is_done) = oneshot::channel();
        let conducting = move || async move {
            let start = |shard: Start<W>| on_a_thread("load-shard", || shard.run()).map_err(Error::Start);
            let conducted = caught(self.conduct(plan, start, make)).await;
            let _ = done.send(conducted.unwrap_or_else(|panic| Err(Error::Engine(panic))));
        };
        on_a_thread("load-conductor", conducting).map_err(Error::Start)?;
        is_done
            .await
            .unwrap_or_else(|_| Err(Error::Engine("the thread that conducts the run is gone".into())))
    }

    /// Runs it as one shard on the calling thread and runtime. Under tokio's paused clock the whole run takes
    /// virtual time: minutes of load in milliseconds, for tests of a workload or a claim. Tokio's clock ticks in milliseconds there: an
    /// operation begins up to one late, which is dispatch lag (1.3 ms in the middle at 300/s), and sleeps are rounded up. Counts are exact.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    ///
    /// # Cancel safety
    /// Dropping the future drops all operations.
    pub async fn run_here(self) -> Result<Report, Error> {
        self.run_here_to(|_, _, _| ()).await.map(|(report, ())| report)
    }

    async fn run_here_to<T>(mut self, make: Make<T>) -> Result<(Report, T), Error> {
        (self.shards, self.clock, self.calibrate) = (Some(1), ClockSource::Virtual, false);
        let plan = self.validate()?;
        let local = LocalSet::new();
        let start = |shard: Start<W>| {
            local.spawn_local(shard.run());
            Ok(())
        };
        let conducted = caught(self.conduct(plan, start, make));
        local.run_until(conducted).await.unwrap_or_else(|panic| Err(Error::Engine(panic)))
    }

    async fn conduct<T>(
        mut self,
        mut plan: Plan,
        start: impl Fn(Start<W>) -> Result<(), Error>,
        make: Make<T>,
    ) -> Result<(Report, T), Error> {
        plan.notes = worries(&plan)?;
        if self.calibrate && is_fast(&plan) {
            let capacity = Capacity::measure(Arc::clone(&self.workload)).await.map_err(Error::Start)?;
            let check = capacity.map(|capacity| capacity.check(&plan)).transpose()?.flatten();
            plan.notes.extend(check.filter(|check| check.worrying).map(|check| check.finding));
        }
        let mut audience = Audience::new(std::mem::take(&mut self.reporters));
        #[cfg(feature = "tracing")]
        tracing::info!(target = %plan.target, load = %plan.load(), shards = plan.shards, "load test starts");
        audience.start(&plan);
        let _stop = StopOnDrop(self.stop.clone());
        let names = Arc::new(RouteTable::knowing(&self.workload.routes()).with_steps(&self.workload.steps()));
        let calibration = if self.calibrate { calibrate().await } else { Calibration::default() };
        let (ends, shards) = wire(plan.shards, &self.stop);
        for (index, ends) in shards.into_iter().enumerate() {
            start(Start { workload: Arc::clone(&self.workload), plan: plan.shard(index, &names), ends })?;
        }
        let ConductorEnds { readies, results, go, lines } = ends;
        let watch = Watch::new(&plan.abort_rules, Arc::clone(&names));
        let mut conductor =
            Conductor::new(plan, self.patience, self.stop.clone(), audience, lines, calibration, watch);
        let measured = conductor.measure(readies, results, go).await;
        conductor.plan.notes.extend(self.workload.findings());
        let made = make(&conductor.plan, &names, &measured);
        let mut report = measured.report(&conductor.plan, &names);
        #[cfg(feature = "tracing")]
        tracing::info!(verdict = %report.verdict, offered = report.offered, ok = report.total.ok, failed = report.total.failed, "load test ends");
        for slow in &mut report.slowest {
            slow.trace = self.workload.trace_id(slow.operation);
        }
        conductor.tell(&mut report);
        Ok((report, made))
    }
}

/// Makes something of what was measured.
type Make<T> = fn(&Plan, &RouteTable, &Measured) -> T;

/// Arrivals a second a thread up to which nobody has to be asked whether it can send them: if not, lag will tell.
const SURE_RATE: f64 = 20_000.0;

/// Whether the rate may be beyond what this machine can send at all. Never in virtual time, nor for workers, who take what they get.
fn is_fast(plan: &Plan) -> bool {
    let peak = plan.executor.arrivals().map_or(0.0, |arrivals| arrivals.peak_rate());
    plan.clock == ClockSource::Monotonic && peak > SURE_RATE * as_f64(as_u64(plan.shards))
}

/// What this machine's limits give cause to note; nothing in virtual time, which does not depend on it.
fn worries(plan: &Plan) -> Result<Vec<String>, Error> {
    let checks = plan.preflight()?.into_iter();
    let real = plan.clock == ClockSource::Monotonic;
    Ok(checks.filter(|check| real && check.worrying).map(|check| check.finding).collect())
}
