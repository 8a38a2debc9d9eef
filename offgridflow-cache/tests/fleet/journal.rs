//! What happens in a process, told to whoever plays the fleet.

use std::collections::BTreeMap;
use std::io::Write;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use tokio::time::sleep;

use crate::node::TICK;
use crate::record::{Event, Saw, now};

#[derive(Default)]
pub(crate) struct Journal {
    pub(crate) begun: AtomicBool,
    pub(crate) healed: AtomicBool,
    next: AtomicU64,
    open: Mutex<BTreeMap<u64, (u64, u64)>>, // reads under way: key and when they began
}

impl Journal {
    /// Written at once, so that a process that is killed has said what it did.
    pub(crate) fn say(&self, event: &Event) {
        let line = serde_json::to_string(event).unwrap() + "\n";
        let mut out = std::io::stdout().lock();
        let _ = out.write_all(line.as_bytes()).and_then(|()| out.flush()); // nobody listens: the fleet is over
    }

    pub(crate) fn begins(&self, key: u64) -> u64 {
        let (id, began) = (self.next.fetch_add(1, Ordering::Relaxed), now());
        self.open.lock().unwrap().insert(id, (key, began));
        id
    }

    pub(crate) fn ends(&self, read: u64, saw: Saw, last: bool) {
        let end = Some((now(), saw));
        let (key, began) = self.open.lock().unwrap().remove(&read).unwrap();
        self.say(&Event::Read { key, began, end, last });
    }

    pub(crate) async fn read(&self, key: u64, last: bool, read: impl Future<Output = Saw>) {
        let id = self.begins(key);
        self.ends(id, read.await, last);
    }

    pub(crate) async fn remove(&self, reached: Vec<(u64, u64)>, removal: impl Future<Output = Option<bool>>) {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        self.say(&Event::Removes { id, reached, at: now() });
        if let Some(delivered) = removal.await {
            self.say(&Event::Removed { id, delivered, at: now() });
        }
    }

    /// The reads that are under way when all is over have hung.
    pub(crate) fn give_up(&self) {
        let reads: Vec<_> = self.open.lock().unwrap().values().copied().collect();
        for (key, began) in reads {
            self.say(&Event::Read { key, began, end: None, last: false });
        }
    }
}

/// Writes down when this process stands still.
pub(crate) async fn watch(journal: Arc<Journal>) {
    loop {
        let before = Instant::now();
        sleep(TICK).await;
        let late = before.elapsed().saturating_sub(TICK);
        if late > TICK * 2 {
            journal.say(&Event::Stall { nanos: u64::try_from(late.as_nanos()).unwrap(), until: now() });
        }
    }
}
