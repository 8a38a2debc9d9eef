//! One namespace of a store over a Redis of a test's own.
#![allow(dead_code, reason = "each test file needs a part")]

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use offgridflow_cache::{
    CacheBackend, Change, Entry, Fill, FillWith, Filled, Key, Lease, Lookup, Position, RedisBackend, Scope,
    Terms,
};
use testkit::Redis;

pub(crate) const MINUTE: Duration = Duration::from_secs(60);

/// One namespace of a store.
#[derive(Clone)]
pub(crate) struct Space {
    pub(crate) store: Arc<dyn CacheBackend>,
    pub(crate) name: String,
}

impl Space {
    pub(crate) fn key(&self, name: &str) -> Key {
        Key::of(&self.name, 1, name)
    }

    pub(crate) async fn ask_for(&self, name: &str, lease: Duration) -> Lookup {
        let mut lookups = self.store.get_or_lease(&[self.key(name)], &Terms::new(lease)).await.unwrap();
        assert_eq!(lookups.len(), 1);
        lookups.remove(0)
    }

    pub(crate) async fn ask(&self, name: &str) -> Lookup {
        self.ask_for(name, MINUTE).await
    }

    pub(crate) async fn lease(&self, name: &str) -> Lease {
        match self.ask(name).await {
            Lookup::Miss(lease) => lease,
            other => panic!("{name}: a miss, not {other:?}"),
        }
    }

    /// What a reader that does not load would see: it gives its lease back.
    pub(crate) async fn value(&self, name: &str) -> Option<String> {
        match self.ask(name).await {
            Lookup::Fresh(entry) => Some(String::from_utf8(entry.frame.to_vec()).unwrap()),
            Lookup::Miss(lease) => {
                let release = Fill::new(self.key(name), lease, FillWith::Release);
                self.store.fill_if(vec![release]).await.unwrap();
                None
            }
            _ => None,
        }
    }

    pub(crate) async fn fill(
        &self,
        name: &str,
        lease: Lease,
        value: &str,
        ttl: Duration,
        tags: &[&str],
    ) -> Filled {
        let tags = tags.iter().map(|tag| Arc::from(*tag)).collect();
        let entry = Entry::new(Bytes::copy_from_slice(value.as_bytes()), ttl, tags);
        let fill = Fill::new(self.key(name), lease, FillWith::Entry(entry));
        self.store.fill_if(vec![fill]).await.unwrap()[0]
    }

    pub(crate) async fn set(&self, name: &str, value: &str, tags: &[&str]) {
        let lease = self.lease(name).await;
        assert_eq!(self.fill(name, lease, value, MINUTE, tags).await, Filled::Stored);
    }

    pub(crate) async fn remove(&self, scope: Scope) {
        self.store.remove(&self.name, scope).await.unwrap();
    }

    pub(crate) async fn changes(&self, seen: &mut Option<Position>) -> Option<Vec<Change>> {
        let news = self.store.news(&self.name, seen.clone()).await.unwrap();
        *seen = Some(news.position);
        news.changes
    }
}

pub(crate) fn over(url: &str) -> RedisBackend {
    RedisBackend::connect(url).unwrap()
}

pub(crate) fn space(redis: &Redis) -> Space {
    Space { store: Arc::new(over(&redis.url())), name: "space".to_owned() }
}

/// A store over a user who may do everything but what `denied` says.
pub(crate) fn restricted(redis: &Redis, denied: &str) -> Space {
    redis.cli(&["ACL", "SETUSER", "limited", "on", ">secret", "~*", "&*", "+@all", denied]).unwrap();
    let store = over(&redis.url().replace("redis://", "redis://limited:secret@"));
    Space { store: Arc::new(store), name: "space".to_owned() }
}
