use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::DemoError;
use crate::keys::ApiKey;

/// How long the server may take to drain.
const DRAIN: Duration = Duration::from_secs(40);

/// `offgridflow all` in a process of its own, on a fresh SQLite file; killed with the handle.
pub(super) struct Server {
    child: Child,
    base: String,
    database: PathBuf,
    admin: ApiKey,
}

impl Server {
    pub(super) fn start(out: &Path) -> Result<Self, DemoError> {
        let database = out.join("demo.db");
        for suffix in ["", "-wal", "-shm"] {
            let _ = std::fs::remove_file(format!("{}{suffix}", database.display()));
        }
        let failed = |error: std::io::Error| DemoError::Server(error.to_string());
        let admin = ApiKey::generate().map_err(failed)?;
        let url = format!("sqlite:{}", database.display());
        let mut child = Command::new(std::env::current_exe().map_err(failed)?)
            .args(["all", "--listen", "127.0.0.1:0", "--database-url", &url])
            .env_remove("OFFGRIDFLOW_REDIS_URL")
            .env_remove("OFFGRIDFLOW_API_KEYS")
            .env_remove("OFFGRIDFLOW_RATE_LIMIT")
            .env("OFFGRIDFLOW_ADMIN_KEYS", admin.reveal())
            .env("OFFGRIDFLOW_LOG", "warn")
            .stdout(Stdio::piped())
            .spawn()
            .map_err(failed)?;
        let mut line = String::new();
        let output =
            child.stdout.take().ok_or_else(|| DemoError::Server("its output is closed".to_owned()))?;
        BufReader::new(output).read_line(&mut line).map_err(failed)?;
        let Some(base) = line.trim().strip_prefix("listening on ") else {
            let _ = child.kill();
            return Err(DemoError::Server("it did not say where it listens".to_owned()));
        };
        Ok(Self { base: base.to_owned(), child, database, admin })
    }

    pub(super) fn base(&self) -> &str {
        &self.base
    }

    pub(super) fn database(&self) -> &Path {
        &self.database
    }

    /// The key of its administrator, which nobody else knows.
    pub(super) fn admin(&self) -> &ApiKey {
        &self.admin
    }

    /// The header that makes a request the administrator's.
    pub(super) fn as_admin(&self) -> [(&'static str, &str); 1] {
        [("x-api-key", self.admin.reveal())]
    }

    /// SIGTERM, and waits until it has drained.
    pub(super) async fn stop(mut self) -> Result<(), DemoError> {
        let pid = i32::try_from(self.child.id()).ok().and_then(rustix::process::Pid::from_raw);
        if let Some(pid) = pid {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        }
        let patience = Instant::now();
        while patience.elapsed() < DRAIN {
            match self.child.try_wait() {
                Ok(Some(status)) if status.success() => return Ok(()),
                Ok(Some(status)) => return Err(DemoError::Server(format!("it ended with {status}"))),
                Ok(None) => tokio::time::sleep(Duration::from_millis(20)).await,
                Err(error) => return Err(DemoError::Server(error.to_string())),
            }
        }
        Err(DemoError::Server(format!("it did not drain within {DRAIN:?}")))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
