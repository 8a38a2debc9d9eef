use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::sleep;

use super::Violation;
use crate::{
    BackendError, CacheBackend, Change, Entry, Fill, FillWith, Filled, Key, Lease, Lookup, Position, Scope,
    Terms,
};

/// Longer than any check.
pub(super) const MINUTE: Duration = Duration::from_secs(60);

/// Each way to remove a value that carries its key's name as a tag.
pub(super) const WAYS: [fn(&Space, &str) -> Scope; 3] = [
    |space, name| Scope::Keys(vec![space.key(name)]),
    |_, name| Scope::Tags(vec![name.into()]),
    |_, _| Scope::Namespace,
];

/// One namespace of a store.
#[derive(Debug)]
pub(super) struct Space {
    pub(super) store: Arc<dyn CacheBackend>,
    name: String,
}

impl From<BackendError> for Violation {
    fn from(error: BackendError) -> Self {
        Self(format!("an error: {error}"))
    }
}

impl Space {
    pub(super) const fn new(store: Arc<dyn CacheBackend>, name: String) -> Self {
        Self { store, name }
    }

    /// Another namespace of the same store.
    pub(super) fn beside(&self) -> Self {
        Self::new(Arc::clone(&self.store), format!("{}x", self.name))
    }

    pub(super) fn key(&self, name: &str) -> Key {
        self.key_in(1, name)
    }

    pub(super) fn key_in(&self, schema: u32, name: &str) -> Key {
        Key::of(&self.name, schema, name)
    }

    pub(super) async fn ask_all(&self, keys: &[Key]) -> Result<Vec<Lookup>, Violation> {
        let lookups = self.store.get_or_lease(keys, &Terms::new(MINUTE)).await?;
        super::ensure!(lookups.len() == keys.len(), "{} answers for {} keys", lookups.len(), keys.len());
        Ok(lookups)
    }

    pub(super) async fn ask(&self, name: &str) -> Result<Lookup, Violation> {
        self.ask_for(name, MINUTE).await
    }

    pub(super) async fn ask_for(&self, name: &str, lease: Duration) -> Result<Lookup, Violation> {
        self.ask_on(name, &Terms::new(lease)).await
    }

    pub(super) async fn ask_on(&self, name: &str, terms: &Terms) -> Result<Lookup, Violation> {
        let mut lookups = self.store.get_or_lease(&[self.key(name)], terms).await?;
        super::ensure!(lookups.len() == 1, "{} answers for one key", lookups.len());
        Ok(lookups.remove(0))
    }

    pub(super) async fn lease(&self, name: &str) -> Result<Lease, Violation> {
        self.lease_for(name, MINUTE).await
    }

    pub(super) async fn lease_for(&self, name: &str, length: Duration) -> Result<Lease, Violation> {
        match self.ask_for(name, length).await? {
            Lookup::Miss(lease) => Ok(lease),
            other => Err(Violation(format!("{other:?} in place of a lease for a key that holds nothing"))),
        }
    }

    /// The value that a reader may be given now, fresh or stale.
    pub(super) async fn value(&self, name: &str) -> Result<Option<Bytes>, Violation> {
        Ok(match self.ask(name).await? {
            Lookup::Fresh(entry) | Lookup::Stale(entry, _) => Some(entry.frame),
            _ => None,
        })
    }

    pub(super) fn entry(&self, value: &str, tags: &[&str]) -> Entry {
        let tags = tags.iter().map(|tag| Arc::from(*tag)).collect();
        Entry::new(Bytes::copy_from_slice(value.as_bytes()), MINUTE, tags)
    }

    pub(super) async fn fill(&self, name: &str, lease: Lease, entry: Entry) -> Result<Filled, Violation> {
        self.use_lease(Fill::new(self.key(name), lease, FillWith::Entry(entry))).await
    }

    pub(super) async fn use_lease(&self, fill: Fill) -> Result<Filled, Violation> {
        let filled = self.store.fill_if(vec![fill]).await?;
        super::ensure!(filled.len() == 1, "{} answers for one fill", filled.len());
        Ok(filled[0])
    }

    /// Asks, and fills what it got a lease for.
    pub(super) async fn set(&self, name: &str, entry: Entry) -> Result<(), Violation> {
        let lease = self.lease(name).await?;
        let filled = self.fill(name, lease, entry).await?;
        super::ensure!(filled == Filled::Stored, "a fill with a lease that lives was fenced");
        Ok(())
    }

    /// Fills each of these keys with a value that carries its name as a tag, is past its ttl, and is kept for `grace`.
    pub(super) async fn set_stale(&self, names: &[&str], grace: Duration) -> Result<(), Violation> {
        for name in names {
            let lease = self.lease(name).await?;
            let entry = Entry { left: Duration::from_millis(20), ..self.entry("old", &[name]) };
            self.fill(name, lease, entry.with_grace(grace)).await?;
        }
        sleep(Duration::from_millis(80)).await;
        Ok(())
    }

    pub(super) async fn remove(&self, scope: Scope) -> Result<(), Violation> {
        Ok(self.store.remove(&self.name, scope).await?)
    }

    pub(super) async fn remove_key(&self, name: &str) -> Result<(), Violation> {
        self.remove(Scope::Keys(vec![self.key(name)])).await
    }

    pub(super) async fn remove_tag(&self, tag: &str) -> Result<(), Violation> {
        self.remove(Scope::Tags(vec![tag.into()])).await
    }

    /// What happened since `seen`, which moves on.
    pub(super) async fn news(&self, seen: &mut Option<Position>) -> Result<Option<Vec<Change>>, Violation> {
        let news = self.store.news(&self.name, seen.clone()).await?;
        *seen = Some(news.position);
        Ok(news.changes)
    }

    /// A position to be told the news from.
    pub(super) async fn position(&self) -> Result<Option<Position>, Violation> {
        let mut seen = None;
        self.news(&mut seen).await?;
        Ok(seen)
    }
}
