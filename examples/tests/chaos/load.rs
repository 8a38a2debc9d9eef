//! Writers that send each row until it is acknowledged, and readers that go to the other server when one does not answer.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use hyper::Method;
use hyper::body::Bytes;
use offgridflow::http_client;
use serde_json::Value;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::rig::{BUSY, QUIET, key_of};

/// How long a server may take before its caller goes to the other, and how long a caller pauses.
const PATIENCE: Duration = Duration::from_secs(1);
const WRITE_PATIENCE: Duration = Duration::from_secs(4);
const PAUSE: Duration = Duration::from_millis(15);
/// Rows of the tenant that nobody writes to.
pub const QUIET_ROWS: u64 = 50;

/// The server that a tenant's rows go to while it answers, so that the other hears of them from it alone; `None`: to both in turn.
const HOMES: [Option<usize>; 3] = [None, Some(1), Some(0)];

/// What was sent: rows by tenant, of which how many were acknowledged.
#[derive(Debug, Default, Clone)]
pub struct Sent {
    pub sent: BTreeMap<&'static str, u64>,
    pub acknowledged: BTreeMap<&'static str, u64>,
}

/// What happened since it was asked last.
#[derive(Debug, Default)]
pub struct Seen {
    pub quiet: [u64; 2],
    pub busy: [u64; 2], // reads, and those of them that nobody answered
    pub acknowledged: u64,
    pub unanswered_writes: u64,
    pub worst_stale: Duration,
}

/// What writers and readers tell each other.
#[derive(Debug, Default)]
pub struct Shared {
    over: AtomicBool,
    acks: BTreeMap<&'static str, Mutex<Vec<(Instant, u64)>>>, // when, and how many rows were acknowledged by then
    sent: BTreeMap<&'static str, AtomicU64>,
    quiet: [AtomicU64; 2],
    busy: [AtomicU64; 2],
    unanswered: AtomicU64,
    acknowledged: AtomicU64,
    worst_stale_ms: AtomicU64,
}

impl Shared {
    fn new() -> Self {
        Self {
            acks: BUSY.iter().map(|tenant| (*tenant, Mutex::default())).collect(),
            sent: BUSY.iter().map(|tenant| (*tenant, AtomicU64::new(0))).collect(),
            ..Self::default()
        }
    }

    fn acknowledge(&self, tenant: &'static str, rows: u64) {
        let mut acks = self.acks[tenant].lock().unwrap();
        let before = acks.last().map_or(0, |(_, rows)| *rows);
        acks.push((Instant::now(), before + rows));
        self.acknowledged.fetch_add(rows, Relaxed);
    }

    /// How long before `asked` the first row that a total lacks had been acknowledged.
    pub fn stale_by(&self, tenant: &str, told: u64, asked: Instant) -> Duration {
        let acks = self.acks[tenant].lock().unwrap();
        let at = acks.partition_point(|(_, rows)| *rows <= told);
        acks.get(at)
            .map_or(Duration::ZERO, |(acknowledged, _)| asked.saturating_duration_since(*acknowledged))
    }
}

/// The load, until it is ended.
pub struct Load {
    pub shared: Arc<Shared>,
    pub bases: [String; 2],
    tasks: Vec<JoinHandle<()>>,
}

impl Load {
    pub async fn start(bases: [String; 2]) -> Self {
        let shared = Arc::new(Shared::new());
        let body: String = (0..QUIET_ROWS).map(|n| row(QUIET, n)).collect();
        assert!(write(&bases[0], QUIET, body).await, "the quiet tenant's rows are stored");
        for base in &bases {
            assert_eq!(told(base, QUIET).await, Some(QUIET_ROWS));
        }
        let mut tasks = Vec::new();
        for (first, tenant) in BUSY.into_iter().enumerate() {
            tasks.push(tokio::spawn(keep_writing(Arc::clone(&shared), bases.clone(), tenant, HOMES[first])));
        }
        for (first, tenant) in BUSY.into_iter().chain([QUIET, QUIET]).enumerate() {
            tasks.push(tokio::spawn(keep_reading(Arc::clone(&shared), bases.clone(), tenant, first % 2)));
        }
        Self { shared, bases, tasks }
    }

