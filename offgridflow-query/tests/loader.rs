//! The loader: how keys become calls, and that everybody is answered.

use offgridflow_query::{LoadError, Loader};
use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::time::{Instant, sleep};

const CALL: Duration = Duration::from_millis(10);

/// The keys of each call, in order.
type Calls = Arc<Mutex<Vec<Vec<u32>>>>;

/// A source that doubles keys below 100, in 10 ms.
fn doubling() -> (Loader<u32, u32, Infallible>, Calls) {
    let calls = Calls::default();
    let seen = Arc::clone(&calls);
    let loader = Loader::new(move |keys: Vec<u32>| {
        seen.lock().unwrap().push(keys.clone());
        async move {
            sleep(CALL).await;
            Ok(keys.into_iter().filter(|key| *key < 100).map(|key| (key, key * 2)).collect())
        }
    });
    (loader, calls)
}

#[tokio::test(start_paused = true)]
async fn the_first_key_goes_at_once_and_those_that_come_meanwhile_go_together() {
    let (loader, calls) = doubling();
    let began = Instant::now();
    let first = tokio::spawn({
        let loader = loader.clone();
        async move { (loader.load(1).await.unwrap(), began.elapsed()) }
    });
    sleep(CALL / 2).await;
    let rest = loader.load_many([2, 3, 2, 100]).await;
    assert_eq!(began.elapsed(), CALL * 2, "the next call begins when the first ends");
    assert_eq!(first.await.unwrap(), (Some(2), CALL), "nobody waits for company");
    let rest: Vec<_> = rest.into_iter().map(Result::unwrap).collect();
    assert_eq!(rest, [Some(4), Some(6), Some(4), None]);
    assert_eq!(*calls.lock().unwrap(), [vec![1], vec![2, 3, 100]]);
}

#[tokio::test(start_paused = true)]
async fn a_key_is_never_answered_by_a_call_that_began_before_it_was_asked_for() {
    let (loader, calls) = doubling();
    let first = loader.load(7);
    let second = async {
        sleep(CALL / 2).await;
        loader.load(7).await
    };
    let _ = tokio::join!(first, second);
    assert_eq!(calls.lock().unwrap().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn calls_are_as_large_as_allowed() {
    let (loader, calls) = doubling();
    let loader = loader.max_batch(40);
    let values = loader.load_many(0..100).await;
    assert!(values.into_iter().zip(0..).all(|(value, key)| value.unwrap() == Some(key * 2)));
    let sizes: Vec<_> = calls.lock().unwrap().iter().map(Vec::len).collect();
    assert_eq!((sizes, loader.calls()), (vec![40, 40, 20], 3));
}

#[tokio::test(start_paused = true)]
async fn an_error_or_a_panic_answers_everybody_and_the_next_call_goes_on() {
    #[derive(Debug)]
    struct Refused(usize);
    let loader = Loader::new(|keys: Vec<u32>| {
        assert!(!keys.contains(&13), "thirteen");
        async move {
            assert!(!keys.contains(&14), "fourteen");
            if keys.contains(&15) {
                return Err(Refused(keys.len()));
            }
            Ok(keys.into_iter().map(|key| (key, key)).collect::<HashMap<u32, u32>>())
        }
    });
    for (bad, said) in [(13, "thirteen"), (14, "fourteen")] {
        for answer in loader.load_many([1, bad]).await {
            let Err(LoadError::Panicked(words)) = answer else { panic!("{answer:?}") };
            assert_eq!(&*words, said);
        }
    }
    for answer in loader.load_many([1, 15]).await {
        assert!(matches!(answer, Err(LoadError::Failed(error)) if error.0 == 2));
    }
    assert_eq!(loader.load(1).await.unwrap(), Some(1));
}

#[tokio::test(start_paused = true)]
async fn who_goes_away_takes_no_call_from_the_others() {
    let (loader, calls) = doubling();
    let mut gone = Box::pin(loader.load(1));
    assert!(std::future::poll_fn(|cx| std::task::Poll::Ready(gone.as_mut().poll(cx).is_pending())).await);
    drop(gone);
    assert_eq!(loader.load(2).await.unwrap(), Some(4));
    assert_eq!(calls.lock().unwrap().concat(), [1, 2]);
}

#[tokio::test(start_paused = true)]
async fn answers_are_kept_only_where_asked_and_forgotten_when_told() {
    let (plain, calls) = doubling();
    let _ = (plain.load(1).await, plain.load(1).await);
    assert_eq!(calls.lock().unwrap().len(), 2, "without keeping each read is a call");
    let (loader, calls) = doubling();
    let loader = loader.keeping();
    for _ in 0..3 {
        assert_eq!(loader.load(1).await.unwrap(), Some(2));
        assert_eq!(loader.load(100).await.unwrap(), None, "that there is none is an answer too");
    }
    assert_eq!(calls.lock().unwrap().len(), 2);
    loader.forget(&1);
    let _ = loader.load(1).await;
    assert_eq!(calls.lock().unwrap().len(), 3);
}

#[tokio::test(start_paused = true)]
async fn what_is_written_during_a_call_is_not_kept_of_it() {
    let (loader, calls) = doubling();
    let loader = loader.keeping();
    let write = async {
        sleep(CALL / 2).await;
        loader.forget(&1);
    };
    let _ = tokio::join!(loader.load(1), loader.load(2), write);
    let _ = (loader.load(1).await, loader.load(2).await);
    assert_eq!(calls.lock().unwrap().concat(), [1, 2, 1]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_key_that_comes_as_the_last_call_ends_is_answered() {
    let loader = Loader::new(|keys: Vec<u32>| async move {
        Ok::<HashMap<u32, u32>, Infallible>(keys.into_iter().map(|key| (key, key)).collect())
    });
    let readers = (0..4).map(|key| {
        let loader = loader.clone();
        tokio::spawn(async move {
            for _ in 0..50_000 {
                assert_eq!(loader.load(key).await.unwrap(), Some(key));
            }
        })
    });
    for reader in readers.collect::<Vec<_>>() {
        reader.await.unwrap();
    }
}

#[test]
fn a_runtime_that_ends_answers_and_the_loader_goes_on_in_the_next() {
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (loader, _) = doubling();
    let mut asked = Box::pin(loader.load(1));
    runtime().block_on(async {
        let poll = std::future::poll_fn(|cx| std::task::Poll::Ready(asked.as_mut().poll(cx).is_pending()));
        assert!(poll.await);
    });
    let (answer, next) = runtime().block_on(async { (asked.await, loader.load(2).await) });
    assert!(matches!(answer, Err(LoadError::Ended)), "{answer:?}");
    assert_eq!(next.unwrap(), Some(4));
}
