//! One query for the keys of many readers: the cure for N+1.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::future::Future;
use std::hash::Hash;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;

use tokio::sync::oneshot;

/// Keys asked for at once, unless told otherwise: a statement has room for them in every database.
const MAX_BATCH: usize = 1_000;

/// Loads values by key, many keys in one call.
///
/// The first key is asked for at once. Keys that arrive while a call is under way form the next one; there is no timer that
/// everybody waits for. Equal keys are asked for once a call, and never answered by a call that began before they came. Clones share
/// the calls; a loader a request keeps what one user may see from another.
///
/// ```
/// use offgridflow_query::Loader;
/// use std::collections::{HashMap, HashSet};
/// use std::convert::Infallible;
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// let names = Loader::new(|ids: Vec<u64>| async move {
///     // SELECT id, name FROM sites WHERE id = ANY($1)
///     Ok::<_, Infallible>(ids.into_iter().filter(|id| *id < 3).map(|id| (id, format!("site {id}"))).collect::<HashMap<_, _>>())
/// });
/// let (one, two, none) = tokio::join!(names.load(1), names.load(2), names.load(9));
/// assert_eq!((one.unwrap().as_deref(), two.unwrap().as_deref()), (Some("site 1"), Some("site 2")));
/// assert_eq!(none.unwrap(), None);
/// assert_eq!(names.calls(), 1);
/// # }
/// ```
pub struct Loader<K, V, E> {
    inner: Arc<Inner<K, V, E>>,
}

/// Why a key was not loaded.
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum LoadError<E> {
    /// The call failed; all of its keys get the same error.
    #[error("the load failed: {0}")]
    Failed(Arc<E>),
    /// The call panicked, and said this.
    #[error("the load panicked: {0}")]
    Panicked(Arc<str>),
    /// The runtime ended before the call did.
    #[error("the runtime ended before the load did")]
    Ended,
}

type Answer<V, E> = Result<Option<V>, LoadError<E>>;
/// Who waits for a key.
type Asking<V, E> = Vec<oneshot::Sender<Answer<V, E>>>;
type Call<K, V, E> = Pin<Box<dyn Future<Output = Result<HashMap<K, V>, E>> + Send>>;

struct Inner<K, V, E> {
    load: Box<dyn Fn(Vec<K>) -> Call<K, V, E> + Send + Sync>,
    max_batch: usize,
    keeps: bool,
    state: Mutex<State<K, V, E>>,
}

struct State<K, V, E> {
    /// A task makes calls, and will look here again.
    running: bool,
    waiting: Vec<K>, // in the order they came
    asking: HashMap<K, Asking<V, E>>,
    kept: HashMap<K, Option<V>>,
    /// Keys that were forgotten since the call under way began.
    written: HashSet<K>,
    calls: u64,
}

