//! Tasks by the place that starts them, and waits by the place that waits. Counters only: nothing is kept a task.

mod future;
mod site;
mod wait;

pub use future::{Profiled, ProfiledFuture};
pub use site::{TaskSite, task_profile, tasks};
pub use wait::{WaitGuard, WaitSite, Waited, wait_profile, waits};
