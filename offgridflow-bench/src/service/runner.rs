use std::collections::HashSet;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rand_pcg::Pcg64;
use rand_pcg::rand_core::Rng;
use serde::Serialize;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until, timeout};

use super::window::Window;
use super::{Objective, Probe, ProbeError, SloVerdict};
use crate::stats::least_samples;

/// Runs kept a probe.
const WINDOW_RUNS: usize = 4_096;

/// Why a service was not started.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// There is nothing to run.
    #[error("the service has no probe: add one with `.probe(…)`")]
    NoProbe,
    /// Two probes would be mixed up in reports.
    #[error("two probes are called `{0}`")]
    DuplicateName(String),
    /// A setting that makes no sense.
    #[error("{setting} {hint}")]
    Setting {
        /// Its name.
        setting: &'static str,
        /// What would make sense.
        hint: &'static str,
    },
}

/// Settings of a [`BenchService`]; see each method for its default.
#[must_use = "a builder does nothing until `start`"]
pub struct BenchServiceBuilder {
    probes: Vec<(Arc<dyn Probe>, Objective)>,
    interval: Duration,
    timeout: Duration,
    window: Duration,
    busy_share: f64,
    seed: u64,
}

impl fmt::Debug for BenchServiceBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.probes.iter().map(|(probe, _)| probe.name()).collect();
        f.debug_struct("BenchServiceBuilder").field("probes", &names).finish_non_exhaustive()
    }
}

impl BenchServiceBuilder {
    /// Adds a probe and what it should take.
    pub fn probe(mut self, probe: impl Probe, objective: Objective) -> Self {
        self.probes.push((Arc::new(probe), objective));
        self
    }

    /// Time between two runs of a probe, give or take a tenth. Default: 10 s.
    pub fn interval(mut self, interval: Duration) -> Self {
        self.interval = interval;
        self
    }

    /// When a run is given up, and counts as failed. Default: 5 s.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Age at which a run no longer counts; the newest 4 096 do at most. Default: 1 h.
    pub fn window(mut self, window: Duration) -> Self {
        self.window = window;
        self
    }

    /// Largest share of the time in which any probe runs: a slow probe makes the service wait longer, so this bounds its
    /// use of one core too. Default: 0.01.
    pub fn busy_share(mut self, share: f64) -> Self {
        self.busy_share = share;
        self
    }

    /// Seed of the jitter. Default: 1.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Starts the service on the current tokio runtime.
    ///
    /// # Errors
    /// No probe, two of one name, or a setting that makes no sense.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn start(self) -> Result<BenchService, ConfigError> {
        self.check()?;
        let rows = self
            .probes
            .into_iter()
            .map(|(probe, objective)| Row::new(probe, objective, self.window))
            .collect();
        let shared = Arc::new(Shared { rows: Mutex::new(rows) });
        let (stop, stopped) = watch::channel(false);
        let (publish, reports) = watch::channel(shared.reports());
        let runner = Runner {
            shared: Arc::clone(&shared),
            interval: self.interval,
            timeout: self.timeout,
            busy_share: self.busy_share,
            rng: Pcg64::new(u128::from(self.seed), 1),
            publish,
        };
        let task = tokio::spawn(runner.run(stopped));
        Ok(BenchService { shared, stop, reports, task })
    }

    fn check(&self) -> Result<(), ConfigError> {
        let refuse = |setting, hint| Err(ConfigError::Setting { setting, hint });
        let mut names = HashSet::new();
        for (probe, objective) in &self.probes {
            if !names.insert(probe.name()) {
                return Err(ConfigError::DuplicateName(probe.name().to_owned()));
            }
            if !(objective.quantile > 0.0 && objective.quantile < 1.0) {
                return refuse("an objective's quantile", "lies between 0 and 1");
            }
        }
        match self {
            _ if self.probes.is_empty() => Err(ConfigError::NoProbe),
            _ if self.interval.is_zero() => refuse("interval", "must be longer than zero"),
            _ if self.timeout.is_zero() => refuse("timeout", "must be longer than zero"),
            _ if !(self.busy_share > 0.0 && self.busy_share <= 1.0) => {
                refuse("busy_share", "lies above 0 and up to 1")
            }
            _ => Ok(()),
        }
    }
}

/// Runs probes for as long as it lives; dropping it stops the probes at the next await.
#[derive(Debug)]
pub struct BenchService {
    shared: Arc<Shared>,
    stop: watch::Sender<bool>,
    reports: watch::Receiver<Vec<ProbeReport>>,
    task: JoinHandle<()>,
}

/// What is known of one probe.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ProbeReport {
    /// The probe's name.
    pub name: String,
    /// Runs in the window, failed ones included.
    pub samples: usize,
    /// Runs since the start.
    pub runs: u64,
    /// Runs since the start that failed, panicked or were given up.
    pub failures: u64,
    /// What the last failed run said.
    pub last_error: Option<String>,
    /// Median of the window; `None` when it is empty or the median run failed.
    pub p50: Option<Duration>,
    /// The objective's quantile in the window; `None` below the samples it needs, or when it is a failed run.
    pub at_quantile: Option<Duration>,
    /// What it should take.
    pub objective: Objective,
    /// What the window says of the objective.
    pub verdict: SloVerdict,
}

impl BenchService {
    /// Settings, with their defaults.
    pub fn builder() -> BenchServiceBuilder {
        BenchServiceBuilder {
            probes: Vec::new(),
            interval: Duration::from_secs(10),
            timeout: Duration::from_secs(5),
            window: Duration::from_secs(3_600),
            busy_share: 0.01,
            seed: 1,
        }
    }

