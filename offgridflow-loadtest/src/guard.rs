//! Running foreign code: bounded in time, and fenced against panics.

use std::{
    any::Any,
    future::poll_fn,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll, ready},
};

use tokio::{
    task::{Unconstrained, unconstrained},
    time::{Instant, Sleep, sleep_until},
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
    guarded_by(&mut TimeOut::default(), deadline, future).await
}

/// As [`guarded`], with a timer that lives on from one future to the next.
pub(crate) async fn guarded_by<T>(
    timer: &mut TimeOut,
    deadline: Instant,
    future: impl Future<Output = T>,
) -> Result<T, TargetError> {
    let mut future = pin!(Some(future));
    let ended = poll_fn(|cx| match catch_unwind(AssertUnwindSafe(|| poll_inside(future.as_mut(), cx))) {
        Ok(Poll::Ready(value)) => Poll::Ready(Ok(value)),
        Ok(Poll::Pending) => timer.poll(deadline, cx).map(|()| Err(timed_out())),
        Err(panic) => Poll::Ready(Err(panicked(&*panic))),
    })
    .await;
    match catch_unwind(AssertUnwindSafe(|| future.set(None))) {
        Ok(()) => ended,
        Err(panic) => Err(panicked(&*panic)),
    }
}

/// The timer of one task's time-outs. Most futures end long before theirs, and each begins after the one before: the timer stays set for a
/// past one's deadline and is set anew when it rings too early, so that next to none of them has it put into tokio's wheel and taken out again.
#[derive(Default)]
pub(crate) struct TimeOut(Option<Pin<Box<Unconstrained<Sleep>>>>);

impl TimeOut {
    /// Ready from `deadline` on, which lies no earlier than any before it.
    fn poll(&mut self, deadline: Instant, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            // A future that never pauses uses its task's whole budget: the time-out must not need any of it.
            let timer = self.0.get_or_insert_with(|| Box::pin(unconstrained(sleep_until(deadline))));
            ready!(timer.as_mut().poll(cx));
            self.0 = None;
            if Instant::now() >= deadline {
                return Poll::Ready(());
            }
        }
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
    use std::time::Duration;

    use super::*;

    /// Its timer rings for the first deadline and is set for the last.
    #[tokio::test(start_paused = true)]
    async fn a_timer_that_lives_on_rings_for_no_deadline_but_the_last() {
        let (mut timer, begun) = (TimeOut::default(), Instant::now());
        let ms = Duration::from_millis;
        for k in 0..50 {
            let deadline = begun + ms(100 + k * 10);
            let ended = guarded_by(&mut timer, deadline, tokio::time::sleep(ms(10))).await;
            assert_eq!(ended, Ok(()), "{k}");
        }
        let deadline = begun + ms(600);
        let ended = guarded_by(&mut timer, deadline, std::future::pending::<()>()).await;
        assert_eq!(ended.map_err(|error| error.kind), Err(FailKind::Timeout));
        assert!((600..=602).contains(&begun.elapsed().as_millis()), "{:?}", begun.elapsed());
    }

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
