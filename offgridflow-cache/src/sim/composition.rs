//! The control: what is usually composed of `moka`'s `get_with`, a shared store and messages. It makes the same calls over the same
//! network, and has neither leases nor a sequence.

use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::history::{Fault, Seen};
use super::network::Network;
use super::source::{Plain, Source, Version};
use super::unfenced::Unfenced;
use crate::frame::{self, Kind};
use crate::{CacheBackend, Codec, Entry, Fill, FillWith, Key, Loader, Lookup, Scope, Terms};

const KIND: Kind = Kind { schema: 1, format: 0 };

type Near = moka::future::Cache<u64, Option<Version>>;

/// The nodes that hear each other's messages.
pub(super) type Channel = Arc<Mutex<Vec<(usize, Near)>>>;

#[derive(Debug)]
pub(super) struct Composition {
    near: Near,
    network: Network,
    source: Source,
    channel: Channel,
}

impl Composition {
    pub(super) fn new(mut network: Network, source: Source, channel: &Channel) -> Self {
        network.store = Arc::new(Unfenced(network.store));
        let near = Near::builder().time_to_live(Duration::from_millis(network.world.shape.ttl)).build();
        channel.lock().unwrap_or_else(PoisonError::into_inner).push((network.node, near.clone()));
        Self { near, network, source, channel: Arc::clone(channel) }
    }

    pub(super) async fn get(&self, key: u64) -> Seen {
        match self.near.try_get_with(key, self.fetch(key)).await {
            Ok(Some(value)) => Seen::Value { key: value.key, version: value.version },
            Ok(None) => Seen::Absent,
            Err(fault) => Seen::Failed(*fault),
        }
    }

    async fn fetch(&self, key: u64) -> Result<Option<Version>, Fault> {
        let name = Key::of("composed", 1, &key);
        let limit = Duration::from_millis(self.network.world.shape.shared_timeout);
        let terms = Terms::new(Duration::from_secs(1));
        let asked = self.network.get_or_lease(std::slice::from_ref(&name), &terms);
        let lookup =
            tokio::time::timeout(limit, asked).await.ok().and_then(Result::ok).and_then(|mut all| all.pop());
        if let Some(Lookup::Fresh(entry)) = &lookup
            && let Ok(Some(bytes)) = frame::decode(KIND, None, &entry.frame)
            && let Ok(value) = Plain.decode(bytes)
        {
            return Ok(Some(value));
        }
        let value = self.load(key).await?;
        if let (Some(Lookup::Miss(lease)), Some(value)) = (lookup, &value) {
            let bytes = Plain.encode(value).map_err(|_| Fault::Other)?;
            let frame = frame::encode(KIND, None, Some(&bytes));
            let entry = Entry::new(frame, Duration::from_secs(60), Vec::new());
            let filled = self.network.fill_if(vec![Fill::new(name, lease, FillWith::Entry(entry))]);
            let _ = tokio::time::timeout(limit, filled).await;
        }
        Ok(value)
    }

    async fn load(&self, key: u64) -> Result<Option<Version>, Fault> {
        let limit = Duration::from_millis(self.network.world.shape.hard_timeout);
        let source = self.source.clone();
        let load = tokio::spawn(AssertUnwindSafe(async move { source.load(key).await }));
        match tokio::time::timeout(limit, load).await {
            Ok(Ok(Ok(loaded))) => Ok(loaded.value),
            Ok(Ok(Err(_))) => Err(Fault::Error),
            Ok(Err(_)) => Err(Fault::Panic),
            Err(_) => Err(Fault::Timeout),
        }
    }

    /// Deletes, tells the others, and deletes here.
    pub(super) async fn invalidate(&self, keys: Vec<u64>) -> bool {
        let names = keys.iter().map(|key| Key::of("composed", 1, key)).collect();
        let limit = Duration::from_millis(self.network.world.shape.shared_timeout);
        let removed = tokio::time::timeout(limit, self.network.remove("composed", Scope::Keys(names))).await;
        let nodes = self.channel.lock().unwrap_or_else(PoisonError::into_inner).clone();
        for (node, near) in nodes {
            self.tell(node, &near, &keys).await;
        }
        removed.is_ok_and(|removed| removed.is_ok())
    }

    async fn tell(&self, to: usize, near: &Near, keys: &[u64]) {
        let world = &self.network.world;
        let mut site = world.site(self.network.node, 128 + to as u64);
        if to != self.network.node && world.mishap(&mut site, 1, 30) {
            world.note(|| format!("node {}: its message to node {to} is lost", self.network.node));
            return;
        }
        for key in keys {
            near.invalidate(key).await;
        }
    }
}
