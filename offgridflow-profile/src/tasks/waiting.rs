use std::pin::Pin;
use std::task::{Context, Poll};

use pin_project_lite::pin_project;

use super::wait::{WaitGuard, WaitSite};

pin_project! {
    /// A future that counts as a wait from the first poll that does not end it; made by [`wait_site!`](crate::wait_site).
    #[derive(Debug)]
    #[must_use = "futures do nothing unless they are polled"]
    pub struct WaitingFuture<F> {
        #[pin]
        future: F,
        site: &'static WaitSite,
        waiting: Option<WaitGuard>,
    }
}

impl<F> WaitingFuture<F> {
    /// What `future` waits for is waited for at `site`.
    pub const fn new(site: &'static WaitSite, future: F) -> Self {
        Self { future, site, waiting: None }
    }
}

impl<F: Future> Future for WaitingFuture<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        let polled = this.future.poll(context);
        if polled.is_ready() {
            *this.waiting = None;
        } else if this.waiting.is_none() {
            *this.waiting = Some(this.site.enter());
        }
        polled
    }
}
