use std::collections::HashSet;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rand_pcg::Pcg64;
use rand_pcg::rand_core::Rng;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until, timeout};

use super::deploy::{Comparison, DeployVerdict, Reference};
use super::load::{self, BackOff};
use super::row::{Entry, ProbeReport, Row};
use super::{Objective, Probe, ProbeError};

/// Why a service was not started.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// There is nothing to run.
    #[error("the service has no probe: add one with `.probe(…)`")]
    NoProbe,
    /// A reference that belongs to no probe.
    #[error("there is a reference for `{0}`, and no probe of that name")]
    UnknownProbe(String),
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
    probes: Vec<Entry>,
    references: Vec<(String, Reference)>,
    slowdown: f64,
    interval: Duration,
    timeout: Duration,
    window: Duration,
    busy_share: f64,
    back_off: BackOff,
    seed: u64,
}

impl fmt::Debug for BenchServiceBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.probes.iter().map(|entry| entry.probe.name()).collect();
        f.debug_struct("BenchServiceBuilder").field("probes", &names).finish_non_exhaustive()
    }
}

impl BenchServiceBuilder {
    /// Adds a probe and what it should take.
    pub fn probe(mut self, probe: impl Probe, objective: Objective) -> Self {
        self.probes.push(Entry { probe: Arc::new(probe), objective, is_control: false });
        self
    }

    /// Adds a probe of something that no deploy changes, such as a fixed piece of arithmetic. Where it became slower than its own reference, so did
    /// the machine, and no other probe is called slower: see [`DeployVerdict::EnvironmentSuspect`].
    pub fn control(mut self, probe: impl Probe, objective: Objective) -> Self {
        self.probes.push(Entry { probe: Arc::new(probe), objective, is_control: true });
        self
    }

    /// What the probe of this name took on an earlier build, as [`BenchService::reference`] gave it there.
    pub fn reference(mut self, probe: impl Into<String>, reference: Reference) -> Self {
        self.references.push((probe.into(), reference));
        self
    }

