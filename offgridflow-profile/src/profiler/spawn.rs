use tokio::task::JoinHandle;

use super::Profiler;
use crate::Profiled;

impl Profiler {
    /// Spawns a task on tokio's runtime that is counted under `name` and the place of this call: `tokio::spawn` and [`Profiled::profiled`] in one.
    /// Dropping the handle detaches the task, as with tokio's own.
    ///
    /// # Panics
    ///
    /// Outside of a runtime, as `tokio::spawn` does.
    ///
    /// ```
    /// use offgridflow_profile::{Profiler, tasks};
    /// # let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    /// # runtime.block_on(async {
    /// let profiler = Profiler::builder().start()?;
    /// let worker = profiler.spawn("importer", async { 7 });
    /// assert_eq!(tasks().into_iter().find(|site| site.name == "importer").unwrap().live, 1);
    /// assert_eq!(worker.await.unwrap(), 7);
    /// # Ok::<(), offgridflow_profile::ProfileError>(())
    /// # }).unwrap();
    /// ```
    #[track_caller]
    pub fn spawn<F>(&self, name: &'static str, future: F) -> JoinHandle<F::Output>
    where
        F: Future<Output: Send> + Send + 'static,
    {
        tokio::spawn(future.profiled(name))
    }
}
