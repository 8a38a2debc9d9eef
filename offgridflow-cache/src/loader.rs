use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

/// Reads the source when the cache has nothing.
///
/// Loads run in tasks of their own: a caller that goes away does not end one, and one that panics answers every waiter.
pub trait Loader<K, V>: Send + Sync + 'static {
    /// Why a load fails.
    type Error: Send + Sync + 'static;

    /// Loads one key.
    fn load(&self, key: K) -> impl Future<Output = Result<Loaded<V>, Self::Error>> + Send;

    /// Loads several keys, answering in their order. Default: one after the other; a source that can read many at once wants
    /// its own.
    fn load_many(&self, keys: Vec<K>) -> impl Future<Output = Vec<Result<Loaded<V>, Self::Error>>> + Send
    where
        K: Send,
        V: Send,
    {
        async move {
            let mut answers = Vec::with_capacity(keys.len());
            for key in keys {
                answers.push(self.load(key).await);
            }
            answers
        }
    }
}

/// What a loader found, with what the cache should know about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loaded<V> {
    pub(crate) value: Option<V>,
    pub(crate) ttl: Option<Duration>,
    pub(crate) tags: Vec<Arc<str>>,
}

impl<V> Loaded<V> {
    /// The source has this value.
    #[must_use]
    pub fn value(value: V) -> Self {
        Self { value: Some(value), ttl: None, tags: Vec::new() }
    }

    /// The source has nothing under this key, which is cached as well, for the negative ttl.
    #[must_use]
    pub fn absent() -> Self {
        Self { value: None, ttl: None, tags: Vec::new() }
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

/// A loader from an asynchronous closure.
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
