use std::panic::Location;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Instant;

use pin_project_lite::pin_project;

use super::awaiting::Polling;
use super::site::Counters;

/// Counts a future as a task of the place that wraps it.
///
/// ```
/// use offgridflow_profile::{Profiled, tasks};
/// # let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
/// # runtime.block_on(async {
/// let worker = tokio::spawn(async { std::future::pending::<()>().await }.profiled("worker"));
/// tokio::task::yield_now().await;
///
/// let site = tasks().into_iter().find(|site| site.name == "worker").unwrap();
/// assert_eq!((site.live, site.polls), (1, 1));
/// println!("{} tasks from {}:{}, {:?} old on average", site.live, site.file, site.line, site.mean_age);
/// worker.abort();
/// # });
/// ```
pub trait Profiled: Future + Sized {
    /// Counted under `name` and the place of this call. Costs 24 bytes in the future and two looks at the clock a poll.
    #[track_caller]
    fn profiled(self, name: &'static str) -> ProfiledFuture<Self> {
        let site = Counters::of(name, Location::caller());
        ProfiledFuture {
            future: self,
            task: Task { site, born: site.start(), polled: false, completed: false },
        }
    }
}

impl<F: Future> Profiled for F {}

pin_project! {
    /// A future that is counted; see [`Profiled`].
    #[derive(Debug)]
    #[must_use = "futures do nothing unless they are polled"]
    pub struct ProfiledFuture<F> {
        #[pin]
        future: F,
        task: Task,
    }
}

#[derive(Debug)]
struct Task {
    site: &'static Counters,
    born: u64,
    polled: bool,
    completed: bool,
}

impl Drop for Task {
    fn drop(&mut self) {
        self.site.end(self.born, self.polled, self.completed);
    }
}

impl<F: Future> Future for ProfiledFuture<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        let site = this.task.site;
        let running = Running::begin(site, !std::mem::replace(&mut this.task.polled, true));
        let polled = this.future.poll(context);
        drop(running);
        this.task.completed |= polled.is_ready();
        polled
    }
}

/// A poll under way; it ends when this is dropped, also by a panic.
struct Running {
    site: &'static Counters,
    began: Instant,
    _polling: Polling,
}

impl Running {
    fn begin(site: &'static Counters, first: bool) -> Self {
        site.runs(first);
        Self { site, began: Instant::now(), _polling: Polling::begin(site) }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.site.polled(self.began.elapsed());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn p7_a_task_costs_no_more_than_32_bytes() {
        let bare = std::future::ready(7_u64);
        let size = size_of_val(&bare);
        assert!(size_of_val(&bare.profiled("size")) - size <= 32);
    }
}