    /// A deploy that is slower by at most this share does not matter. Default: 0.02.
    pub fn slowdown(mut self, share: f64) -> Self {
        self.slowdown = share;
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

    /// Load above which rounds become rarer, up to eight times. Default: 2, in tasks a processor; `f64::INFINITY`: never.
    pub fn back_off_above(mut self, load: f64) -> Self {
        self.back_off.above = load;
        self
    }

    /// How busy the application is, asked before each round. Default: the tasks that ran or waited over the last minute, a processor (Linux).
    pub fn load(mut self, load: impl Fn() -> f64 + Send + Sync + 'static) -> Self {
        self.back_off.load = Box::new(load);
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
        let (compared, slowdown, seed) = (self.references.len(), self.slowdown, self.seed);
        let comparison = |name: &str| {
            let (_, reference) = self.references.iter().find(|(of, _)| of == name)?;
            Comparison::new(reference, slowdown, compared, seed)
        };
        let rows = self.probes.into_iter().map(|entry| {
            let comparison = comparison(entry.probe.name());
            Row::new(entry, self.window, comparison)
        });
        let rows = rows.collect();
        let shared = Arc::new(Shared { rows: Mutex::new(rows), put_off: AtomicU64::new(0) });
        let (stop, stopped) = watch::channel(false);
        let (publish, reports) = watch::channel(shared.reports());
        let runner = Runner {
            shared: Arc::clone(&shared),
            interval: self.interval,
            timeout: self.timeout,
            busy_share: self.busy_share,
            back_off: self.back_off,
            rng: Pcg64::new(u128::from(self.seed), 1),
            publish,
        };
        let task = tokio::spawn(runner.run(stopped));
        Ok(BenchService { shared, stop, reports, task })
    }

    fn check(&self) -> Result<(), ConfigError> {
        let refuse = |setting, hint| Err(ConfigError::Setting { setting, hint });
        let mut names = HashSet::new();
        for Entry { probe, objective, .. } in &self.probes {
            if !names.insert(probe.name()) {
                return Err(ConfigError::DuplicateName(probe.name().to_owned()));
            }
            if !(objective.quantile > 0.0 && objective.quantile < 1.0) {
                return refuse("an objective's quantile", "lies between 0 and 1");
            }
        }
        if let Some((name, _)) = self.references.iter().find(|(name, _)| !names.contains(name.as_str())) {
            return Err(ConfigError::UnknownProbe(name.clone()));
        }
        match self {
            _ if self.probes.is_empty() => Err(ConfigError::NoProbe),
            _ if self.interval.is_zero() => refuse("interval", "must be longer than zero"),
            _ if self.timeout.is_zero() => refuse("timeout", "must be longer than zero"),
            _ if !(self.busy_share > 0.0 && self.busy_share <= 1.0) => {
                refuse("busy_share", "lies above 0 and up to 1")
            }
            _ if self.back_off.above.is_nan() || self.back_off.above <= 0.0 => {
                refuse("back_off_above", "lies above 0")
            }
            _ if !(0.0..10.0).contains(&self.slowdown) => refuse("slowdown", "lies between 0 and 10"),
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

impl BenchService {
    /// Settings, with their defaults.
    pub fn builder() -> BenchServiceBuilder {
        BenchServiceBuilder {
            probes: Vec::new(),
            references: Vec::new(),
            slowdown: 0.02,
            interval: Duration::from_secs(10),
            timeout: Duration::from_secs(5),
            window: Duration::from_secs(3_600),
            busy_share: 0.01,
            back_off: BackOff::new(2.0, Box::new(load::machine)),
            seed: 1,
        }
    }

    /// Every probe as it stands, in the order they were added. Sorts the windows: milliseconds at most.
    #[must_use]
    pub fn snapshot(&self) -> Vec<ProbeReport> {
        self.shared.reports()
    }

    /// What the probe of this name took on this build, to be stored with a build that is good; `None` when there is no such probe.
    #[must_use]
    pub fn reference(&self, probe: &str) -> Option<Reference> {
        self.shared.with_rows(|rows| rows.iter().find(|row| row.probe.name() == probe).map(Row::reference))
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

struct Shared {
    rows: Mutex<Vec<Row>>,
    put_off: AtomicU64,
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
        self.with_rows(|rows| {
            let put_off = self.put_off.load(Ordering::Relaxed);
            let mut reports: Vec<ProbeReport> = rows.iter_mut().map(|row| row.report(put_off)).collect();
            let slower = |report: &ProbeReport| matches!(report.deploy, DeployVerdict::Slower { .. });
            if rows.iter().zip(&reports).any(|(row, report)| row.is_control && slower(report)) {
                for report in reports.iter_mut().filter(|report| slower(report)) {
                    report.deploy = DeployVerdict::EnvironmentSuspect;
                }
            }
            reports
        })
    }
}

struct Runner {
    shared: Arc<Shared>,
    interval: Duration,
    timeout: Duration,
    busy_share: f64,
    back_off: BackOff,
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

    /// Rounds of all probes for ever, the next as late as the interval, the load or the busy share asks.
    async fn rounds(&mut self) {
        loop {
            let began = Instant::now();
            let busy = self.round().await;
            let _ = self.publish.send(self.shared.reports());
            let intervals = self.back_off.intervals();
            self.shared.put_off.fetch_add(u64::from(intervals > 1), Ordering::Relaxed);
            let pause = (self.jittered_interval() * intervals).max(busy.div_f64(self.busy_share));
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

/// Tells the recorder of the `metrics` facade what each figure of this crate means. Once a process, after the recorder was installed.
#[cfg(feature = "metrics")]
#[cfg_attr(docsrs, doc(cfg(feature = "metrics")))]
pub fn describe_metrics() {
    metrics::describe_histogram!("offgridflow_bench_result_seconds", "How long runs took that succeeded.");
    metrics::describe_counter!(
        "offgridflow_bench_failures_total",
        "Runs that failed, panicked or were given up."
    );
}

#[cfg(feature = "metrics")]
fn count(shared: &Shared, index: usize, outcome: &Result<Duration, ProbeError>) {
    let name = shared.with_rows(|rows| rows[index].probe.name().to_owned());
    let labels = [("suite", "probes".to_owned()), ("case", name)];
    metrics::counter!("offgridflow_bench_failures_total", &labels).increment(outcome.is_err().into());
    if let Ok(took) = outcome {
        metrics::histogram!("offgridflow_bench_result_seconds", &labels).record(took.as_secs_f64());
    }
}
