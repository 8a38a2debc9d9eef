//! Tasks by the place that starts them, and waits by the place that waits. Counters only: nothing is kept a task.

mod awaiting;
mod future;
mod profile;
mod site;
mod wait;
mod waiting;

pub use future::{Profiled, ProfiledFuture};
pub use profile::{lock_profile, task_profile, wait_profile};
pub use site::{TaskSite, tasks};
pub use wait::{WaitGuard, WaitKind, WaitSite, Waited, waits};
pub use waiting::WaitingFuture;
