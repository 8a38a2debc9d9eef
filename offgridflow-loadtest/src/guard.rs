//! Running foreign code: bounded in time, and fenced against panics.

use std::{
    any::Any,
    future::{Future, poll_fn},
    panic::{AssertUnwindSafe, catch_unwind},
    pin::pin,
    task::Poll,
};

use tokio::time::Instant;

use crate::outcome::{FailKind, TargetError};

/// Runs `future` until `deadline`; a time-out and a panic become unanswered failures. Allocates only then.
pub(crate) async fn guarded<T>(deadline: Instant, future: impl Future<Output = T>) -> Result<T, TargetError> {
    match tokio::time::timeout_at(deadline, fenced(future)).await {
        Ok(result) => result,
        Err(_) => Err(TargetError::unanswered(FailKind::Timeout, "no answer within the time-out")),
    }
}

async fn fenced<T>(future: impl Future<Output = T>) -> Result<T, TargetError> {
    let mut future = pin!(future);
    poll_fn(|cx| match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(cx))) {
        Ok(Poll::Pending) => Poll::Pending,
        Ok(Poll::Ready(value)) => Poll::Ready(Ok(value)),
        Err(panic) => Poll::Ready(Err(TargetError::unanswered(FailKind::Panic, message(&*panic)))),
    })
    .await
}

fn message(panic: &(dyn Any + Send)) -> String {
    let text =
        panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("the workload panicked").to_owned()
}
