//! The parts of a server, put together once at the start.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use offgridflow_bench::service::{BenchService, Objective, ProbeReport, cache_probe, sql_probe};
use offgridflow_profile::{LatencyFeed, MemoryStatus, ProfileError, ProfileService, Profiler};
use offgridflow_query::{PoolStatus, StatementStats, WriterStats};
use serde::Serialize;

use crate::api::{Doors, profile_access};
use crate::config::{Config, ConfigError, is_loopback};
use crate::faults::Faults;
use crate::keys::KeyRing;
use crate::ledger::{CacheFigures, Ledger, LedgerError};
use crate::overview::{Gatherer, Overview, Sources, TRAFFIC_LOOK};
use crate::profiler;
use crate::store::{Store, StoreError};

/// Everything a request may need.
#[derive(Debug)]
pub struct App {
    config: Config,
    ledger: Arc<Ledger>,
    doors: Arc<Doors>,
    profiler: Profiler,
    profiles: ProfileService,
    latency: LatencyFeed,
    faults: Option<Faults>,
    probes: BenchService,
    gatherer: Gatherer,
    draining: AtomicBool,
    began: Instant,
}

/// Why a server did not start, or did not end well.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AppError {
    /// Settings that contradict each other.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The caches.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// Memory cannot be read here, or a thread not be started.
    #[error("the profiler was not started")]
    Profile(#[from] ProfileError),
    /// Probes that contradict each other.
    #[error("the probes were not started")]
    Probes(#[from] offgridflow_bench::service::ConfigError),
    /// The address is taken, or not of this machine.
    #[error("cannot listen at {0}")]
    Listen(std::net::SocketAddr, #[source] std::io::Error),
    /// The load test was misconfigured.
    #[error("the load test did not run")]
    Load(#[from] offgridflow_loadtest::Error),
    /// The network, or a signal handler, failed.
    #[error("the server failed")]
    Serve(#[from] std::io::Error),
}

impl From<offgridflow_loadtest::ConfigError> for AppError {
    fn from(error: offgridflow_loadtest::ConfigError) -> Self {
        Self::Load(error.into())
    }
}

/// How the server does, as `/api/v1/performance` says it.
#[derive(Debug, Serialize)]
pub struct Performance {
    uptime_seconds: u64,
    database: &'static str,
    shared_cache: bool,
    cache: CacheFigures,
    statements: Vec<StatementStats>,
    pool: PoolStatus,
    writer: WriterStats,
    memory: MemoryStatus,
    probes: Vec<ProbeReport>,
}

impl App {
    /// Opens the database and the caches, and starts to watch memory and to probe.
    ///
    /// # Errors
    /// What is missing, in one sentence.
    pub async fn start(config: Config) -> Result<Arc<Self>, AppError> {
        config.check()?;
        let doors = Arc::new(Doors::new(KeyRing::new(config.configured_keys()?), config.rate_limit));
        let say = |sentence: String| tracing::info!("{sentence}");
        let store = Arc::new(Store::open(&config.database_url, config.database_patience(), say).await?);
        let ledger = Arc::new(Ledger::open(store, config.redis_url.as_deref())?);
        let (keys, ever) = ledger.store().keys().await?;
        doors.ring().hold(keys, ever);
        if doors.ring().is_open() && !is_loopback(config.listen.ip()) {
            return Err(ConfigError::Open(config.listen).into());
        }
        let probes = probes(&ledger, Duration::from_secs(config.probe_secs))?;
        let profiler = profiler::start(&config)?;
        let profiles = profiler.service(profile_access(Arc::clone(&doors))).build()?;
        let (latency, faults) = (profiler.latency(), config.faults.then(Faults::default));
        let gatherer = Gatherer::new(config.load_report.clone());
        let (draining, began) = (AtomicBool::new(false), Instant::now());
        Ok(Arc::new(Self {
            config,
            ledger,
            doors,
            profiler,
            profiles,
            latency,
            faults,
            probes,
            gatherer,
            draining,
            began,
        }))
    }

    /// The settings.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Activities, totals and factors, with their caches.
    #[must_use]
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// Who is let through.
    #[must_use]
    pub fn doors(&self) -> &Doors {
        &self.doors
    }

    /// Looks which keys are valid now; where the database does not answer, those that were go on.
    pub async fn refresh_keys(&self) {
        match self.store().keys().await {
            Ok((keys, ever)) => self.doors.ring().hold(keys, ever),
            Err(error) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "API keys could not be looked up");
            }
        }
    }

    /// The database.
    #[must_use]
    pub fn store(&self) -> &Store {
        self.ledger.store()
    }

    /// Profiles over HTTP.
    #[must_use]
    pub fn profiles(&self) -> ProfileService {
        self.profiles.clone()
    }

    /// Takes the latencies of requests, for the profiler's triggers.
    #[must_use]
    pub fn latency(&self) -> &LatencyFeed {
        &self.latency
    }

    /// What the probes and the profiler found, in Prometheus' text format.
    #[must_use]
    pub fn findings(&self) -> String {
        offgridflow_bench::service::prometheus(&self.probes.snapshot()) + &self.profiler.prometheus()
    }

    /// What can be made to go wrong, where that is allowed.
    #[must_use]
    pub fn faults(&self) -> Option<&Faults> {
        self.faults.as_ref()
    }

    /// Whether the server takes no new work.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }

    /// From now on `/readyz` says so.
    pub fn drain(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }

    /// Writes what is queued and closes the database; rows stored in all.
    ///
    /// # Errors
    /// When the writer had died.
    pub async fn close(&self) -> Result<u64, AppError> {
        Ok(self.store().close().await?)
    }

    /// What the page shows, at most a second old, however many look.
    pub async fn overview(&self) -> Arc<Overview> {
        let sources = Sources {
            ledger: &self.ledger,
            profiler: &self.profiler,
            probes: self.probes.snapshot(),
            shared_cache: self.config.redis_url.is_some(),
            development: self.doors.ring().is_open(),
            uptime: self.began.elapsed(),
            samples_always: self.config.incidents.is_some(),
        };
        self.gatherer.overview(sources).await
    }

    /// Follows the course of requests for as long as the server is there.
    pub async fn follow_traffic(self: Arc<Self>) {
        loop {
            self.gatherer.traffic.look(&self.latency, Instant::now());
            tokio::time::sleep(TRAFFIC_LOOK).await;
        }
    }

    /// How the server does.
    #[must_use]
    pub fn performance(&self) -> Performance {
        Performance {
            uptime_seconds: self.began.elapsed().as_secs(),
            database: self.store().database(),
            shared_cache: self.config.redis_url.is_some(),
            cache: self.ledger.figures(),
            statements: self.store().observer().top(10),
            pool: self.store().pool_status(),
            writer: self.store().writer_stats(),
            memory: self.profiler.memory(),
            probes: self.probes.snapshot(),
        }
    }
}

/// A look into the cache and a word with the database, now and then.
fn probes(
    ledger: &Arc<Ledger>,
    interval: Duration,
) -> Result<BenchService, offgridflow_bench::service::ConfigError> {
    let (cached, database) = (Arc::clone(ledger), Arc::clone(ledger));
    let lookup = cache_probe("cached factor", move || {
        let ledger = Arc::clone(&cached);
        async move { ledger.factor("", "electricity").await }
    });
    let ping = sql_probe("database ping", move || {
        let ledger = Arc::clone(&database);
        async move { ledger.store().ping().await.map(|()| 1) }
    });
    BenchService::builder()
        .interval(interval)
        .probe(lookup, Objective::p95(Duration::from_millis(2)))
        .probe(ping, Objective::p95(Duration::from_millis(50)))
        .start()
}
