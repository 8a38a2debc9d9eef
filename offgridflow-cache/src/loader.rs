use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

/// Reads the source when the cache has nothing.
///
/// Loads run in tasks of their own: a caller that goes away does not end one, and one that panics answers every waiter.
pub trait Loader<K, V>: Send + Sync + 'static {
    /// Why a load fails.
    type Error: Send + Sync + 'static;

    /// Loads one key.
    fn load(&self, key: K) -> impl Future<Output = Result<Loaded<V>, Self::Error>> + Send;

    /// Loads several keys, answering in their order. Default: each by [`load`](Self::load), 16 at a time; a source that can read
    /// many at once wants its own.
    fn load_many(&self, keys: Vec<K>) -> impl Future<Output = Vec<Result<Loaded<V>, Self::Error>>> + Send
    where
        K: Send,
        V: Send,
    {
        at_a_time(LOADS_OF_A_BATCH, keys.into_iter().map(|key| self.load(key)))
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
        V: Send + Sync,
    {
        self.load_many(keys.into_iter().map(|(key, _)| key).collect())
    }
}

/// Loads under way at once for one batch whose loader reads one key at a time.
const LOADS_OF_A_BATCH: usize = 16;

/// Awaits `futures`, at most `most` at once, and gives what they give in their order.
async fn at_a_time<F: Future>(most: usize, futures: impl Iterator<Item = F>) -> Vec<F::Output> {
    let mut waiting = futures.enumerate();
    let mut running: Vec<(usize, Pin<Box<F>>)> = Vec::with_capacity(most);
    let mut done: Vec<Option<F::Output>> = Vec::new();
    poll_fn(|context| {
        loop {
            while running.len() < most
                && let Some((index, future)) = waiting.next()
            {
                done.push(None);
                running.push((index, Box::pin(future)));
            }
            let before = running.len();
            running.retain_mut(|(index, future)| match future.as_mut().poll(context) {
                Poll::Ready(output) => {
                    done[*index] = Some(output);
                    false
                }
                Poll::Pending => true,
            });
            match running.len() {
                0 if before == 0 => return Poll::Ready(()),
                still if still == before => return Poll::Pending,
                _ => {} // there is room: start more
            }
        }
    })
    .await;
    done.into_iter().flatten().collect()
}

/// What a loader found, with what the cache should know about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loaded<V> {
    pub(crate) value: Option<V>,
    pub(crate) unchanged: bool, // the value is the one that the cache holds
    pub(crate) ttl: Option<Duration>,
    pub(crate) tags: Vec<Arc<str>>,
}

impl<V> Loaded<V> {
    /// The source has this value.
    #[must_use]
    pub fn value(value: V) -> Self {
        Self { value: Some(value), unchanged: false, ttl: None, tags: Vec::new() }
    }

    /// The source has nothing under this key, which is cached as well, for the negative ttl.
    #[must_use]
    pub fn absent() -> Self {
        Self { value: None, unchanged: false, ttl: None, tags: Vec::new() }
    }

    /// What the cache holds is what the source has still, and begins its time again. Tags are those of this answer.
    #[must_use]
    pub fn not_modified() -> Self {
        Self { unchanged: true, ..Self::absent() }
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

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_batch_runs_a_few_at_a_time_and_answers_in_order() {
        let (running, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let work = |n: u64| {
            let (running, most) = (&running, &most);
            async move {
                most.fetch_max(running.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                tokio::time::sleep(Duration::from_millis(n * 7 % 10)).await;
                running.fetch_sub(1, Ordering::SeqCst);
                n
            }
        };
        assert_eq!(at_a_time(16, (0..100).map(work)).await, (0..100).collect::<Vec<_>>());
        assert_eq!(most.load(Ordering::SeqCst), 16);
        assert_eq!(at_a_time(16, std::iter::empty::<std::future::Ready<u64>>()).await, Vec::<u64>::new());
    }
}
