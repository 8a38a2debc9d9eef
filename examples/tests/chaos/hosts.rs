//! The same system, each part on a host of its own: network namespaces on one switch, with delay and loss between them.

use std::time::Duration;

use testkit::{Database, Error, FaultProxy, Lan, Postgres, PostgresOptions, Redis, Weather};

use crate::process::Process;
use crate::rig::environment;

pub const APIS: [&str; 2] = ["api-0", "api-1"];
pub const WORKER: &str = "worker";
pub const REDIS: &str = "redis";
pub const POSTGRES: &str = "postgres";
/// How long a packet is on its way between two hosts, and how many of a hundred are lost. Clients are near, and lose none.
pub const ONE_WAY: Duration = Duration::from_millis(10);
pub const LOST_PERCENT: u8 = 1;

/// A network of five hosts; `None`, and a sentence, where this user may not make one.
pub fn lan() -> Option<Lan> {
    let names = [APIS[0], APIS[1], WORKER, REDIS, POSTGRES];
    match Lan::start(&names) {
        Ok(lan) => Some(lan),
        Err(error @ (Error::NoNamespaces { .. } | Error::Missing { .. })) => {
            println!("S6 SKIP {error}");
            None
        }
        Err(error) => panic!("{error}"),
    }
}

/// How delay and loss are made, in words.
pub fn words(weather: Weather) -> String {
    let delay = if weather.delays { "netem" } else { "a-proxy-before-each-server" };
    let loss = match (weather.delays, weather.loses) {
        (_, false) => "none",
        (true, true) => "netem",
        (false, true) => "iptables",
    };
    format!("delay={}ms-by-{delay} loss={LOST_PERCENT}%-by-{loss}", ONE_WAY.as_millis())
}

/// Two api processes, a worker, Redis and PostgreSQL. The servers listen on their hosts' loopback, each behind a proxy that its host alone has.
pub struct Hosts<'a> {
    pub lan: &'a Lan,
    pub weather: Weather,
    apis: [Process; 2],
    _worker: Process,
    _ways: [FaultProxy; 2],
    _redis: Redis,
    database: Database,
    _postgres: Postgres,
    addresses: [String; 2], // of the database and of Redis, for the other hosts
    folder: tempfile::TempDir,
}

impl<'a> Hosts<'a> {
    /// To be called on the network's hub.
    pub fn start(lan: &'a Lan) -> Self {
        let settings = vec![("log_min_messages".to_owned(), "fatal".to_owned())];
        let (stores, keeps) = (lan.host(POSTGRES), lan.host(REDIS));
        let (postgres, database) = stores.run(|| {
            let postgres = Postgres::start_with(&PostgresOptions { settings }).unwrap();
            let database = postgres.create_database("hosts").unwrap();
            (postgres, database)
        });
        let redis = keeps.run(|| Redis::start().unwrap());
        let weather = lan.worsen(ONE_WAY, LOST_PERCENT).unwrap();
        let ways = [(stores, database_addr(&database)), (keeps, redis.addr())]
            .map(|(host, addr)| host.run(|| FaultProxy::start_at(host.addr(), addr).unwrap()));
        if !weather.delays {
            ways.iter().for_each(|way| way.delay(ONE_WAY));
        }
        let addresses = [
            format!("postgres://postgres@{}/{}", ways[0].addr(), database.name()),
            format!("redis://{}", ways[1].addr()),
        ];
        let folder = tempfile::tempdir().unwrap();
        let start = |role: &str, name: &str| {
            let environment = environment(&addresses[0], &addresses[1]);
            Process::start_on(Some(lan.host(name)), role, name, folder.path(), &environment)
        };
        let apis = APIS.map(|name| start("api", name));
        let worker = start("worker", WORKER);
        Self {
            lan,
            weather,
            apis,
            _worker: worker,
            _ways: ways,
            _redis: redis,
            database,
            _postgres: postgres,
            addresses,
            folder,
        }
    }

    pub fn bases(&self) -> [String; 2] {
        self.apis.each_ref().map(|api| api.base.clone())
    }

    /// Asks the database on its own host, whatever is cut.
    pub fn sql(&self, statement: &str) -> Result<String, Error> {
        self.lan.host(POSTGRES).run(|| self.database.psql(statement))
    }

    /// Two more servers, which know of the database and of no Redis.
    pub fn alone(&self) -> [Process; 2] {
        APIS.map(|name| {
            let (host, alone) = (self.lan.host(name), format!("{name}-alone"));
            let environment = environment(&self.addresses[0], "");
            Process::start_on(Some(host), "api", &alone, self.folder.path(), &environment)
        })
    }
}

impl Drop for Hosts<'_> {
    fn drop(&mut self) {
        self.apis.iter_mut().chain([&mut self._worker]).for_each(Process::kill);
    }
}

fn database_addr(database: &Database) -> std::net::SocketAddr {
    let url = database.url();
    let addr = url.split(['@', '/']).nth(3).expect("an address with a user");
    addr.parse().expect("an address")
}
