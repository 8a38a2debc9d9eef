//! One process of a fleet: does its part of the steps.

use std::io::BufRead;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use offgridflow_cache::{Delivery, PutLease};
use tokio::sync::mpsc;
use tokio::time::{sleep, sleep_until, timeout};

use crate::journal::{Journal, watch};
use crate::loader::{SourceLoader, Version};
use crate::plan::{Act, Dice, KEYS, Reach, Shape, Step, steps};
use crate::record::{Event, Saw, now};
use crate::source::{Alone, Client};
use crate::stage::Variant;
use crate::subject::{Subject, loaded, ms};

/// What a process is told by its environment.
pub(crate) const SEED: &str = "FLEET_SEED";
pub(crate) const VARIANT: &str = "FLEET_VARIANT";
pub(crate) const PLACE: &str = "FLEET_PLACE";
pub(crate) const NODE: &str = "FLEET_NODE";
pub(crate) const STORE: &str = "FLEET_STORE";
pub(crate) const SOURCE: &str = "FLEET_SOURCE";
pub(crate) const SUBJECT: &str = "FLEET_SUBJECT";
/// Whether it begins only once its near tier is trusted.
pub(crate) const WARM: &str = "FLEET_WARM";

/// How long anything may take that is not bound by a promise.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);
pub(crate) const TICK: Duration = Duration::from_millis(10);

/// A process's part in a fleet.
struct Part {
    subject: Subject,
    client: Arc<Client>,
    journal: Arc<Journal>,
}

impl Part {
    async fn act(&self, act: Act) {
        match act {
            Act::Read { key, patience } => {
                let read = async {
                    match patience {
                        Some(millis) => timeout(ms(millis), self.subject.get(key)).await.unwrap_or(Saw::Left),
                        None => self.subject.get(key).await,
                    }
                };
                self.journal.read(key, false, read).await;
            }
            Act::Peek { key } => self.journal.read(key, false, async { self.subject.peek(key) }).await,
            Act::ReadMany => {
                let reads: Vec<_> = (0..KEYS).map(|key| self.journal.begins(key)).collect();
                for (read, saw) in reads.into_iter().zip(self.subject.get_all().await) {
                    self.journal.ends(read, saw, false);
                }
            }
            Act::Update { key, reach, patience } => self.update(key, reach, patience).await,
            Act::Put { key } => {
                let mut alone = self.client.alone(key).await.unwrap();
                let version = alone.write().await.unwrap();
                self.put(key, version, None, Some(alone)).await;
            }
            Act::LeasedPut { key, takes } => {
                let lease = self.subject.lease(key).await;
                let version = self.client.write(key).await.unwrap();
                sleep(ms(takes)).await;
                self.put(key, version, lease, None).await;
            }
        }
    }

    /// Writes the source and invalidates; the caller may go away in between.
    async fn update(&self, key: u64, reach: Reach, patience: Option<u64>) {
        let version = self.client.write(key).await.unwrap();
        let mut reached = vec![(key, version)];
        for other in (0..KEYS).filter(|other| *other != key && reach.covers(key, *other)) {
            reached.push((other, self.client.read(other).await.unwrap()));
        }
        let removal = async {
            let invalidation = self.subject.invalidate(reach, key);
            match patience {
                Some(millis) => timeout(ms(millis), invalidation).await.ok(),
                None => Some(invalidation.await),
            }
        };
        self.journal.remove(reached, removal).await;
    }

    async fn put(
        &self,
        key: u64,
        version: u64,
        lease: Option<PutLease<u64, Version, SourceLoader>>,
        _alone: Option<Alone>,
    ) {
        let removal = async {
            Some(match lease {
                Some(lease) => lease.put(loaded(key, version)).await == Delivery::Delivered,
                None => self.subject.put(key, version).await,
            })
        };
        self.journal.remove(vec![(key, version)], removal).await;
    }

    /// Until everything that was begun is over, and delivered, or it is clear that it never will be; what is still under way then.
    async fn settle(&self, steps: Vec<tokio::task::JoinHandle<()>>, shape: &Shape) -> u64 {
        let (deadline, mut hung) = (tokio::time::Instant::now() + PATIENCE, 0);
        for step in steps {
            match tokio::time::timeout_at(deadline, step).await {
                Ok(ended) => ended.unwrap(),
                Err(_) => hung += 1,
            }
        }
        sleep(ms(shape.shared_timeout + 50)).await; // what callers went away from is over, too
        while self.subject.stats().0 > 0 && tokio::time::Instant::now() < deadline {
            sleep(TICK).await;
        }
        self.journal.give_up();
        hung
    }
}

/// The next line from whoever plays the fleet; without one the process ends.
fn orders() -> mpsc::UnboundedReceiver<String> {
    let (sender, receiver) = mpsc::unbounded_channel();
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines().map_while(Result::ok) {
            let _ = sender.send(line);
        }
        std::process::exit(1);
    });
    receiver
}

fn variable(name: &str) -> String {
    std::env::var(name).expect("started by a fleet")
}

/// The whole life of a process.
pub(crate) async fn live() {
    let seed: u64 = variable(SEED).parse().unwrap();
    let place: usize = variable(PLACE).parse().unwrap();
    let node: usize = variable(NODE).parse().unwrap();
    let (url, subject) = (variable(STORE), variable(SUBJECT));
    let variant = Variant::named(&variable(VARIANT));
    let shape = Shape::of(seed, variant);
    let mut orders = orders();
    let journal = Arc::<Journal>::default();
    let client = Arc::new(Client::new(variable(SOURCE).parse().unwrap(), node));
    let dice = Dice::of(seed, 16 + node as u64);
    let source = SourceLoader::new(Arc::clone(&client), Arc::clone(&journal), dice);
    let subject = Subject::named(&subject, &format!("fleet-{seed}"), &url, &shape, source).await;
    if variable(WARM) == "yes" {
        subject.warmed().await;
    }
    journal.say(&Event::Ready);
    let began: u64 = orders.recv().await.unwrap().parse().unwrap();
    journal.begun.store(true, Ordering::Relaxed);
    tokio::spawn(watch(Arc::clone(&journal)));
    let part = Arc::new(Part { subject, client, journal });
    let elapsed = i64::try_from(now()).unwrap() - i64::try_from(began).unwrap();
    let here = tokio::time::Instant::now();
    let start = if elapsed < 0 { here + nanos(-elapsed) } else { here.checked_sub(nanos(elapsed)).unwrap() };
    let steps: Vec<_> = steps(seed, &shape, variant)
        .into_iter()
        .filter(|step| step.place == place && start + ms(step.at) >= here)
        .map(|Step { at, act, .. }| {
            let part = Arc::clone(&part);
            tokio::spawn(async move {
                sleep_until(start + ms(at)).await;
                part.act(act).await;
            })
        })
        .collect();
    assert_eq!(orders.recv().await.as_deref(), Some("settle"));
    part.journal.healed.store(true, Ordering::Relaxed);
    let hung = part.settle(steps, &shape).await;
    let (deferred, shared_errors) = part.subject.stats();
    part.journal.say(&Event::Settled { hung, deferred, shared_errors });
    assert_eq!(orders.recv().await.as_deref(), Some("last"));
    for key in 0..KEYS {
        part.journal.read(key, true, part.subject.get(key)).await;
    }
    part.journal.say(&Event::Done);
    std::process::exit(0);
}

fn nanos(nanos: i64) -> Duration {
    Duration::from_nanos(nanos.unsigned_abs())
}
