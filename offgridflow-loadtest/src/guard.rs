//! Running foreign code: bounded in time, and fenced against panics.

use std::{
    any::Any,
    future::poll_fn,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll},
};

use tokio::{
    task::unconstrained,
    time::{Instant, sleep_until},
};

use crate::{
    outcome::{FailKind, TargetError},
    pulse::Pulse,
    stop::StopHandle,
};

/// Runs `future` until `deadline`; a time-out and a panic become unanswered failures. Allocates only then.
///
/// The future is polled where it lies, and dropped there, since that may panic as well: it may be large, and moving it would cost
/// more than the rest.
pub(crate) async fn guarded<T>(deadline: Instant, future: impl Future<Output = T>) -> Result<T, TargetError> {
    // A future that never pauses uses its task's whole budget: the time-out must not need any of it.
    let (mut future, mut too_late) = (pin!(Some(future)), pin!(unconstrained(sleep_until(deadline))));
    let ended = poll_fn(|cx| match catch_unwind(AssertUnwindSafe(|| poll_inside(future.as_mut(), cx))) {
        Ok(Poll::Ready(value)) => Poll::Ready(Ok(value)),
        Ok(Poll::Pending) => too_late.as_mut().poll(cx).map(|()| Err(timed_out())),
        Err(panic) => Poll::Ready(Err(panicked(&*panic))),
    })
    .await;
    match catch_unwind(AssertUnwindSafe(|| future.set(None))) {
        Ok(()) => ended,
        Err(panic) => Err(panicked(&*panic)),
    }
}

/// The failure of what was not answered in time.
pub(crate) fn timed_out() -> TargetError {
    TargetError::unanswered(FailKind::Timeout, "no answer within the time-out")
}

/// Runs a part of the engine itself: what it said, if it panicked.
pub(crate) async fn caught<T>(future: impl Future<Output = T>) -> Result<T, String> {
    let mut future = pin!(future);
    poll_fn(|cx| match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(cx))) {
        Ok(polled) => polled.map(Ok),
        Err(panic) => Poll::Ready(Err(message(&*panic))),
    })
    .await
}

/// Runs a task of the engine. If it panics, that is written down, and the run ends with what it has.
pub(crate) async fn watched<T>(
    task: impl Future<Output = T>,
    pulse: Arc<Pulse>,
    stop: StopHandle,
) -> Option<T> {
    let ended = caught(task).await;
    ended.inspect_err(|_| stop.give_up()).map_err(|panic| pulse.fail(panic)).ok()
}

/// Drops what is the workload's; the failure, if that panicked.
pub(crate) fn dropped<T>(value: T) -> Result<(), TargetError> {
    catch_unwind(AssertUnwindSafe(|| drop(value))).map_err(|panic| panicked(&*panic))
}

fn poll_inside<F: Future>(future: Pin<&mut Option<F>>, cx: &mut Context<'_>) -> Poll<F::Output> {
    future.as_pin_mut().map_or(Poll::Pending, |future| future.poll(cx))
}

fn panicked(panic: &(dyn Any + Send)) -> TargetError {
    TargetError::unanswered(FailKind::Panic, message(panic))
}

/// What a panic said.
pub(crate) fn message(panic: &(dyn Any + Send)) -> String {
    let text =
        panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("it panicked").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_task_that_panics_leaves_word_and_ends_the_run() {
        let (pulse, stop) = (Arc::new(Pulse::default()), StopHandle::default());
        let fine = watched(async { 7 }, Arc::clone(&pulse), stop.clone()).await;
        assert_eq!((fine, pulse.fault(), stop.ends()), (Some(7), None, false));
        let broken = async { assert!(std::hint::black_box(false), "out of step") };
        assert_eq!(watched(broken, Arc::clone(&pulse), stop.clone()).await, None);
        assert_eq!((pulse.fault(), stop.ends(), stop.is_stopped()), (Some("out of step"), true, false));
    }
}
