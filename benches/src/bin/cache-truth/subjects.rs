//! What is measured: the raw maps, and the cache over each, all holding the same keys and values.

use std::convert::Infallible;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use offgridflow_cache::{
    Cache, Codec, CodecError, InProcess, Json, Loaded, Loader, MemoryTier, Moka, QuickCache, loader_fn,
};

use crate::Failure;

/// Hot keys; all of them fit.
pub(crate) const KEYS: u64 = 1_000;
const ROOM: u64 = 2 * KEYS;

/// Reads keys in their order; how many were there. One call measures many reads, so that only they are measured.
pub(crate) type ReadAll = Box<dyn Fn(&[u64]) -> u64 + Send + Sync>;

/// One thing that is measured.
pub(crate) struct Subject {
    pub(crate) name: &'static str,
    pub(crate) read_all: ReadAll,
}

fn subject(name: &'static str, read: impl Fn(&u64) -> bool + Send + Sync + 'static) -> Subject {
    let read_all = move |keys: &[u64]| keys.iter().filter(|key| read(key)).count() as u64;
    Subject { name, read_all: Box::new(read_all) }
}

/// All subjects, and what bumps a tag of all caches among them that no entry carries.
pub(crate) struct Subjects {
    pub(crate) all: Vec<Subject>,
    caches: Vec<Bump>,
    decodes: Arc<AtomicU64>,
}

type Bump = Box<dyn Fn(String) + Send + Sync>;

pub(crate) const MOKA: &str = "raw moka::sync";
pub(crate) const MOKA_FUTURE: &str = "raw moka::future";
pub(crate) const QUICK: &str = "raw quick_cache";
pub(crate) const OVER_MOKA: &str = "peek over moka";
pub(crate) const OVER_QUICK: &str = "peek over quick_cache";
pub(crate) const GET_OVER_QUICK: &str = "get over quick_cache";
pub(crate) const SHARED_MOKA: &str = "peek over moka, shared tier";
pub(crate) const SHARED_QUICK: &str = "peek over quick_cache, shared tier";

/// JSON that counts how often it decodes.
#[derive(Debug, Default, Clone)]
struct CountedJson(Arc<AtomicU64>);

impl Codec<u64> for CountedJson {
    fn format(&self) -> u64 {
        Codec::<u64>::format(&Json)
    }

    fn encode(&self, value: &u64) -> Result<Vec<u8>, CodecError> {
        Json.encode(value)
    }

    fn decode(&self, bytes: bytes::Bytes) -> Result<u64, CodecError> {
        self.0.fetch_add(1, Ordering::SeqCst);
        Json.decode(bytes)
    }
}

/// Every entry carries two tags.
fn source() -> impl Loader<u64, u64, Error = Infallible> {
    loader_fn(|key: u64| async move {
        Ok::<_, Infallible>(Loaded::value(key).tag("all").tag(format!("tag {}", key % 10)))
    })
}

impl Subjects {
    /// Builds and fills them on the current runtime.
    pub(crate) async fn new() -> Result<Self, Failure> {
        let mut this = Self { all: Vec::new(), caches: Vec::new(), decodes: Arc::default() };
        this.raw().await;
        for (name, get, shared, near) in [
            (OVER_MOKA, None, None, true),
            (OVER_QUICK, Some(GET_OVER_QUICK), None, false),
            (SHARED_MOKA, None, Some(InProcess::new()), true),
            (SHARED_QUICK, None, Some(InProcess::new()), false),
        ] {
            if near {
                this.cache(name, get, Moka::entries(ROOM), shared).await?;
            } else {
                this.cache(name, get, QuickCache::entries(ROOM), shared).await?;
            }
        }
        Ok(this)
    }

    async fn raw(&mut self) {
        let moka = moka::sync::Cache::new(ROOM);
        let future = moka::future::Cache::new(ROOM);
        let quick = quick_cache::sync::Cache::new(usize::try_from(ROOM).unwrap_or(usize::MAX));
        for key in 0..KEYS {
            moka.insert(key, Arc::new(key));
            future.insert(key, Arc::new(key)).await;
            quick.insert(key, Arc::new(key));
        }
        self.all.push(subject(MOKA, move |key| moka.get(key).is_some()));
        self.all.push(subject(MOKA_FUTURE, move |key| at_once(future.get(key)).is_some()));
        self.all.push(subject(QUICK, move |key| quick.get(key).is_some()));
    }

    async fn cache(
        &mut self,
        name: &'static str,
        get: Option<&'static str>,
        near: impl MemoryTier<u64, u64>,
        shared: Option<InProcess>,
    ) -> Result<(), Failure> {
        let builder = Cache::builder("c3").near(near).ttl(Duration::from_secs(3_600));
        let builder = match shared {
            Some(shared) => builder.shared(shared, CountedJson(Arc::clone(&self.decodes))),
            None => builder,
        };
        let cache = builder.build(source())?;
        tokio::time::sleep(Duration::from_millis(5)).await; // the first look at the shared tier
        let keys: Vec<u64> = (0..KEYS).collect();
        cache.get_many(&keys).await;
        let (bumped, read, got) = (cache.clone(), cache.clone(), cache);
        let runtime = tokio::runtime::Handle::current();
        self.caches.push(Box::new(move |tag| {
            let _ = runtime.block_on(bumped.invalidate_tag(tag));
        }));
        self.all.push(subject(name, move |key| read.peek(key).is_some()));
        if let Some(name) = get {
            self.all.push(subject(name, move |key| at_once(got.get(key)).is_ok_and(|value| value.is_some())));
        }
        Ok(())
    }

    /// Invalidates a tag that nothing carries, in every cache.
    pub(crate) fn bump(&self, tag: u64) {
        self.caches.iter().for_each(|bump| bump(format!("bumped {}", tag % 1_000)));
    }

    pub(crate) fn decodes(&self) -> u64 {
        self.decodes.load(Ordering::SeqCst)
    }

    pub(crate) fn named(&self, name: &str) -> Option<&Subject> {
        self.all.iter().find(|subject| subject.name == name)
    }
}

/// What a future gives that has nothing to wait for; polled where it was made, not moved.
#[inline(always)]
fn at_once<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => panic!("a hit waited"),
    }
}
