//! One node's way to the source that all share.

use std::panic::resume_unwind;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use offgridflow_cache::{Cache, Loaded, Loader};
use serde::{Deserialize, Serialize};
use tokio::time::sleep;

use crate::journal::Journal;
use crate::plan::{Dice, is_absent, tag};
use crate::record::{Event, Trouble, now};
use crate::source::Client;

/// A value that says where it is from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Version {
    pub(crate) key: u64,
    pub(crate) version: u64,
}

/// Reads the source: slow at times, and failing, panicking or never returning.
#[derive(Clone)]
pub(crate) struct SourceLoader {
    client: Arc<Client>,
    journal: Arc<Journal>,
    dice: Arc<Mutex<Dice>>,
    pub(crate) cache: Arc<OnceLock<Cache<u64, Version, Self>>>, // that it loads for, once that is built
}

/// A load that is under way: dropped before it ends, it was given up.
struct UnderWay {
    journal: Arc<Journal>,
    key: u64,
    fenced: Option<u64>,
    began: u64,
    failed: Option<Trouble>,
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        let Self { key, fenced, began, failed, .. } = *self;
        if self.journal.begun.load(Ordering::Relaxed) {
            self.journal.say(&Event::Load { key, fenced, began, ended: now(), failed });
        }
    }
}

impl SourceLoader {
    pub(crate) fn new(client: Arc<Client>, journal: Arc<Journal>, dice: Dice) -> Self {
        Self { client, journal, dice: Arc::new(Mutex::new(dice)), cache: Arc::default() }
    }

    fn mishap(&self, share: u64) -> bool {
        let begun =
            self.journal.begun.load(Ordering::Relaxed) && !self.journal.healed.load(Ordering::Relaxed);
        begun && self.dice.lock().unwrap().percent(share)
    }

    async fn linger(&self) {
        let longest = if self.mishap(12) { 120 } else { 4 };
        let millis = self.dice.lock().unwrap().below(longest);
        sleep(Duration::from_millis(millis)).await;
    }

    fn fenced(&self, key: u64) -> Option<u64> {
        let ago = self.cache.get()?.last_fenced(&key)?.elapsed();
        Some(now() - u64::try_from(ago.as_nanos()).unwrap())
    }

    pub(crate) async fn version(&self, key: u64) -> Result<Option<Version>, Trouble> {
        let (journal, fenced) = (Arc::clone(&self.journal), self.fenced(key));
        let failed = Some(Trouble::Timeout);
        let mut load = UnderWay { journal, key, fenced, began: now(), failed };
        self.linger().await;
        let version = self.client.read(key).await.inspect_err(|_| load.failed = Some(Trouble::Error));
        let version = version.map_err(|_| Trouble::Error)?;
        if self.mishap(2) {
            std::future::pending::<()>().await;
        }
        self.linger().await;
        if self.mishap(3) {
            load.failed = Some(Trouble::Panic);
            drop(load);
            resume_unwind(Box::new("a loader's own fault")); // without a word on standard error
        }
        if self.mishap(3) {
            load.failed = Some(Trouble::Error);
            return Err(Trouble::Error);
        }
        load.failed = None;
        Ok((!is_absent(key, version)).then_some(Version { key, version }))
    }
}

impl Loader<u64, Version> for SourceLoader {
    type Error = Trouble;

    async fn load(&self, key: u64) -> Result<Loaded<Version>, Trouble> {
        Ok(Loaded::maybe(self.version(key).await?).tag(tag(key)))
    }

    /// Says at times that what the cache holds is what there is.
    async fn reload_many(
        &self,
        keys: Vec<(u64, Option<Arc<Version>>)>,
    ) -> Vec<Result<Loaded<Version>, Trouble>> {
        let mut answers = Vec::new();
        for (key, held) in keys {
            let found = self.version(key).await;
            let same = found.is_ok_and(|found| found.is_some() && found.as_ref() == held.as_deref());
            let loaded =
                if same && self.mishap(50) { Ok(Loaded::not_modified()) } else { found.map(Loaded::maybe) };
            answers.push(loaded.map(|loaded| loaded.tag(tag(key))));
        }
        answers
    }
}
