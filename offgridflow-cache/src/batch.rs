//! Batches whose keys are loaded one by one: each has an outcome of its own, told as soon as it is there.

use std::any::{Any, TypeId};
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use crate::Loaded;

/// The place of a key in its batch, and what became of it.
pub(crate) type Told<V, E> = (usize, Result<Loaded<V>, E>);

tokio::task_local! {
    /// The batch that the current task loads.
    static BATCH: Arc<Batch>;
}

/// Whom the outcomes of a batch may be told to before it ends.
#[derive(Debug)]
pub(crate) struct Batch {
    tell: Arc<dyn Any + Send + Sync>, // an `UnboundedSender` of what is told
    whole: Mutex<Whole>,
}

/// Who has the batch as it is. A loader that the cache's own one asks may get other keys, in another order, or be asked once more.
#[derive(Debug, Clone, Copy)]
enum Whole {
    /// The cache's loader is about to be asked.
    With(Identity),
    /// It passes the batch on to itself.
    Passed(Identity),
    /// Nobody any more.
    Gone,
}

/// A loader by its type and place.
type Identity = (TypeId, usize);

fn identity<L: 'static>(loader: &L) -> Identity {
    (TypeId::of::<L>(), std::ptr::from_ref(loader).addr())
}

impl Batch {
    /// A batch that `loader` will be asked for, and its outcomes.
    pub(crate) fn new<L: 'static, V: Send + 'static, E: Send + 'static>(
        loader: &L,
    ) -> (Arc<Self>, UnboundedReceiver<Told<V, E>>) {
        let (tell, told) = unbounded_channel::<Told<V, E>>();
        (Arc::new(Self { tell: Arc::new(tell), whole: Mutex::new(Whole::With(identity(loader))) }), told)
    }

    /// Runs `work` as the load of this batch.
    pub(crate) async fn loading<T>(self: Arc<Self>, work: impl Future<Output = T>) -> T {
        BATCH.scope(self, work).await
    }

    /// Whom its outcomes may be told.
    pub(crate) fn teller<V: 'static, E: 'static>(&self) -> Option<UnboundedSender<Told<V, E>>> {
        self.tell.downcast_ref::<UnboundedSender<Told<V, E>>>().cloned()
    }

    /// Who has it, and who has it from now on.
    fn hand(&self, to: impl FnOnce(Whole) -> Whole) -> Whole {
        let mut whole = self.whole.lock().unwrap_or_else(PoisonError::into_inner);
        let had = *whole;
        *whole = to(had);
        had
    }
}

/// Calls `ask`, in which `loader` asks itself for the batch of the current task.
pub(crate) fn passing_on<L: 'static, T>(loader: &L, ask: impl FnOnce() -> T) -> T {
    let Ok(batch) = BATCH.try_with(Arc::clone) else { return ask() };
    let own = identity(loader);
    batch.hand(|whole| match whole {
        Whole::With(asked) if asked == own => Whole::Passed(own),
        _ => Whole::Gone,
    });
    let asked = ask();
    batch.hand(|_| Whole::Gone);
    asked
}

/// Whom `loader` may tell outcomes, if it was just asked for a whole batch.
pub(crate) fn listener<L: 'static, V: 'static, E: 'static>(
    loader: &L,
) -> Option<UnboundedSender<Told<V, E>>> {
    let batch = BATCH.try_with(Arc::clone).ok()?;
    let had = batch.hand(|_| Whole::Gone);
    matches!(had, Whole::Passed(asked) if asked == identity(loader)).then(|| batch.teller())?
}

/// Awaits `loads`, at most `most` at once, and gives what they give in their order. One that panics is an outcome, and leaves the others
/// alone. Who listens is told at once, and the answer says so.
pub(crate) async fn one_by_one<F, V, E>(
    most: usize,
    loads: impl Iterator<Item = F>,
    tell: Option<UnboundedSender<Told<V, E>>>,
) -> Vec<Result<Loaded<V>, E>>
where
    F: Future<Output = Result<Loaded<V>, E>>,
{
    let mut waiting = loads;
    let mut running: Vec<(usize, Pin<Box<F>>)> = Vec::with_capacity(most);
    let mut done: Vec<Option<Result<Loaded<V>, E>>> = Vec::new();
    let ended = |index: usize, outcome| match &tell {
        Some(tell) => {
            let _gone = tell.send((index, outcome)); // then nobody looks at the answer either
            Some(Ok(Loaded::told()))
        }
        None => Some(outcome),
    };
    poll_fn(|context| {
        loop {
            while running.len() < most {
                match catch_unwind(AssertUnwindSafe(|| waiting.next())) {
                    Ok(None) => break,
                    Ok(Some(load)) => {
                        running.push((done.len(), Box::pin(load)));
                        done.push(None);
                    }
                    Err(_) => {
                        let outcome = ended(done.len(), Ok(Loaded::panicked()));
                        done.push(outcome);
                    }
                }
            }
            let before = running.len();
            running.retain_mut(|(index, load)| {
                let polled = catch_unwind(AssertUnwindSafe(|| load.as_mut().poll(context)));
                let outcome = match polled {
                    Ok(Poll::Pending) => return true,
                    Ok(Poll::Ready(outcome)) => outcome,
                    Err(_) => Ok(Loaded::panicked()),
                };
                done[*index] = ended(*index, outcome);
                false
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

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
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
                Ok::<_, Infallible>(Loaded::value(n))
            }
        };
        let expected: Vec<_> = (0..100).map(|n| Ok(Loaded::value(n))).collect();
        assert_eq!(one_by_one(16, (0..100).map(work), None).await, expected);
        assert_eq!(most.load(Ordering::SeqCst), 16);
        let none = std::iter::empty::<std::future::Ready<Result<Loaded<u64>, Infallible>>>();
        assert_eq!(one_by_one(16, none, None).await, Vec::new());
    }

    #[tokio::test]
    async fn a_panic_is_one_key_s_outcome() {
        let load = |n: u64| {
            assert_ne!(n, 1, "before the future is made");
            async move {
                assert_ne!(n, 2, "in the future");
                Ok::<_, Infallible>(Loaded::value(n))
            }
        };
        let (panicked, value) = (|| Ok(Loaded::panicked()), |n| Ok(Loaded::value(n)));
        let answers = one_by_one(2, (0..5).map(load), None).await;
        assert_eq!(answers, [value(0), panicked(), panicked(), value(3), value(4)]);
    }
}
