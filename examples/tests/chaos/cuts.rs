//! Cuts of the network between hosts, one at a time.

use std::time::Duration;

use tokio::time::sleep;

use crate::blows::{CALM, recovery};
use crate::controls;
use crate::hosts::{APIS, Hosts, POSTGRES, REDIS, WORKER};
use crate::load::{Load, write};
use crate::process::Process;
use crate::rig::PULSE;
use crate::tally::Struck;

/// How long a cut lasts: three times what a total may be old.
const LASTS: Duration = Duration::from_secs(6);
/// How long a request has been with its server when the way back is cut; it commits later than that.
const UNDER_WAY: Duration = Duration::from_millis(15);
/// Answers that the control loses.
const LOST: u64 = 2;

/// What is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cut {
    /// A host's cable, both ways and from everybody.
    Host(&'static str),
    /// What one host sends to another; the other way it arrives, is acted on, and the answer is lost.
    Answers(&'static str, &'static str),
}

pub const ALL: [Cut; 7] = [
    Cut::Host(APIS[0]),
    Cut::Answers(REDIS, APIS[0]),
    Cut::Host(WORKER),
    Cut::Answers(POSTGRES, APIS[1]),
    Cut::Host(REDIS),
    Cut::Answers(APIS[0], "hub"),
    Cut::Host(POSTGRES),
];

impl Cut {
    fn name(self) -> &'static str {
        match self {
            Self::Host(REDIS) => "redis-unplugged",
            Self::Host(WORKER) => "worker-unplugged",
            Self::Host(POSTGRES) => "postgres-unplugged",
            Self::Host(_) => "api-unplugged",
            Self::Answers(REDIS, _) => "answers-of-redis-lost",
            Self::Answers(POSTGRES, _) => "answers-of-postgres-lost",
            Self::Answers(..) => "answers-to-clients-lost",
        }
    }

    fn begin(self, hosts: &Hosts<'_>) {
        match self {
            Self::Host(name) => hosts.lan.unplug(name).unwrap(),
            Self::Answers(from, to) => hosts.lan.lose(from, to).unwrap(),
        }
    }

    fn end(self, hosts: &Hosts<'_>) {
        match self {
            Self::Host(name) => hosts.lan.plug(name).unwrap(),
            Self::Answers(from, to) => hosts.lan.find(from, to).unwrap(),
        }
    }
}

/// Cuts, mends, and waits until both servers write and read again.
pub async fn cut(cut: Cut, hosts: &Hosts<'_>, load: &Load) -> Struck {
    sleep(CALM).await;
    let _ = load.seen();
    cut.begin(hosts);
    sleep(LASTS).await;
    cut.end(hosts);
    let recovery = recovery(load).await;
    sleep(CALM * 2).await;
    let database_answers = cut != Cut::Host(POSTGRES);
    let seen = load.seen();
    Struck { name: cut.name(), database_answers, seen, recovery, fault: None, skipped: None }
}

/// Rows without ids, whose answer is lost on the way to the client, sent again: how many are there too many.
pub async fn at_least_once(hosts: &Hosts<'_>) -> u64 {
    let way_back = Cut::Answers(APIS[0], "hub");
    let row = "{\"category\":\"diesel\",\"quantity\":1,\"period\":\"2024\"}\n";
    for _ in 0..LOST {
        let [base, _] = hosts.bases();
        let first = tokio::spawn(async move { write(&base, PULSE, row.to_owned()).await });
        sleep(UNDER_WAY).await;
        way_back.begin(hosts);
        let heard = first.await.unwrap();
        way_back.end(hosts);
        while !heard && !write(&hosts.bases()[0], PULSE, row.to_owned()).await {
            sleep(UNDER_WAY).await;
        }
    }
    let stored = hosts.sql(&format!("SELECT count(*) FROM activities WHERE tenant = '{PULSE}'")).unwrap();
    stored.parse::<u64>().unwrap().saturating_sub(LOST)
}

/// Two servers on two hosts that share a database and no Redis: by how much a total is older than it may be.
pub async fn fence_off(hosts: &Hosts<'_>) -> Duration {
    let alone: [Process; 2] = hosts.alone();
    controls::overdue(&alone[0].base, &alone[1].base).await
}