    /// What happened since the last time.
    pub fn seen(&self) -> Seen {
        let take = |number: &AtomicU64| number.swap(0, Relaxed);
        Seen {
            quiet: self.shared.quiet.each_ref().map(take),
            busy: self.shared.busy.each_ref().map(take),
            acknowledged: take(&self.shared.acknowledged),
            unanswered_writes: take(&self.shared.unanswered),
            worst_stale: Duration::from_millis(take(&self.shared.worst_stale_ms)),
        }
    }

    /// Ends writers, each after the row it is at, and readers.
    pub async fn end(self) -> Sent {
        self.shared.over.store(true, Relaxed);
        for task in self.tasks {
            task.await.unwrap();
        }
        let last =
            |acks: &Mutex<Vec<(Instant, u64)>>| acks.lock().unwrap().last().map_or(0, |(_, rows)| *rows);
        Sent {
            sent: self.shared.sent.iter().map(|(tenant, sent)| (*tenant, sent.load(Relaxed))).collect(),
            acknowledged: self.shared.acks.iter().map(|(tenant, acks)| (*tenant, last(acks))).collect(),
        }
    }
}

pub fn row(tenant: &str, n: u64) -> String {
    format!("{{\"id\":\"{tenant}-{n}\",\"category\":\"diesel\",\"quantity\":1,\"period\":\"2024\"}}\n")
}

/// Sends rows; whether they were acknowledged as stored.
pub async fn write(base: &str, tenant: &str, body: String) -> bool {
    let key = key_of(tenant);
    let headers = [("content-type", "application/x-ndjson"), ("x-api-key", key.as_str())];
    let sent = http_client::send(base, Method::POST, "/api/v1/activities", &headers, Bytes::from(body));
    matches!(timeout(WRITE_PATIENCE, sent).await, Ok(Ok(answer)) if answer.status == 200)
}

/// How many activities a server's totals of a tenant speak of; `None` when it did not answer in time.
pub async fn told(base: &str, tenant: &str) -> Option<u64> {
    let key = key_of(tenant);
    let headers = [("x-api-key", key.as_str())];
    let asked = http_client::get(base, "/api/v1/emissions", &headers);
    let answer = timeout(PATIENCE, asked).await.ok()?.ok().filter(|answer| answer.status == 200)?;
    let totals: Value = serde_json::from_slice(&answer.body).ok()?;
    Some(totals["groups"].as_array()?.iter().filter_map(|group| group["activities"].as_u64()).sum())
}

/// Each few rows are sent, to the tenant's server, or to one and the other in turn, until one acknowledges them: then the next.
async fn keep_writing(shared: Arc<Shared>, bases: [String; 2], tenant: &'static str, home: Option<usize>) {
    let (mut next, mut turn) = (0, 0);
    while !shared.over.load(Relaxed) {
        let rows = 1 + next % 4;
        turn = home.unwrap_or(turn);
        let body: String = (next..next + rows).map(|n| row(tenant, n)).collect();
        shared.sent[tenant].fetch_add(rows, Relaxed);
        loop {
            if write(&bases[turn % 2], tenant, body.clone()).await {
                shared.acknowledge(tenant, rows);
                break;
            }
            shared.unanswered.fetch_add(1, Relaxed);
            if shared.over.load(Relaxed) && shared.unanswered.load(Relaxed) > 1_000 {
                return; // nobody answers any more: the account says what is missing
            }
            turn += 1;
            tokio::time::sleep(PAUSE).await;
        }
        (next, turn) = (next + rows, turn + 1);
        tokio::time::sleep(PAUSE).await;
    }
}

/// Asks one server, and the other when it does not answer, as a load balancer does.
async fn keep_reading(shared: Arc<Shared>, bases: [String; 2], tenant: &'static str, mut turn: usize) {
    let counts = if tenant == QUIET { &shared.quiet } else { &shared.busy };
    while !shared.over.load(Relaxed) {
        let mut asked = Instant::now();
        let mut answer = told(&bases[turn % 2], tenant).await;
        if answer.is_none() {
            asked = Instant::now();
            answer = told(&bases[(turn + 1) % 2], tenant).await;
        }
        counts[0].fetch_add(1, Relaxed);
        counts[1].fetch_add(u64::from(answer.is_none()), Relaxed);
        if let Some(told) = answer.filter(|_| tenant != QUIET) {
            let stale = shared.stale_by(tenant, told, asked);
            shared.worst_stale_ms.fetch_max(u64::try_from(stale.as_millis()).unwrap(), Relaxed);
        }
        turn += 1;
        tokio::time::sleep(PAUSE).await;
    }
}
