use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

use crate::{Error, Redis, port};

/// First and last slot of each of the three masters.
const SLOTS: [(&str, &str); 3] = [("0", "5460"), ("5461", "10922"), ("10923", "16383")];
const AGREED_WITHIN: Duration = Duration::from_secs(30);

/// Three Redis masters that form one cluster, all slots covered, no replicas.
#[derive(Debug)]
pub struct RedisCluster {
    nodes: [Redis; 3],
}

impl RedisCluster {
    /// Starts three nodes, gives out the slots, and waits until every node calls the cluster whole.
    ///
    /// # Errors
    /// As [`Redis::start`], and when the nodes do not agree within 30 s.
    pub fn start() -> Result<Self, Error> {
        let cluster = Self { nodes: [node()?, node()?, node()?] };
        cluster.join()?;
        cluster.wait_until_whole()?;
        Ok(cluster)
    }

    /// The three nodes; each can be frozen or killed by itself.
    #[must_use]
    pub fn nodes(&self) -> &[Redis; 3] {
        &self.nodes
    }

    /// The three nodes, to kill or restart one.
    pub fn nodes_mut(&mut self) -> &mut [Redis; 3] {
        &mut self.nodes
    }

    /// `redis-cluster://…` naming all three nodes.
    #[must_use]
    pub fn url(&self) -> String {
        let [first, second, third] = &self.nodes;
        format!("redis-cluster://{}?node={}&node={}", first.addr(), second.addr(), third.addr())
    }

    fn join(&self) -> Result<(), Error> {
        for (node, (first, last)) in self.nodes.iter().zip(SLOTS) {
            node.cli(&["CLUSTER", "ADDSLOTSRANGE", first, last])?;
        }
        let [head, others @ ..] = &self.nodes;
        for other in others {
            let (port, bus) = (other.addr().port().to_string(), bus_port(other)?);
            head.cli(&["CLUSTER", "MEET", "127.0.0.1", &port, &bus])?;
        }
        Ok(())
    }

    /// Waits until every node calls the cluster whole, as after one was killed and restarted.
    ///
    /// # Errors
    /// When the nodes do not agree within 30 s.
    pub fn wait_until_whole(&self) -> Result<(), Error> {
        let started = Instant::now();
        while started.elapsed() < AGREED_WITHIN {
            let whole = |node: &Redis| {
                node.cli(&["CLUSTER", "INFO"]).is_ok_and(|info| {
                    info.contains("cluster_state:ok") && info.contains("cluster_known_nodes:3")
                })
            };
            if self.nodes.iter().all(whole) {
                return Ok(());
            }
            thread::sleep(Duration::from_millis(50));
        }
        let log = self.nodes[0].cli(&["CLUSTER", "NODES"])?;
        Err(Error::NotReady { server: "the Redis cluster", waited: AGREED_WITHIN, log })
    }
}

fn node() -> Result<Redis, Error> {
    let bus: SocketAddr = port::pick()?;
    Redis::start_with(&[
        "--cluster-enabled",
        "yes",
        "--cluster-port",
        &bus.port().to_string(),
        "--cluster-node-timeout",
        "2000",
    ])
}

fn bus_port(node: &Redis) -> Result<String, Error> {
    let answer = node.cli(&["CONFIG", "GET", "cluster-port"])?;
    Ok(answer.lines().last().unwrap_or_default().trim().to_owned())
}
