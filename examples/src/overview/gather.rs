use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use offgridflow_bench::service::{ProbeReport, SloVerdict};
use offgridflow_profile::Profiler;
use offgridflow_query::StatementStats;
use tokio::sync::Mutex;
use tokio::time::timeout;

use super::{
    CacheView, GateView, IncidentView, Judgement, MemoryView, Overview, ProbeView, QueueView, StatementView,
    Traffic, WriterView, load_report,
};
use crate::ledger::{CacheFigure, Ledger};

/// How old an overview may be that is given to a further viewer: however many look, it is gathered once a second.
const FRESH: Duration = Duration::from_secs(1);
/// How long the queue may take to say how long it is.
const PATIENCE: Duration = Duration::from_millis(500);
/// Points of the course of memory, and statements.
const POINTS: usize = 240;
const STATEMENTS: usize = 8;

/// Gathers overviews, one at a time.
#[derive(Debug, Default)]
pub(crate) struct Gatherer {
    pub(crate) traffic: Traffic,
    load_report: PathBuf,
    newest: Mutex<Option<(Instant, Arc<Overview>)>>,
}

/// What an overview is gathered from.
pub(crate) struct Sources<'a> {
    pub(crate) ledger: &'a Ledger,
    pub(crate) profiler: &'a Profiler,
    pub(crate) probes: Vec<ProbeReport>,
    pub(crate) shared_cache: bool,
    pub(crate) development: bool,
    pub(crate) uptime: Duration,
    /// Whether CPU time is sampled all the time, so that what was before an incident is known.
    pub(crate) samples_always: bool,
}

impl Gatherer {
    pub(crate) fn new(load_report: PathBuf) -> Self {
        Self { load_report, ..Self::default() }
    }

    /// The overview, at most a second old.
    pub(crate) async fn overview(&self, sources: Sources<'_>) -> Arc<Overview> {
        let mut newest = self.newest.lock().await;
        if let Some((at, overview)) = &*newest
            && at.elapsed() < FRESH
        {
            return Arc::clone(overview);
        }
        let overview = Arc::new(self.gather(sources).await);
        *newest = Some((Instant::now(), Arc::clone(&overview)));
        overview
    }

    async fn gather(&self, sources: Sources<'_>) -> Overview {
        let Sources { ledger, profiler, probes, shared_cache, development, uptime, samples_always } = sources;
        let store = ledger.store();
        let queue = timeout(PATIENCE, store.queue()).await.ok().and_then(Result::ok);
        let (gate, writer, caches) = (store.pool_status(), store.writer_stats(), ledger.figures());
        Overview {
            database: store.database().to_owned(),
            shared_cache,
            development,
            uptime_secs: uptime.as_secs(),
            traffic: self.traffic.view(),
            caches: vec![cache("totals", &caches.totals), cache("factors", &caches.factors)],
            statements: store.observer().top(STATEMENTS).iter().map(statement).collect(),
            gate: GateView {
                in_use: gate.in_use,
                idle: gate.idle,
                max_open: gate.max_open,
                waiting: gate.waiting,
                timeouts: gate.timeouts,
                wait_p95_ms: millis(gate.wait.p95_ns),
            },
            writer: WriterView {
                committed: writer.committed,
                queued: writer.queued,
                flushes: writer.flushes,
                rejected: writer.rejected,
            },
            memory: memory(profiler),
            queue: queue.map(|queue| QueueView { depth: queue.depth, oldest_secs: queue.oldest.as_secs() }),
            probes: probes.iter().map(probe).collect(),
            load_test: load_report::read(&self.load_report),
            incidents: incidents(profiler, samples_always.then_some(uptime)),
        }
    }
}

fn millis(nanos: u64) -> f64 {
    nanos as f64 / 1e6
}

fn cache(name: &str, figure: &CacheFigure) -> CacheView {
    let stats = &figure.stats;
    CacheView {
        name: name.to_owned(),
        asked: figure.asked,
        near: stats.near_hits,
        shared: stats.shared_hits,
        hit_ratio: figure.hit_ratio,
        loads: stats.loads,
        outage: stats.outage.clone(),
    }
}

fn statement(stats: &StatementStats) -> StatementView {
    StatementView {
        text: stats.text.clone(),
        calls: stats.calls,
        errors: stats.errors,
        p50_ms: millis(stats.latency.p50_ns),
        p95_ms: millis(stats.latency.p95_ns),
        total_ms: millis(stats.latency.sum_ns),
    }
}

fn memory(profiler: &Profiler) -> MemoryView {
    let (status, series) = (profiler.memory(), profiler.memory_series());
    let each = series.len().div_ceil(POINTS).max(1);
    let first = series.iter().next().map_or(Duration::ZERO, |sample| sample.at);
    let newest_of_each =
        series.iter().enumerate().filter(|(index, _)| (series.len() - 1 - index).is_multiple_of(each));
    MemoryView {
        shape: status.verdict.shape.name().to_owned(),
        why: status.verdict.why.clone(),
        resident_bytes: status.reading.rss_bytes,
        limit_bytes: status.limit.map(|limit| limit.bytes),
        course: newest_of_each.map(|(_, sample)| ((sample.at - first).as_secs_f64(), sample.bytes)).collect(),
    }
}

fn probe(report: &ProbeReport) -> ProbeView {
    let millis = |took: Duration| took.as_secs_f64() * 1e3;
    let verdict = match report.verdict {
        SloVerdict::Met => Judgement::Good("met".to_owned()),
        SloVerdict::Breached => Judgement::Bad("breached".to_owned()),
        SloVerdict::NotEnoughData { have, need } => Judgement::Open(format!("{have} of {need} samples")),
        _ => Judgement::Open("too close to say".to_owned()),
    };
    let objective = &report.objective;
    ProbeView {
        name: report.name.clone(),
        objective: format!("p{:.0} within {:?}", objective.quantile * 100.0, objective.limit),
        verdict,
        p50_ms: report.p50.map(millis),
        at_quantile_ms: report.at_quantile.map(millis),
        samples: report.samples,
        failures: report.failures,
    }
}

fn incidents(profiler: &Profiler, sampled: Option<Duration>) -> Vec<IncidentView> {
    let now = SystemTime::now();
    let view = |incident: &offgridflow_profile::IncidentSummary| {
        let age_secs = now.duration_since(incident.at).unwrap_or_default().as_secs();
        IncidentView {
            id: incident.id.clone(),
            age_secs,
            kind: incident.kind.clone(),
            why: incident.why.clone(),
            flame_graph: flame_graph(&incident.kind, age_secs, sampled),
        }
    };
    profiler.incidents().iter().map(view).collect()
}

/// Seconds of samples before an incident that are worth a comparison.
const BEFORE: u64 = 120;

/// Of memory, what holds it; of anything else, where the time goes since, against the ten minutes before, or now where nothing was sampled then.
fn flame_graph(kind: &str, age_secs: u64, sampled: Option<Duration>) -> String {
    match kind {
        "leak" | "limit" => "/debug/pprof/flamegraph?profile=heap".to_owned(),
        _ if sampled.is_some_and(|sampled| sampled.as_secs() > age_secs + BEFORE) => {
            format!("/debug/pprof/diff?recent={}&before=600&format=svg", (age_secs + 60).div_ceil(60) * 60)
        }
        _ => "/debug/pprof/flamegraph?seconds=5".to_owned(),
    }
}
