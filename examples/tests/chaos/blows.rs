//! What is done to the system, one thing at a time.

use std::io::Write as _;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use hyper::Method;
use hyper::body::Bytes;
use offgridflow::http_client;
use offgridflow_query::sqlx::{self, Connection as _, PgConnection};
use tokio::time::sleep;

use crate::load::{Load, Seen, row, told, write};
use crate::rig::{BUSY, PULSE, Rig, SESSIONS, key_of};
use crate::tally::Struck;

/// How long a fault lasts, and how long recovery is waited for.
const LASTS: Duration = Duration::from_secs(4);
const WAITED: Duration = Duration::from_secs(30);
/// Between two blows.
pub const CALM: Duration = Duration::from_secs(1);

/// A thing that breaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Blow {
    ApiKilled,
    ApiTerminated,
    WorkerKilled,
    PostgresRestarted,
    PostgresFrozen,
    PostgresFull,
    DiskFull,
    RedisKilled,
    RedisFrozen,
    RedisEmptied,
    RedisFailedOver,
    OneCutOff,
    SlowClients,
}

/// Each of them, in an order that differs from round to round.
pub fn all(round: usize) -> Vec<Blow> {
    let mut all = vec![
        Blow::ApiKilled,
        Blow::WorkerKilled,
        Blow::RedisFrozen,
        Blow::PostgresRestarted,
        Blow::OneCutOff,
        Blow::PostgresFrozen,
        Blow::RedisEmptied,
        Blow::PostgresFull,
        Blow::ApiTerminated,
        Blow::DiskFull,
        Blow::RedisKilled,
        Blow::SlowClients,
        Blow::RedisFailedOver,
    ];
    let turns = round * 5 % (all.len() - 1);
    all[..12].rotate_left(turns); // the failover stays last: the server before it is gone for good
    let only = std::env::var("S3_ONLY").unwrap_or_default();
    all.retain(|blow| blow.name().contains(&only));
    all
}

impl Blow {
    const fn name(self) -> &'static str {
        match self {
            Self::ApiKilled => "api-killed",
            Self::ApiTerminated => "api-terminated",
            Self::WorkerKilled => "worker-killed",
            Self::PostgresRestarted => "postgres-restarted",
            Self::PostgresFrozen => "postgres-frozen",
            Self::PostgresFull => "postgres-out-of-connections",
            Self::DiskFull => "postgres-out-of-disk",
            Self::RedisKilled => "redis-killed",
            Self::RedisFrozen => "redis-frozen",
            Self::RedisEmptied => "redis-emptied",
            Self::RedisFailedOver => "redis-failed-over",
            Self::OneCutOff => "one-api-cut-off-from-redis",
            Self::SlowClients => "slow-clients",
        }
    }

    const fn database_answers(self) -> bool {
        !matches!(self, Self::PostgresRestarted | Self::PostgresFrozen | Self::PostgresFull)
    }
}

/// Strikes, ends the fault, and waits until both servers write and read again.
pub async fn strike(blow: Blow, rig: &mut Rig, load: &Load) -> Struck {
    sleep(CALM).await;
    let _ = load.seen();
    let done = inflict(blow, rig).await;
    let recovery = if matches!(done, Done::Skipped(_)) { None } else { recovery(load).await };
    sleep(CALM * 2).await;
    let (fault, skipped) = match done {
        Done::Well => (None, None),
        Done::Fault(fault) => (Some(fault), None),
        Done::Skipped(why) => (None, Some(why)),
    };
    let seen: Seen = load.seen();
    Struck { name: blow.name(), database_answers: blow.database_answers(), seen, recovery, fault, skipped }
}

