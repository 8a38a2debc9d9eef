//! The store of a fleet, the links to it, and what can be done to both.

use std::time::{Duration, Instant};

use testkit::{Direction, FaultProxy, Redis, RedisCluster};

use crate::plan::{PLACES, denied};

/// What a fleet shares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Variant {
    /// One Redis, each process behind a link of its own.
    Proxy,
    /// The same, where scripts are denied to some or all processes, at times only for a while.
    Acl,
    /// A cluster of three, each of its nodes behind a link that all processes share.
    Cluster,
}

impl Variant {
    pub(crate) const ALL: [Self; 3] = [Self::Proxy, Self::Acl, Self::Cluster];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Proxy => "fleet",
            Self::Acl => "acl",
            Self::Cluster => "cluster",
        }
    }

    pub(crate) fn named(name: &str) -> Self {
        Self::ALL.into_iter().find(|variant| variant.name() == name).expect("a variant")
    }
}

enum Store {
    One(Redis),
    Three(Box<RedisCluster>),
}

pub(crate) struct Stage {
    pub(crate) variant: Variant,
    store: Store,
    links: Vec<FaultProxy>,
    denied: [bool; PLACES],
    frozen: Vec<usize>,
}

impl Stage {
    pub(crate) fn set(variant: Variant) -> Self {
        let store = match variant {
            Variant::Proxy => Store::One(Redis::start().unwrap()),
            Variant::Acl => {
                let user = |place| {
                    ["--user", &format!("n{place}"), "on", ">secret", "~*", "&*", "+@all", "-@scripting"]
                        .map(str::to_owned)
                };
                let users: Vec<String> = (0..PLACES).flat_map(user).collect();
                let users: Vec<&str> = users.iter().map(String::as_str).collect();
                Store::One(Redis::start_with(&users).unwrap())
            }
            Variant::Cluster => Store::Three(Box::new(RedisCluster::start().unwrap())),
        };
        let mut stage =
            Self { variant, store, links: Vec::new(), denied: [true; PLACES], frozen: Vec::new() };
        let link = |redis: &Redis| FaultProxy::start(redis.addr()).unwrap();
        stage.links = match &stage.store {
            Store::One(redis) => (0..PLACES).map(|_| link(redis)).collect(),
            Store::Three(cluster) => cluster.nodes().iter().map(link).collect(),
        };
        stage.announce();
        stage
    }

    /// Where the process at a place finds the store.
    pub(crate) fn url(&self, place: usize) -> String {
        match self.variant {
            Variant::Proxy => format!("redis://{}", self.links[place].addr()),
            Variant::Acl => format!("redis://n{place}:secret@{}", self.links[place].addr()),
            Variant::Cluster => {
                let [first, second, third] = [0, 1, 2].map(|node| self.links[node].addr());
                format!("redis-cluster://{first}?node={second}&node={third}")
            }
        }
    }

    fn nodes(&self) -> &[Redis] {
        match &self.store {
            Store::One(redis) => std::slice::from_ref(redis),
            Store::Three(cluster) => cluster.nodes(),
        }
    }

    /// The nodes of a cluster tell its clients of their links, and not of themselves.
    fn announce(&self) {
        let Store::Three(cluster) = &self.store else { return };
        let ports: Vec<String> = self.links.iter().map(|link| link.addr().port().to_string()).collect();
        for (node, port) in cluster.nodes().iter().zip(&ports) {
            node.cli(&["CONFIG", "SET", "cluster-announce-port", port]).unwrap();
        }
        let knows = |node: &Redis| {
            let told = node.cli(&["CLUSTER", "SLOTS"]).unwrap_or_default();
            ports.iter().all(|port| told.lines().any(|line| line.trim() == port))
        };
        let began = Instant::now();
        while !cluster.nodes().iter().all(knows) {
            assert!(began.elapsed() < Duration::from_secs(20), "the cluster does not tell of its links");
            std::thread::sleep(Duration::from_millis(20));
        }
        cluster.wait_until_whole().unwrap();
    }

    /// Empty and whole, with the rights that a seed begins with.
    pub(crate) fn reset(&mut self, seed: u64) {
        self.heal();
        self.flush();
        if self.variant == Variant::Acl {
            for (place, denied) in denied(seed).into_iter().enumerate() {
                self.deny(place, denied);
            }
        }
    }

    /// Everything is well again; who had no rights has them.
    pub(crate) fn heal(&mut self) {
        (0..self.nodes().len()).for_each(|node| self.thaw(node));
        self.links.iter().for_each(FaultProxy::restore);
        if let Store::Three(cluster) = &self.store {
            cluster.wait_until_whole().unwrap();
        }
        (0..PLACES).for_each(|place| self.deny(place, false));
    }

    fn link(&self, place: usize) -> &FaultProxy {
        &self.links[place % self.links.len()]
    }

    pub(crate) fn cut(&self, place: usize) {
        self.link(place).cut();
    }

    pub(crate) fn stick(&self, place: usize) {
        self.link(place).freeze();
    }

    pub(crate) fn mute(&self, place: usize) {
        self.link(place).drop_direction(Direction::ToClient);
    }

    pub(crate) fn slow(&self, place: usize, millis: u64) {
        self.link(place).delay(Duration::from_millis(millis));
    }

    /// Connections are cut first: bytes that were swallowed leave a gap that no connection has.
    pub(crate) fn restore(&self, place: usize) {
        self.link(place).cut();
        self.link(place).restore();
    }

    pub(crate) fn freeze(&mut self, node: usize) {
        let node = node % self.nodes().len();
        self.nodes()[node].freeze();
        self.frozen.push(node);
    }

    pub(crate) fn thaw(&mut self, node: usize) {
        let node = node % self.nodes().len();
        if self.frozen.contains(&node) {
            self.nodes()[node].thaw();
            self.frozen.retain(|frozen| *frozen != node);
        }
    }

    /// Killed, and started again with nothing in its memory.
    pub(crate) fn restart(&mut self, node: usize) {
        let node = node % self.nodes().len();
        self.frozen.retain(|frozen| *frozen != node);
        let redis = match &mut self.store {
            Store::One(redis) => redis,
            Store::Three(cluster) => &mut cluster.nodes_mut()[node],
        };
        redis.kill();
        redis.restart().unwrap();
        let denied = std::mem::replace(&mut self.denied, [true; PLACES]); // so it is configured
        for (place, denied) in denied.into_iter().enumerate() {
            self.deny(place, denied);
        }
        if let Store::Three(cluster) = &self.store {
            let port = self.links[node].addr().port().to_string();
            cluster.nodes()[node].cli(&["CONFIG", "SET", "cluster-announce-port", &port]).unwrap();
        }
    }

    /// A node that stands still cannot be told anything.
    fn tell(&mut self, command: &[&str]) {
        (0..self.nodes().len()).for_each(|node| self.thaw(node));
        for redis in self.nodes() {
            redis.cli(command).unwrap();
        }
    }

    pub(crate) fn flush(&mut self) {
        self.tell(&["FLUSHALL"]);
    }

    pub(crate) fn deafen(&mut self) {
        self.tell(&["CLIENT", "KILL", "TYPE", "pubsub"]);
    }

    /// Whether scripts are denied to the user of a place.
    pub(crate) fn deny(&mut self, place: usize, denied: bool) {
        if self.variant == Variant::Acl && self.denied[place] != denied {
            let right = if denied { "-@scripting" } else { "+@scripting" };
            self.tell(&["ACL", "SETUSER", &format!("n{place}"), right]);
            self.denied[place] = denied;
        }
    }
}
