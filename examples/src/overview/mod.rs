//! What the page shows of a server, as plain data: what the `web` role asks another process for.

mod gather;
mod load_report;
mod traffic;

use serde::{Deserialize, Serialize};

pub(crate) use gather::{Gatherer, Sources};
pub(crate) use traffic::{LOOK as TRAFFIC_LOOK, Traffic};

/// A server at an instant.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Overview {
    /// `SQLite` or `PostgreSQL`.
    pub database: String,
    /// Whether the caches are shared through Redis.
    pub shared_cache: bool,
    /// Whether there are no API keys.
    pub development: bool,
    /// Since the start, in seconds.
    pub uptime_secs: u64,
    /// Requests.
    pub traffic: TrafficView,
    /// The caches.
    pub caches: Vec<CacheView>,
    /// Statements, those that took longest in all first.
    pub statements: Vec<StatementView>,
    /// Connections of the database.
    pub gate: GateView,
    /// What was written in batches.
    pub writer: WriterView,
    /// Memory of the process.
    pub memory: MemoryView,
    /// The worker's jobs; `None` where the database did not say in time.
    pub queue: Option<QueueView>,
    /// Probes against their objectives.
    pub probes: Vec<ProbeView>,
    /// The newest load test; `None` where no report was named or written yet.
    pub load_test: Option<LoadTestView>,
    /// The newest incidents, the newest first.
    pub incidents: Vec<IncidentView>,
}

/// Requests of the last ten seconds, and how it went before.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct TrafficView {
    /// The newest.
    pub now: TrafficPoint,
    /// One every two seconds, the oldest first; five minutes at most.
    pub course: Vec<TrafficPoint>,
}

/// Requests around an instant.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct TrafficPoint {
    /// Requests a second.
    pub rate_per_sec: f64,
    /// How many it rests on.
    pub requests: u64,
    /// Median, in milliseconds, rounded up by at most 12.5 %; `None` without requests.
    pub p50_ms: Option<f64>,
    /// 95th percentile, likewise; `None` below 59 requests, which is too few to tell.
    pub p95_ms: Option<f64>,
}

/// A cache's reads, by who answered them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CacheView {
    /// Its name.
    pub name: String,
    /// Reads.
    pub asked: u64,
    /// Answered in this process.
    pub near: u64,
    /// Answered by Redis.
    pub shared: u64,
    /// Share that needed no load; `None` before the first read.
    pub hit_ratio: Option<f64>,
    /// Keys loaded from the database.
    pub loads: u64,
    /// Why Redis does not answer, while it does not.
    pub outage: Option<String>,
}

/// A statement's executions.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StatementView {
    /// Its text without values.
    pub text: String,
    /// Executions.
    pub calls: u64,
    /// Those that failed.
    pub errors: u64,
    /// In milliseconds.
    pub p50_ms: f64,
    /// In milliseconds.
    pub p95_ms: f64,
    /// All of them, in milliseconds.
    pub total_ms: f64,
}

/// Connections of the database.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GateView {
    /// Lent now.
    pub in_use: usize,
    /// Open and not lent.
    pub idle: usize,
    /// That may be open.
    pub max_open: usize,
    /// Callers that wait for one.
    pub waiting: usize,
    /// Callers that gave up.
    pub timeouts: u64,
    /// What 95 % waited at most, in milliseconds.
    pub wait_p95_ms: f64,
}

/// Rows written in batches.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WriterView {
    /// Stored.
    pub committed: u64,
    /// Waiting.
    pub queued: u64,
    /// Transactions.
    pub flushes: u64,
    /// Refused by the database.
    pub rejected: u64,
}

/// Memory of the process.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MemoryView {
    /// The verdict in one word.
    pub shape: String,
    /// And in one sentence.
    pub why: String,
    /// Resident now.
    pub resident_bytes: u64,
    /// What it must not exceed.
    pub limit_bytes: Option<u64>,
    /// Seconds since the first reading, and bytes in use; at most 240.
    pub course: Vec<(f64, u64)>,
}

/// The worker's jobs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueueView {
    /// That wait or are under way.
    pub depth: u64,
    /// How long ago the oldest was asked for, in seconds.
    pub oldest_secs: u64,
}

/// A probe against its objective.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ProbeView {
    /// Its name.
    pub name: String,
    /// What it should take, in words.
    pub objective: String,
    /// `met`, `breached`, `inconclusive` or how many samples it needs.
    pub verdict: Judgement,
    /// Median in milliseconds.
    pub p50_ms: Option<f64>,
    /// The objective's quantile in milliseconds.
    pub at_quantile_ms: Option<f64>,
    /// Runs in the window.
    pub samples: usize,
    /// Runs that failed, since the start.
    pub failures: u64,
}

/// How something that has an objective does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Judgement {
    /// Within its objective.
    Good(String),
    /// Beyond it.
    Bad(String),
    /// Nobody can say yet.
    Open(String),
}

/// The newest load test.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LoadTestView {
    /// What was under load.
    pub target: String,
    /// The load in words.
    pub load: String,
    /// `Valid`, or why not.
    pub verdict: Judgement,
    /// Requests that ended well, and that failed.
    pub ok: u64,
    /// Failed ones.
    pub failed: u64,
    /// Answers a second.
    pub rate_per_sec: f64,
    /// 95th percentile of the response, in words.
    pub p95: String,
    /// Thresholds: as written, how each came out, and what was measured.
    pub thresholds: Vec<(String, Judgement, String)>,
    /// How long ago the report was written, in seconds.
    pub age_secs: u64,
}

/// An incident.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct IncidentView {
    /// Its name, which its page is found by.
    pub id: String,
    /// How long ago, in seconds.
    pub age_secs: u64,
    /// What was watched, in one word.
    pub kind: String,
    /// What held, in one sentence.
    pub why: String,
    /// Where the flame graph is that tells most of it.
    pub flame_graph: String,
}