    /// Every probe as it stands, in the order they were added. Sorts the windows: milliseconds at most.
    #[must_use]
    pub fn snapshot(&self) -> Vec<ProbeReport> {
        self.shared.reports()
    }

    /// The reports after each round of all probes.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<Vec<ProbeReport>> {
        self.reports.clone()
    }

    /// Stops: the run under way is dropped. Returns when the task has ended.
    ///
    /// # Cancel safety
    /// Dropped half-way, the service stops all the same.
    pub async fn shutdown(mut self) {
        let _ = self.stop.send(true);
        let _ = (&mut self.task).await;
    }
}

impl Drop for BenchService {
    fn drop(&mut self) {
        self.task.abort();
    }
}

struct Row {
    probe: Arc<dyn Probe>,
    objective: Objective,
    window: Window,
    runs: u64,
    failures: u64,
    last_error: Option<String>,
}

impl Row {
    fn new(probe: Arc<dyn Probe>, objective: Objective, window: Duration) -> Self {
        let window = Window::new(WINDOW_RUNS, window);
        Self { probe, objective, window, runs: 0, failures: 0, last_error: None }
    }

    fn record(&mut self, outcome: Result<Duration, ProbeError>) {
        self.runs += 1;
        self.window.push(Instant::now(), outcome.as_ref().ok().copied());
        if let Err(error) = outcome {
            self.failures += 1;
            self.last_error = Some(error.0);
        }
    }

    fn report(&mut self) -> ProbeReport {
        self.window.forget_old(Instant::now());
        let sorted = self.window.sorted();
        let enough = sorted.len() >= least_samples(self.objective.quantile, 0.95);
        ProbeReport {
            name: self.probe.name().to_owned(),
            samples: sorted.len(),
            runs: self.runs,
            failures: self.failures,
            last_error: self.last_error.clone(),
            p50: at(&sorted, 0.5),
            at_quantile: enough.then(|| at(&sorted, self.objective.quantile)).flatten(),
            objective: self.objective,
            verdict: self.objective.judge(&sorted),
        }
    }
}

/// The sample at rank ⌈share · n⌉, if it is one that succeeded.
fn at(sorted: &[Duration], share: f64) -> Option<Duration> {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share of a length")]
    let rank = (share * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.saturating_sub(1)).copied().filter(|took| *took != Duration::MAX)
}

struct Shared {
    rows: Mutex<Vec<Row>>,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").finish_non_exhaustive()
    }
}

impl Shared {
    fn with_rows<T>(&self, read: impl FnOnce(&mut Vec<Row>) -> T) -> T {
        read(&mut self.rows.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn reports(&self) -> Vec<ProbeReport> {
        self.with_rows(|rows| rows.iter_mut().map(Row::report).collect())
    }
}

struct Runner {
    shared: Arc<Shared>,
    interval: Duration,
    timeout: Duration,
    busy_share: f64,
    rng: Pcg64,
    publish: watch::Sender<Vec<ProbeReport>>,
}

impl Runner {
    async fn run(mut self, mut stopped: watch::Receiver<bool>) {
        tokio::select! {
            _ = stopped.wait_for(|stop| *stop) => {}
            () = self.rounds() => {}
        }
    }

    /// Rounds of all probes for ever, the next as late as the interval or the busy share asks.
    async fn rounds(&mut self) {
        loop {
            let began = Instant::now();
            let busy = self.round().await;
            let _ = self.publish.send(self.shared.reports());
            let pause = self.jittered_interval().max(busy.div_f64(self.busy_share));
            sleep_until(began + pause).await;
        }
    }

    /// Runs every probe once, one after the other; how long that took.
    async fn round(&self) -> Duration {
        let began = Instant::now();
        let probes: Vec<_> =
            self.shared.with_rows(|rows| rows.iter().map(|row| Arc::clone(&row.probe)).collect());
        for (index, probe) in probes.into_iter().enumerate() {
            let outcome = run_once(probe, self.timeout).await;
            #[cfg(feature = "metrics")]
            count(&self.shared, index, &outcome);
            self.shared.with_rows(|rows| rows[index].record(outcome));
        }
        began.elapsed()
    }

    /// Between 0.9 and 1.1 intervals, so that many instances do not probe in step.
    fn jittered_interval(&mut self) -> Duration {
        let share = f64::from(self.rng.next_u32()) / f64::from(u32::MAX);
        self.interval.mul_f64(0.9 + 0.2 * share)
    }
}

async fn run_once(probe: Arc<dyn Probe>, limit: Duration) -> Result<Duration, ProbeError> {
    let began = Instant::now();
    // A task of its own, so that a panic ends the run and not the service.
    let mut run = AbortOnDrop(tokio::spawn(async move { probe.run().await }));
    match timeout(limit, &mut run.0).await {
        Ok(Ok(outcome)) => outcome.map(|()| began.elapsed()),
        Ok(Err(_)) => Err(ProbeError("the probe panicked".to_owned())),
        Err(_) => Err(ProbeError(format!("given up after {limit:?}"))),
    }
}

struct AbortOnDrop<T>(JoinHandle<T>);

impl<T> Drop for AbortOnDrop<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

#[cfg(feature = "metrics")]
fn count(shared: &Shared, index: usize, outcome: &Result<Duration, ProbeError>) {
    let name = shared.with_rows(|rows| rows[index].probe.name().to_owned());
    let labels = [("suite", "probes".to_owned()), ("case", name)];
    if let Ok(took) = outcome {
        metrics::histogram!("offgridflow_bench_result_seconds", &labels).record(took.as_secs_f64());
    } else {
        metrics::counter!("offgridflow_bench_failures_total", &labels).increment(1);
    }
}
