//! Loads of a batch, in a task of their own.

use std::future::pending;
use std::hash::Hash;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc::UnboundedReceiver;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until, timeout_at};

use super::Inner;
use super::load::Holding;
use super::run::{Batch, Errand, Flying};
use crate::batch::{Told, one_by_one};
use crate::loader::{Fate, LOADS_OF_A_BATCH};
use crate::{Error, Fill, FillWith, Loaded, Loader};

type Answers<V, E> = Vec<Result<Loaded<V>, E>>;

/// How a batch is loaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Together,
    /// After the loader panicked over all of them.
    OneByOne,
}

/// Loads the keys of `flying` in a task of its own, and lands each as soon as its outcome is known: bounded in number and, with the wait
/// for a turn, in time.
pub(super) async fn load<K, V, L>(inner: &Arc<Inner<K, V, L>>, flying: Batch<K, V, L::Error>, errand: &Errand)
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    V: Send + Sync + 'static,
    L: Loader<K, V>,
{
    if flying.is_empty() {
        return;
    }
    let deadline = Instant::now() + inner.settings.load_timeout;
    match inner.turn(&flying, errand, deadline).await {
        Ok(_turn) => {
            let left = Round::new(inner, flying).load(errand, Way::Together, deadline).await;
            if !left.is_empty() {
                Round::new(inner, left).load(errand, Way::OneByOne, deadline).await;
            }
        }
        Err(error) => Round::new(inner, flying).fail_rest(&error).await,
    }
}

/// A batch that is being loaded.
struct Round<'i, K: Hash + Eq, V, L: Loader<K, V>> {
    inner: &'i Arc<Inner<K, V, L>>,
    began: Instant,
    flying: Vec<Option<Flying<K, V, L::Error>>>, // `None`: landed
    held: Vec<Option<Holding<V>>>,
    fills: Vec<Fill>,
}

impl<'i, K, V, L> Round<'i, K, V, L>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    V: Send + Sync + 'static,
    L: Loader<K, V>,
{
    fn new(inner: &'i Arc<Inner<K, V, L>>, flying: Batch<K, V, L::Error>) -> Self {
        let held = flying.iter().map(|one| inner.holds(&one.landing.key)).collect();
        let flying = flying.into_iter().map(Some).collect();
        Self { inner, began: Instant::now(), flying, held, fills: Vec::new() }
    }

    /// Loads them all; gives back those whose loader panicked over all of them together.
    async fn load(mut self, errand: &Errand, way: Way, deadline: Instant) -> Batch<K, V, L::Error> {
        let inner = self.inner;
        let asked = self.flying.len();
        let loading = inner.counters.loading(asked as u64);
        inner.counters.loads.add(if way == Way::Together { asked as u64 } else { 0 });
        let (mut task, mut told) = self.start(errand, way);
        let mut flush = None;
        let ended = loop {
            tokio::select! {
                biased;
                Some((index, answer)) = told.recv() => {
                    self.settle(index, answer);
                    flush = Some(Instant::now() + TOGETHER);
                }
                ended = timeout_at(deadline, &mut task) => break ended,
                () = until(flush) => {
                    self.send_fills();
                    flush = None;
                }
            }
        };
        while let Ok((index, answer)) = told.try_recv() {
            self.settle(index, answer);
        }
        drop(loading);
        let took = self.began.elapsed();
        inner.counters.load_time.record(took);
        #[cfg(feature = "metrics")]
        crate::stats::metrics::load(&inner.name, took);
        event!(DEBUG, inner, keys = asked, ?took, in_time = ended.is_ok(), "loaded");
        match ended {
            Ok(Ok(answers)) if answers.len() == asked => {
                answers.into_iter().enumerate().for_each(|(index, answer)| self.settle(index, answer));
                self.end().await;
            }
            Ok(Ok(answers)) => self.fail_rest(&Error::LoadCount { asked, got: answers.len() }).await,
            Ok(Err(ended)) if ended.is_panic() && asked > 1 && way == Way::Together => {
                let left = std::mem::take(&mut self.flying).into_iter().flatten().collect();
                self.end().await;
                return left;
            }
            Ok(Err(ended)) if ended.is_panic() => self.fail_rest(&Error::LoadPanicked).await,
            Ok(Err(_)) => self.fail_rest(&Error::Closed).await,
            Err(_) => {
                task.abort();
                self.fail_rest(&Error::LoadTimeout(inner.settings.load_timeout)).await;
            }
        }
        Vec::new()
    }

    /// A task, so that a panic is an answer.
    #[expect(clippy::type_complexity, reason = "said once")]
    fn start(
        &self,
        errand: &Errand,
        way: Way,
    ) -> (JoinHandle<Answers<V, L::Error>>, UnboundedReceiver<Told<V, L::Error>>) {
        let flying = || self.flying.iter().flatten();
        let names: Vec<K> = flying().map(|one| one.landing.key.clone()).collect();
        let held = self.held.iter().map(|held| held.as_ref().map(|holding| Arc::clone(&holding.value)));
        let keys: Vec<_> = names.iter().cloned().zip(held).collect();
        let (inner, within) = (Arc::clone(self.inner), errand.within.clone());
        let (batch, told) = crate::batch::Batch::new(&self.inner.loader);
        let tell = batch.teller();
        let task = tokio::spawn(in_span!(async move {
            let work = async {
                match way {
                    Way::Together => batch.loading(async { inner.loader.reload_many(keys).await }).await,
                    Way::OneByOne => {
                        let loads = keys.into_iter().map(|(key, _)| inner.loader.load(key));
                        one_by_one(LOADS_OF_A_BATCH, loads, tell).await
                    }
                }
            };
            inner.loading(&within, &names, work).await
        }));
        (task, told)
    }

    /// Lands one key, unless it has landed.
    fn settle(&mut self, index: usize, answer: Result<Loaded<V>, L::Error>) {
        if answer.as_ref().is_ok_and(|loaded| loaded.fate == Fate::Told) {
            return;
        }
        if let Some(one) = self.flying.get_mut(index).and_then(Option::take) {
            let with = self.inner.settle(&one, answer, self.held[index].take(), self.began);
            self.fills.extend(fill(&one, with));
        }
    }

    /// Tells the shared tier what has landed so far, while the rest is still being loaded.
    fn send_fills(&mut self) {
        let (inner, fills) = (Arc::clone(self.inner), std::mem::take(&mut self.fills));
        tokio::spawn(in_span!(async move { inner.fill(fills).await }));
    }

    async fn fail_rest(mut self, error: &Error<L::Error>) {
        for one in std::mem::take(&mut self.flying).into_iter().flatten() {
            self.inner.fail(&one, error.clone());
            self.fills.extend(fill(&one, FillWith::Release));
        }
        self.end().await;
    }

    async fn end(self) {
        self.inner.fill(self.fills).await;
    }
}

/// Outcomes that come within this time of each other go to the shared tier in one call.
const TOGETHER: Duration = Duration::from_millis(5);

async fn until(when: Option<Instant>) {
    match when {
        Some(when) => sleep_until(when).await,
        None => pending().await,
    }
}

pub(super) fn fill<K: Hash + Eq, V, E>(one: &Flying<K, V, E>, with: FillWith) -> Option<Fill> {
    Some(Fill { key: one.wire.clone()?, lease: one.lease.clone()?, with })
}
