use std::sync::Arc;
use std::time::Duration;

use crate::batch::{listener, one_by_one, passing_on};

/// Reads the source when the cache has nothing.
///
/// Loads run in tasks of their own: a caller that goes away does not end one, and one that panics answers every waiter.
pub trait Loader<K, V>: Sized + Send + Sync + 'static {
    /// Why a load fails.
    type Error: Send + Sync + 'static;

    /// Loads one key.
    fn load(&self, key: K) -> impl Future<Output = Result<Loaded<V>, Self::Error>> + Send;

    /// Loads several keys, answering in their order. Default: each by [`load`](Self::load), 16 at a time, where each key has an outcome of
    /// its own: one that panics or fails leaves the others alone, and so does one that hangs, as long as fewer than sixteen do. All of a batch is loaded within one
    /// [`load_timeout`](crate::CacheBuilder::load_timeout). A source that can read many at once wants its own, which is
    /// one query with one outcome: should it panic, its keys are loaded one by one; should it hang, all of them time out.
    fn load_many(&self, keys: Vec<K>) -> impl Future<Output = Vec<Result<Loaded<V>, Self::Error>>> + Send
    where
        K: Send,
        V: Send + 'static,
    {
        let tell = listener::<Self, V, Self::Error>(self);
        one_by_one(LOADS_OF_A_BATCH, keys.into_iter().map(|key| self.load(key)), tell)
    }

    /// Loads several keys, with what the cache still holds of each, perhaps past its time: for sources that can say that nothing
    /// has changed, by [`Loaded::not_modified`]. This is what the cache calls. Default: [`load_many`](Self::load_many), without
    /// looking at what it holds.
    fn reload_many(
        &self,
        keys: Vec<(K, Option<Arc<V>>)>,
    ) -> impl Future<Output = Vec<Result<Loaded<V>, Self::Error>>> + Send
    where
        K: Send,
        V: Send + Sync + 'static,
    {
        passing_on(self, || self.load_many(keys.into_iter().map(|(key, _)| key).collect()))
    }
}

/// Loads under way at once for one batch whose loader reads one key at a time.
pub(crate) const LOADS_OF_A_BATCH: usize = 16;

/// What a loader found, with what the cache should know about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loaded<V> {
    pub(crate) value: Option<V>,
    pub(crate) fate: Fate,
    pub(crate) ttl: Option<Duration>,
    pub(crate) tags: Vec<Arc<str>>,
}

/// What there is to say of a key beside its value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It was loaded.
    Loaded,
    /// Its value is the one that the cache holds.
    Unchanged,
    /// Its load panicked.
    Panicked,
    /// What became of it was told before.
    Told,
}

impl<V> Loaded<V> {
    /// The source has this value.
    #[must_use]
    pub fn value(value: V) -> Self {
        Self { value: Some(value), fate: Fate::Loaded, ttl: None, tags: Vec::new() }
    }

    /// The source has nothing under this key, which is cached as well, for the negative ttl.
    #[must_use]
    pub fn absent() -> Self {
        Self { value: None, fate: Fate::Loaded, ttl: None, tags: Vec::new() }
    }

    /// What the cache holds is what the source has still, and begins its time again: that of this answer, or else of the cache. It keeps
    /// its tags, unless this answer names some, which then take their place.
    #[must_use]
    pub fn not_modified() -> Self {
        Self { fate: Fate::Unchanged, ..Self::absent() }
    }

    pub(crate) fn panicked() -> Self {
        Self { fate: Fate::Panicked, ..Self::absent() }
    }

    pub(crate) fn told() -> Self {
        Self { fate: Fate::Told, ..Self::absent() }
    }

    /// A value, or its absence.
    #[must_use]
    pub fn maybe(value: Option<V>) -> Self {
        value.map_or_else(Self::absent, Self::value)
    }

    /// A tag by which it can be invalidated together with others.
    #[must_use]
    pub fn tag(mut self, tag: impl Into<Arc<str>>) -> Self {
        self.tags.push(tag.into());
        self
    }

    /// How long it stays, in place of the cache's own ttl.
    #[must_use]
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.ttl = Some(ttl);
        self
    }
}

impl<V> From<V> for Loaded<V> {
    fn from(value: V) -> Self {
        Self::value(value)
    }
}

/// A loader from an asynchronous closure. Its type has no name: a cache that is kept in a `struct` takes a [`Loader`] of its own.
///
/// ```
/// use offgridflow_cache::{Cache, Loaded, Loader};
///
/// struct Users(/* a pool */);
///
/// impl Loader<u64, String> for Users {
///     type Error = std::io::Error;
///
///     async fn load(&self, id: u64) -> Result<Loaded<String>, Self::Error> {
///         Ok(Loaded::value(format!("user {id}")))
///     }
/// }
///
/// struct App {
///     users: Cache<u64, String, Users>,
/// }
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let app = App { users: Cache::builder("users").build(Users())? };
/// assert_eq!(app.users.get(&1).await?.as_deref(), Some(&"user 1".to_owned()));
/// # Ok(()) }
/// ```
#[must_use]
pub fn loader_fn<F>(load: F) -> LoaderFn<F> {
    LoaderFn(load)
}

/// What [`loader_fn`] makes.
pub struct LoaderFn<F>(F);

impl<F> std::fmt::Debug for LoaderFn<F> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("LoaderFn")
    }
}

impl<K, V, E, F, Fut> Loader<K, V> for LoaderFn<F>
where
    F: Fn(K) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<Loaded<V>, E>> + Send,
    K: Send + Sync + 'static,
    E: Send + Sync + 'static,
{
    type Error = E;

    fn load(&self, key: K) -> impl Future<Output = Result<Loaded<V>, E>> + Send {
        (self.0)(key)
    }
}
