//! Work that a dropped caller must not cut in half.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::runtime::Handle;

/// Runs `work` in the caller's task while it is polled, and to its end in a task of its own if it is dropped before.
///
/// Costs one box and no thread hop when nobody drops it. Whatever `work` returns after a drop is dropped in that task,
/// so a connection goes back to its pool. Needs to be created inside a tokio runtime.
pub(crate) struct Finish<T: Send + 'static> {
    work: Option<Pin<Box<dyn Future<Output = T> + Send>>>, // `None` once ready
    runtime: Handle,
}

impl<T: Send + 'static> Finish<T> {
    pub(crate) fn new(work: impl Future<Output = T> + Send + 'static) -> Self {
        Self { work: Some(Box::pin(work)), runtime: Handle::current() }
    }
}

impl<T: Send + 'static> Future for Finish<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        let work = self.work.as_mut().expect("polled after it was ready");
        let done = std::task::ready!(work.as_mut().poll(cx));
        self.work = None;
        Poll::Ready(done)
    }
}

impl<T: Send + 'static> Drop for Finish<T> {
    fn drop(&mut self) {
        if let Some(work) = self.work.take() {
            self.runtime.spawn(async move { drop(work.await) });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::sync::oneshot;

    #[tokio::test]
    async fn dropped_work_still_ends() {
        let (go, gate) = oneshot::channel::<()>();
        let (done, ended) = oneshot::channel();
        let mut work = Box::pin(Finish::new(async move {
            gate.await.unwrap();
            done.send(()).unwrap();
        }));
        assert!(std::future::poll_fn(|cx| Poll::Ready(work.as_mut().poll(cx).is_pending())).await);
        drop(work);
        go.send(()).unwrap();
        ended.await.unwrap();
    }
}
