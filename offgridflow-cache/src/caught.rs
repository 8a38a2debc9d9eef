//! Code of a user's that may panic, inside of what must go on.

use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::task::Poll;

/// What `work` gives; `None` if it panicked.
pub(crate) fn caught<T>(work: impl FnOnce() -> T) -> Option<T> {
    catch_unwind(AssertUnwindSafe(work)).ok()
}

/// What the future gives that `work` makes; `None` if either panicked.
pub(crate) async fn caught_within<T, F: Future<Output = T>>(work: impl FnOnce() -> F) -> Option<T> {
    let mut future = pin!(caught(work)?);
    poll_fn(|context| match caught(|| future.as_mut().poll(context)) {
        Some(Poll::Pending) => Poll::Pending,
        Some(Poll::Ready(output)) => Poll::Ready(Some(output)),
        None => Poll::Ready(None),
    })
    .await
}