enum Done {
    Well,
    Fault(String),
    Skipped(&'static str),
}

async fn inflict(blow: Blow, rig: &mut Rig) -> Done {
    match blow {
        Blow::ApiKilled => {
            rig.apis[0].kill();
            sleep(LASTS / 2).await;
            rig.apis[0].start_again();
        }
        Blow::ApiTerminated => {
            let status = rig.apis[1].terminate().await;
            rig.apis[1].start_again();
            if status.code() != Some(0) {
                return Done::Fault(format!("SIGTERM under load ends with {status}"));
            }
        }
        Blow::WorkerKilled => {
            for (kg, tenant) in (80..).zip(BUSY) {
                change_factor(rig, tenant, kg).await;
            }
            rig.worker.kill();
            sleep(LASTS / 2).await;
            rig.worker.start_again();
        }
        Blow::PostgresRestarted => {
            rig.postgres.kill();
            sleep(LASTS / 2).await;
            rig.postgres.restart().unwrap();
        }
        Blow::PostgresFrozen => {
            rig.postgres.freeze();
            sleep(LASTS).await;
            rig.postgres.thaw();
        }
        Blow::PostgresFull => return take_every_session(rig).await,
        Blow::DiskFull => return fill_the_disk(rig).await,
        Blow::RedisKilled => {
            rig.redis.kill();
            sleep(LASTS).await;
            rig.redis.restart().unwrap();
        }
        Blow::RedisFrozen => {
            rig.redis.freeze();
            sleep(LASTS).await;
            rig.redis.thaw();
        }
        Blow::RedisEmptied => {
            rig.redis.cli(&["FLUSHALL"]).unwrap();
        }
        Blow::RedisFailedOver => return fail_over(rig).await,
        Blow::OneCutOff => {
            rig.ways_to_redis[0].cut();
            sleep(LASTS * 2).await;
            rig.ways_to_redis[0].restore();
        }
        Blow::SlowClients => return crawl(rig).await,
    }
    Done::Well
}

/// Until each server has written something and told it, in a row.
pub async fn recovery(load: &Load) -> Option<Duration> {
    let began = Instant::now();
    while began.elapsed() < WAITED {
        let mut well = true;
        for base in &load.bases {
            well = well && write(base, PULSE, row(PULSE, 0)).await;
            for tenant in BUSY {
                let asked = Instant::now();
                well = well
                    && told(base, tenant).await.is_some_and(|told| {
                        load.shared.stale_by(tenant, told, asked) < Duration::from_secs(1)
                    });
            }
        }
        if well {
            return Some(began.elapsed());
        }
        sleep(Duration::from_millis(20)).await;
    }
    None
}

async fn change_factor(rig: &Rig, tenant: &str, kg: u32) {
    let key = key_of(tenant);
    let body = format!("{{\"unit\":\"GJ\",\"kg_co2e_per_unit\":\"{kg}\",\"scope\":1,\"source\":\"chaos\"}}");
    let headers = [("x-api-key", key.as_str())];
    let sent = http_client::send(
        &rig.apis[0].base,
        Method::PUT,
        "/api/v1/factors/diesel",
        &headers,
        Bytes::from(body),
    )
    .await;
    assert_eq!(sent.unwrap().status, 200, "the factor is changed");
}

/// Ends everybody's sessions and takes every place there is.
async fn take_every_session(rig: &Rig) -> Done {
    let url = rig.database.url();
    let mut taken: Vec<PgConnection> = Vec::new();
    let began = Instant::now();
    while began.elapsed() < LASTS {
        match PgConnection::connect(&url).await {
            Ok(one) => taken.push(one),
            Err(_) => sleep(Duration::from_millis(20)).await,
        }
        if taken.len() == 5 {
            let others = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND datname = current_database() AND application_name <> 'psql' AND backend_start < now() - interval '1 second'";
            let _ = sqlx::query(others).execute(&mut taken[0]).await;
        }
    }
    let most = taken.len();
    for one in taken {
        let _ = one.close().await;
    }
    if most * 2 < SESSIONS {
        Done::Fault(format!("only {most} of {SESSIONS} sessions could be taken"))
    } else {
        Done::Well
    }
}

async fn fill_the_disk(rig: &Rig) -> Done {
    if rig.small_disk.is_none() {
        return Done::Skipped("this user may not mount a small file system");
    }
    rig.database.psql("CREATE TABLE filler (bytes TEXT) TABLESPACE small").unwrap();
    rig.database.psql("ALTER TABLE filler ALTER bytes SET STORAGE EXTERNAL").unwrap();
    let mut full = false;
    for bytes in [1 << 20, 1 << 16, 1 << 13] {
        // Until no page of this size fits any more.
        while let Ok(_rows) = rig.database.psql(&format!("INSERT INTO filler SELECT repeat('x', {bytes})")) {}
        full = true;
    }
    sleep(LASTS).await;
    rig.database.psql("DROP TABLE filler").unwrap();
    rig.database.psql("CHECKPOINT").unwrap();
    if full { Done::Well } else { Done::Fault("the disk did not fill".to_owned()) }
}

/// The replica becomes the primary, and both ways lead to it.
async fn fail_over(rig: &mut Rig) -> Done {
    let Some(replica) = rig.replica.take() else { return Done::Skipped("no replica was started") };
    let synced = |text: String| text.contains("master_link_status:up");
    if !replica.cli(&["INFO", "replication"]).is_ok_and(synced) {
        return Done::Skipped("the replica does not follow");
    }
    rig.redis.kill();
    sleep(Duration::from_secs(1)).await;
    replica.cli(&["REPLICAOF", "NO", "ONE"]).unwrap();
    for way in &rig.ways_to_redis {
        way.redirect(replica.addr());
    }
    rig.redis = replica;
    Done::Well
}

/// Hundreds of clients that send a byte now and then, or take none of their answer.
async fn crawl(rig: &Rig) -> Done {
    let base = rig.apis[0].base.strip_prefix("http://").unwrap().to_owned();
    let key = key_of(BUSY[0]);
    let crawling = tokio::task::spawn_blocking(move || {
        let mut clients: Vec<TcpStream> = (0..400).filter_map(|_| TcpStream::connect(&base).ok()).collect();
        let heads = [
            "GET /api/v1/emissions HTTP/1.1\r\nhost: x\r\nx-slow: ".to_owned(),
            format!(
                "POST /api/v1/activities HTTP/1.1\r\nhost: x\r\nx-api-key: {key}\r\ncontent-type: text/csv\r\ncontent-length: 100000\r\n\r\n"
            ),
            format!("GET /api/v1/activities?limit=1000 HTTP/1.1\r\nhost: x\r\nx-api-key: {key}\r\n\r\n"),
        ];
        for (client, head) in clients.iter_mut().zip(heads.iter().cycle()) {
            let _ = client.write_all(head.as_bytes());
        }
        let began = Instant::now();
        while began.elapsed() < LASTS {
            for client in &mut clients {
                let _ = client.write_all(b"x");
            }
            std::thread::sleep(Duration::from_millis(200));
        }
        clients.len()
    });
    match crawling.await.unwrap() {
        400 => Done::Well,
        fewer => Done::Fault(format!("only {fewer} of 400 clients were let in")),
    }
}
