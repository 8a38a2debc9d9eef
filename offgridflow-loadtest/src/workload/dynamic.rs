//! Workloads chosen at run time.

use std::{any::Any, pin::Pin, time::Duration};

use super::{ShardCtx, Workload};
use crate::{
    op::Op,
    outcome::{FailKind, Outcome, TargetError},
};

/// A boxed future, as object-safe traits need it.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// The object-safe twin of [`Workload`], which every workload has: for lists of workloads, and for those that
/// are chosen at run time. It costs one allocation an operation.
///
/// ```
/// use offgridflow_loadtest::{BoxWorkload, LoadTest, Rate, workload_fn};
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let fast: BoxWorkload = Box::new(workload_fn(|_op| async {}).named("fast"));
/// let slow: BoxWorkload = Box::new(workload_fn(|_op| tokio::time::sleep(std::time::Duration::from_millis(2))));
/// for workload in [fast, slow] {
///     let rate = Rate::constant(1_000.0, std::time::Duration::from_millis(300));
///     assert_eq!(LoadTest::new(workload).rate(rate).run().await?.offered, 300);
/// }
/// # Ok(()) }
/// ```
pub trait DynWorkload: Send + Sync {
    /// As [`Workload::open`].
    fn open_boxed<'a>(&'a self, ctx: &'a ShardCtx) -> BoxFuture<'a, Result<BoxSession, TargetError>>;

    /// As [`Workload::call`], on a session of this workload.
    fn call_boxed<'a>(&'a self, session: &'a mut BoxSession, op: &'a mut Op) -> BoxFuture<'a, Outcome>;

    /// As [`Workload::routes`].
    fn routes_boxed(&self) -> Vec<String>;

    /// As [`Workload::pick`].
    fn pick_boxed(&self, op: &Op) -> usize;

    /// As [`Workload::steps`].
    fn steps_boxed(&self) -> Vec<String>;

    /// As [`Workload::close`].
    fn close_boxed(&self, session: BoxSession) -> BoxFuture<'_, ()>;

    /// As [`Workload::check`].
    fn check_boxed(&self) -> BoxFuture<'_, Result<String, String>>;

    /// As [`Workload::cost`].
    fn cost_boxed(&self) -> Option<Duration>;

    /// As [`Workload::open_files`].
    fn open_files_boxed(&self) -> u64;

    /// As [`Workload::trace_id`].
    fn trace_id_boxed(&self, index: u64) -> Option<String>;

    /// As [`Workload::findings`].
    fn findings_boxed(&self) -> Vec<String>;

    /// As [`Workload::describe`].
    fn describe_boxed(&self) -> String;
}

/// A workload behind a pointer; a [`Workload`] itself.
pub type BoxWorkload = Box<dyn DynWorkload>;

/// A session of a boxed workload.
pub struct BoxSession(Box<dyn Any + Send>);

impl<W: Workload<Session: 'static>> DynWorkload for W {
    fn open_boxed<'a>(&'a self, ctx: &'a ShardCtx) -> BoxFuture<'a, Result<BoxSession, TargetError>> {
        Box::pin(async move { Ok(BoxSession(Box::new(self.open(ctx).await?))) })
    }

    fn call_boxed<'a>(&'a self, session: &'a mut BoxSession, op: &'a mut Op) -> BoxFuture<'a, Outcome> {
        Box::pin(async move {
            match session.0.downcast_mut::<W::Session>() {
                Some(session) => self.call(session, op).await,
                None => TargetError::unanswered(FailKind::App, "a session of another workload").into(),
            }
        })
    }

    fn routes_boxed(&self) -> Vec<String> {
        self.routes()
    }

    fn pick_boxed(&self, op: &Op) -> usize {
        self.pick(op)
    }

    fn steps_boxed(&self) -> Vec<String> {
        self.steps()
    }

    fn close_boxed(&self, session: BoxSession) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            if let Ok(session) = session.0.downcast::<W::Session>() {
                self.close(*session).await;
            }
        })
    }

    fn check_boxed(&self) -> BoxFuture<'_, Result<String, String>> {
        Box::pin(self.check())
    }

    fn cost_boxed(&self) -> Option<Duration> {
        self.cost()
    }

    fn open_files_boxed(&self) -> u64 {
        self.open_files()
    }

    fn trace_id_boxed(&self, index: u64) -> Option<String> {
        self.trace_id(index)
    }

    fn findings_boxed(&self) -> Vec<String> {
        self.findings()
    }

    fn describe_boxed(&self) -> String {
        self.describe()
    }
}

impl Workload for BoxWorkload {
    type Session = BoxSession;

    async fn open(&self, ctx: &ShardCtx) -> Result<BoxSession, TargetError> {
        (**self).open_boxed(ctx).await
    }

    async fn call(&self, session: &mut BoxSession, op: &mut Op) -> Outcome {
        (**self).call_boxed(session, op).await
    }

    fn routes(&self) -> Vec<String> {
        (**self).routes_boxed()
    }

    fn pick(&self, op: &Op) -> usize {
        (**self).pick_boxed(op)
    }

    fn steps(&self) -> Vec<String> {
        (**self).steps_boxed()
    }

    async fn close(&self, session: BoxSession) {
        (**self).close_boxed(session).await;
    }

    async fn check(&self) -> Result<String, String> {
        (**self).check_boxed().await
    }

    fn cost(&self) -> Option<Duration> {
        (**self).cost_boxed()
    }

    fn open_files(&self) -> u64 {
        (**self).open_files_boxed()
    }

    fn trace_id(&self, index: u64) -> Option<String> {
        (**self).trace_id_boxed(index)
    }

    fn findings(&self) -> Vec<String> {
        (**self).findings_boxed()
    }

    fn describe(&self) -> String {
        (**self).describe_boxed()
    }
}

impl std::fmt::Debug for BoxSession {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BoxSession").finish_non_exhaustive()
    }
}
