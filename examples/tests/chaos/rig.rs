//! Two api processes and a worker on a PostgreSQL and a Redis of their own; the ways to Redis can be cut one by one.

use std::process::Command;
use std::time::Duration;

use testkit::{Database, FaultProxy, Postgres, PostgresOptions, Redis};

use crate::process::Process;

/// Tenants that are written to all the time, and one that was written to once.
pub const BUSY: [&str; 3] = ["acme", "beta", "gamma"];
pub const QUIET: &str = "quiet";
/// One that is only written to see whether a server writes.
pub const PULSE: &str = "pulse";
pub const ADMIN_KEY: &str = "admin-0123456789abcdef";
/// Sessions that PostgreSQL gives out.
pub const SESSIONS: usize = 90;

/// The key of a tenant.
pub fn key_of(tenant: &str) -> String {
    format!("{tenant}-0123456789abcdef")
}

/// The system. Parts that are struck are public.
pub struct Rig {
    pub apis: [Process; 2],
    pub worker: Process,
    pub ways_to_redis: [FaultProxy; 2],
    pub redis: Redis,
    pub replica: Option<Redis>,
    pub database: Database,
    pub postgres: Postgres,
    /// A small disk for activities, where this user may mount one.
    pub small_disk: Option<SmallDisk>,
    _folder: tempfile::TempDir,
}

impl Rig {
    pub async fn start() -> Self {
        let settings = vec![
            ("max_connections".to_owned(), SESSIONS.to_string()),
            ("log_min_messages".to_owned(), "fatal".to_owned()),
        ];
        let postgres = Postgres::start_with(&PostgresOptions { settings }).unwrap();
        let database = postgres.create_database("chaos").unwrap();
        let redis = Redis::start().unwrap();
        let port = redis.addr().port().to_string();
        let replica = Redis::start_with(&["--replicaof", &format!("127.0.0.1 {port}")]).ok();
        let ways_to_redis = [(); 2].map(|()| FaultProxy::start(redis.addr()).unwrap());
        let folder = tempfile::tempdir().unwrap();
        let start = |role: &str, name: &str, way: &FaultProxy| {
            let redis = format!("redis://{}", way.addr());
            Process::start(role, name, folder.path(), &environment(&database.url(), &redis))
        };
        let apis = [start("api", "api-0", &ways_to_redis[0]), start("api", "api-1", &ways_to_redis[1])];
        let worker = start("worker", "worker", &ways_to_redis[1]);
        let small_disk = SmallDisk::mount(&database);
        Self { apis, worker, ways_to_redis, redis, replica, database, postgres, small_disk, _folder: folder }
    }

    pub fn bases(&self) -> [String; 2] {
        self.apis.each_ref().map(|api| api.base.clone())
    }

    /// Ends the roles, and takes the small disk away once nobody uses it.
    pub async fn end(self) {
        let Self { mut apis, mut worker, small_disk, database, postgres, .. } = self;
        for process in apis.iter_mut().chain([&mut worker]) {
            process.kill();
        }
        drop(database);
        drop(postgres);
        drop(small_disk);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

pub fn environment<'a>(database: &'a str, redis: &'a str) -> Vec<(&'a str, &'a str)> {
    let keys: &'static str = keys();
    let mut all = vec![
        ("OFFGRIDFLOW_DATABASE_URL", database),
        ("OFFGRIDFLOW_API_KEYS", keys),
        ("OFFGRIDFLOW_ADMIN_KEYS", ADMIN_KEY),
        ("OFFGRIDFLOW_RATE_LIMIT", "10000"),
        ("OFFGRIDFLOW_PROBE_SECS", "1"),
    ];
    if !redis.is_empty() {
        all.push(("OFFGRIDFLOW_REDIS_URL", redis));
    }
    all
}

fn keys() -> &'static str {
    static KEYS: std::sync::OnceLock<String> = std::sync::OnceLock::new();
    KEYS.get_or_init(|| {
        let all = BUSY.iter().chain([&QUIET, &PULSE]).map(|tenant| format!("{tenant}={}", key_of(tenant)));
        all.collect::<Vec<_>>().join(",")
    })
}

/// A file system of a few megabytes that the table of activities lies on.
pub struct SmallDisk {
    folder: tempfile::TempDir,
}

impl SmallDisk {
    fn mount(database: &Database) -> Option<Self> {
        use std::os::unix::fs::MetadataExt as _;
        let data = database.psql("SHOW data_directory").ok()?;
        let owner = std::fs::metadata(data).ok()?.uid();
        let folder = tempfile::tempdir().ok()?;
        let options = format!("size=48m,mode=700,uid={owner}");
        let mounted =
            Command::new("mount").args(["-t", "tmpfs", "-o", &options, "tmpfs"]).arg(folder.path()).status();
        if !mounted.is_ok_and(|status| status.success()) {
            return None;
        }
        let disk = Self { folder };
        database
            .psql(&format!("CREATE TABLESPACE small LOCATION '{}'", disk.folder.path().display()))
            .ok()?;
        database.psql("ALTER TABLE activities SET TABLESPACE small").ok()?;
        Some(disk)
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.folder.path()).status();
    }
}