impl<K, V, E> Loader<K, V, E>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
    E: Send + Sync + 'static,
{
    /// A loader that asks `load` for at most 1 000 different keys at once. What `load` leaves out does not exist.
    pub fn new<F>(load: impl Fn(Vec<K>) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<HashMap<K, V>, E>> + Send + 'static,
    {
        let load = move |keys: Vec<K>| -> Call<K, V, E> { Box::pin(load(keys)) };
        Self::with(Box::new(load), MAX_BATCH, false)
    }

    fn with(load: Box<dyn Fn(Vec<K>) -> Call<K, V, E> + Send + Sync>, max_batch: usize, keeps: bool) -> Self {
        let state = State {
            running: false,
            waiting: Vec::new(),
            asking: HashMap::new(),
            kept: HashMap::new(),
            written: HashSet::new(),
            calls: 0,
        };
        Self { inner: Arc::new(Inner { load, max_batch, keeps, state: Mutex::new(state) }) }
    }

    /// Asks for at most so many keys at once, one at least.
    ///
    /// # Panics
    /// Once the loader has clones, or was used.
    #[must_use]
    pub fn max_batch(self, keys: usize) -> Self {
        let inner = self.unused();
        Self::with(inner.load, keys.max(1), inner.keeps)
    }

    /// Keeps every answer for as long as the loader lives: for a loader that lives as long as a request. Errors are not kept.
    ///
    /// # Panics
    /// Once the loader has clones, or was used.
    #[must_use]
    pub fn keeping(self) -> Self {
        let inner = self.unused();
        Self::with(inner.load, inner.max_batch, true)
    }

    fn unused(self) -> Inner<K, V, E> {
        Arc::try_unwrap(self.inner).ok().expect("settings come before clones and use")
    }

    /// The value of `key`, `None` if there is none.
    ///
    /// # Errors
    /// What the call with this key failed with.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    ///
    /// # Cancel safety
    /// Dropping the future leaves the call to the others.
    pub async fn load(&self, key: K) -> Answer<V, E> {
        let asked = self.ask(key);
        asked.await
    }

    /// The values of `keys`, in their order, in one call where they have room.
    ///
    /// # Errors
    /// As [`load`](Self::load), each key for itself.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    ///
    /// # Cancel safety
    /// As [`load`](Self::load).
    pub async fn load_many(&self, keys: impl IntoIterator<Item = K>) -> Vec<Answer<V, E>> {
        let asked: Vec<_> = keys.into_iter().map(|key| self.ask(key)).collect();
        let mut answers = Vec::with_capacity(asked.len());
        for one in asked {
            answers.push(one.await);
        }
        answers
    }

    /// Forgets the answer for `key` that is kept, if any, and does not keep that of a call under way: it was written.
    pub fn forget(&self, key: &K) {
        let mut state = self.inner.state();
        state.kept.remove(key);
        if state.running && self.inner.keeps {
            state.written.insert(key.clone());
        }
    }

    /// Calls made so far.
    #[must_use]
    pub fn calls(&self) -> u64 {
        self.inner.state().calls
    }

    /// Takes a place among the keys of the next call, before it returns.
    fn ask(&self, key: K) -> impl Future<Output = Answer<V, E>> + use<K, V, E> {
        let mut state = self.inner.state();
        let kept = state.kept.get(&key).cloned();
        let (sender, answer) = oneshot::channel();
        if kept.is_none() {
            if !state.asking.contains_key(&key) {
                state.waiting.push(key.clone());
            }
            state.asking.entry(key).or_default().push(sender);
            if !state.running {
                state.running = true;
                drop(state);
                tokio::spawn(Turn { inner: Arc::clone(&self.inner), over: false }.run());
            }
        }
        async move {
            match kept {
                Some(value) => Ok(value),
                None => answer.await.unwrap_or(Err(LoadError::Ended)),
            }
        }
    }
}

impl<K: Hash + Eq, V, E> Inner<K, V, E> {
    /// Keeps an answer, unless its key was written while it came.
    fn keep(&self, key: K, value: Option<V>) {
        let mut state = self.state();
        if !state.written.contains(&key) {
            state.kept.insert(key, value);
        }
    }
}

impl<K, V, E> Inner<K, V, E> {
    fn state(&self) -> MutexGuard<'_, State<K, V, E>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The task that makes the calls. Dropped by a runtime that ends, it tells whoever still waits, and the next key starts another one.
struct Turn<K, V, E> {
    inner: Arc<Inner<K, V, E>>,
    over: bool, // it was given up: what comes now is another one's
}

impl<K, V, E> Drop for Turn<K, V, E> {
    fn drop(&mut self) {
        if self.over {
            return;
        }
        let mut state = self.inner.state();
        state.running = false;
        let (waiting, asking) = (std::mem::take(&mut state.waiting), std::mem::take(&mut state.asking));
        drop(state);
        drop((waiting, asking)); // outside the lock: it wakes who waits
    }
}

impl<K, V, E> Turn<K, V, E>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
    E: Send + Sync + 'static,
{
    async fn run(mut self) {
        while let Some(batch) = self.next() {
            let keys: Vec<K> = batch.iter().map(|(key, _)| key.clone()).collect();
            let answered = guarded(|| (self.inner.load)(keys)).await;
            self.answer(batch, answered);
        }
    }

    /// The next call's keys and who waits for them; `None`, and the turn is over, where there are none.
    fn next(&mut self) -> Option<Vec<(K, Asking<V, E>)>> {
        let mut state = self.inner.state();
        state.written.clear();
        if state.waiting.is_empty() {
            (state.running, self.over) = (false, true);
            return None;
        }
        state.calls += 1;
        let count = state.waiting.len().min(self.inner.max_batch);
        let keys: Vec<K> = state.waiting.drain(..count).collect();
        let who = |key: K| {
            let asking = state.asking.remove(&key).unwrap_or_default();
            (key, asking)
        };
        Some(keys.into_iter().map(who).collect())
    }

    fn answer(&self, batch: Vec<(K, Asking<V, E>)>, answered: Result<HashMap<K, V>, LoadError<E>>) {
        for (key, asking) in batch {
            let answer = match &answered {
                Ok(values) => Ok(values.get(&key).cloned()),
                Err(error) => Err(error.clone()),
            };
            for sender in asking {
                let _ = sender.send(answer.clone()); // who went away needs no answer
            }
            if self.inner.keeps
                && let Ok(value) = answer
            {
                self.inner.keep(key, value);
            }
        }
    }
}

/// The call's result; a panic, also of the function that makes the future, is an error of it.
async fn guarded<K, V, E>(call: impl FnOnce() -> Call<K, V, E>) -> Result<HashMap<K, V>, LoadError<E>> {
    let panicked = |panic: Box<dyn std::any::Any + Send>| {
        let said = panic.downcast_ref::<&str>().map(ToString::to_string);
        let said = said.or_else(|| panic.downcast_ref::<String>().cloned());
        LoadError::Panicked(said.unwrap_or_else(|| "something that is no text".into()).into())
    };
    let mut call = std::panic::catch_unwind(AssertUnwindSafe(call)).map_err(panicked)?;
    let polled = std::future::poll_fn(|cx| {
        match std::panic::catch_unwind(AssertUnwindSafe(|| call.as_mut().poll(cx))) {
            Ok(Poll::Pending) => Poll::Pending,
            Ok(Poll::Ready(result)) => Poll::Ready(Ok(result)),
            Err(panic) => Poll::Ready(Err(panic)),
        }
    });
    match polled.await {
        Ok(result) => result.map_err(|error| LoadError::Failed(Arc::new(error))),
        Err(panic) => Err(panicked(panic)),
    }
}

impl<K, V, E> Clone for Loader<K, V, E> {
    fn clone(&self) -> Self {
        Self { inner: Arc::clone(&self.inner) }
    }
}

impl<E> Clone for LoadError<E> {
    fn clone(&self) -> Self {
        match self {
            Self::Failed(error) => Self::Failed(Arc::clone(error)),
            Self::Panicked(said) => Self::Panicked(Arc::clone(said)),
            Self::Ended => Self::Ended,
        }
    }
}

impl<E: fmt::Debug> fmt::Debug for LoadError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failed(error) => f.debug_tuple("Failed").field(error).finish(),
            Self::Panicked(said) => f.debug_tuple("Panicked").field(said).finish(),
            Self::Ended => f.write_str("Ended"),
        }
    }
}

impl<K, V, E> fmt::Debug for Loader<K, V, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.inner.state();
        f.debug_struct("Loader")
            .field("waiting", &state.waiting.len())
            .field("calls", &state.calls)
            .finish_non_exhaustive()
    }
}
