//! A primary that sentinels watch: when it dies, its replica takes over, and the nodes follow.

use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use offgridflow_cache::{Delivery, RedisBackend};
use testkit::Redis;

use crate::node::{Source, eventually, node, read, warmed};

const LIMIT: Duration = Duration::from_secs(30);

/// One sentinel, which decides alone; stopped on drop, or after two minutes.
struct Sentinel {
    process: Child,
    directory: PathBuf,
    port: u16,
}

impl Sentinel {
    fn of(primary: &Redis) -> Self {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let directory =
            std::env::temp_dir().join(format!("offgridflow-sentinel-{}-{port}", std::process::id()));
        std::fs::create_dir(&directory).unwrap();
        let (file, watched) = (directory.join("sentinel.conf"), primary.addr().port());
        let settings = format!(
            "port {port}\nbind 127.0.0.1\nsentinel monitor main 127.0.0.1 {watched} 1\n\
             sentinel down-after-milliseconds main 500\nsentinel failover-timeout main 3000\n"
        );
        std::fs::write(&file, settings).unwrap();
        let mut command = Command::new("timeout"); // passes on the signal that ends it
        command.args(["120", "redis-server"]).arg(&file).arg("--sentinel").current_dir(&directory);
        let process = command.stdout(Stdio::null()).spawn().unwrap();
        Self { process, directory, port }
    }

    fn url(&self) -> String {
        format!("redis-sentinel://127.0.0.1:{}?sentinelServiceName=main", self.port)
    }
}

impl Drop for Sentinel {
    fn drop(&mut self) {
        let process = rustix::process::Pid::from_child(&self.process);
        let _ = rustix::process::kill_process(process, rustix::process::Signal::TERM);
        let _ = self.process.wait();
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_follow_a_failover() {
    let (mut primary, replica) = (Redis::start().unwrap(), Redis::start().unwrap());
    replica.cli(&["REPLICAOF", "127.0.0.1", &primary.addr().port().to_string()]).unwrap();
    eventually("the replica follows", LIMIT, async || {
        replica.cli(&["INFO", "replication"]).unwrap().contains("master_link_status:up")
    })
    .await;
    let (sentinel, source) = (Sentinel::of(&primary), Source::default());
    let [a, b] = [(); 2].map(|()| node("watched", RedisBackend::connect(&sentinel.url()).unwrap(), &source));
    warmed(&a, "k").await;
    eventually("b reads what a loaded", LIMIT, async || {
        read(&b, "x").await;
        read(&b, "k").await == Some(0) && b.stats().shared_hits > 0
    })
    .await;
    primary.kill();
    source.set(1);
    assert_eq!(a.invalidate(&"k".to_owned()).await, Delivery::Deferred);
    assert_eq!(read(&a, "k").await, Some(1), "the loader answers");
    eventually("the replica takes over, and is told", LIMIT, async || a.stats().deferred == 0).await;
    assert!(replica.cli(&["INFO", "replication"]).unwrap().contains("role:master"));
    eventually("the other node follows", LIMIT, async || read(&b, "k").await == Some(1)).await;
    eventually("the outage is over", LIMIT, async || {
        a.stats().outage.is_none() && b.stats().outage.is_none()
    })
    .await;
}
