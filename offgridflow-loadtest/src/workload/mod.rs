//! What a run does over and over: any asynchronous operation.

mod dynamic;

use std::{future::Future, marker::PhantomData, sync::Arc, time::Duration};

pub use dynamic::{BoxFuture, BoxSession, BoxWorkload, DynWorkload};

use crate::{
    op::Op,
    outcome::{IntoOutcome, Outcome, TargetError},
    route::{RouteId, RouteTable},
};

/// Where a session lives: its shard, and the run's table of routes.
#[derive(Debug, Clone)]
pub struct ShardCtx {
    pub(crate) shard: usize,
    pub(crate) shards: usize,
    pub(crate) session: u64,
    pub(crate) routes: Arc<RouteTable>,
}

impl ShardCtx {
    /// Which shard, from 0.
    #[must_use]
    pub fn shard(&self) -> usize {
        self.shard
    }

    /// How many shards the run has.
    #[must_use]
    pub fn shards(&self) -> usize {
        self.shards
    }

    /// A number for this session, unique in the shard; sessions opened again get a new one.
    #[must_use]
    pub fn session(&self) -> u64 {
        self.session
    }

    /// The id of a route name, for [`Op::set_route`].
    #[must_use]
    pub fn route(&self, name: &str) -> RouteId {
        self.routes.id(name)
    }
}

/// An operation under load, statically dispatched.
///
/// The engine opens a session for each operation that may be in flight at a time (a connection, a logged-in
/// user), calls it for one operation after another, and closes it at the end. Sessions of a shard live on one
/// thread; many `call`s of a shard are in progress at a time, so a `call` that computes for long, or blocks,
/// delays the others and shows up as dispatch lag.
///
/// # Cancel safety
/// `open` and `call` are dropped at the time-out or when the run is stopped; a session whose `call` was
/// dropped, panicked, or lost its answer is dropped too and never called again, and `close` is not called for it.
pub trait Workload: Send + Sync + 'static {
    /// What outlives an operation: a connection, cookies, prepared statements.
    type Session: Send;

    /// Opens a session. Its time counts as admission wait of the operation that needed it.
    ///
    /// # Errors
    /// [`TargetError`]: the operation fails without an answer, and the next one tries again.
    fn open(&self, ctx: &ShardCtx) -> impl Future<Output = Result<Self::Session, TargetError>> + Send;

    /// Runs one operation to its end.
    fn call(&self, session: &mut Self::Session, op: &mut Op) -> impl Future<Output = Outcome> + Send;

    /// The names of all routes, where they are known before the run; thresholds are checked against them. Empty, the
    /// default: operations name theirs as they go ([`Op::route`]), and one that fails before it did so has none.
    fn routes(&self) -> Vec<String> {
        Vec::new()
    }

    /// Which of [`routes`](Self::routes) an operation takes, as their index. Asked before anything else happens to the operation,
    /// so that one that is refused, shed, or never gets a session counts on its route too; [`call`](Self::call) finds
    /// it in [`Op::picked`]. An index beyond them is a failure of the operation, under the cause `panic`. Draw from [`Op::rng`], so that the choice is the same in every run. Not asked without routes.
    fn pick(&self, op: &Op) -> usize {
        let _ = op;
        0
    }

    /// The names of what operations consist of, where they have several requests each; thresholds on them are checked against these.
    /// An operation tells of them by [`Op::begin_step`] and [`Op::end_step`]. At most [`MAX_STEPS`](crate::MAX_STEPS).
    ///
    /// A step has a service time and no response time: when it should have begun follows from the step before it and from no schedule, and who
    /// waits for it waits since the operation's intended start.
    fn steps(&self) -> Vec<String> {
        Vec::new()
    }

    /// The trace that operation `index` is sent with, if it is: the report names those of the slowest operations. None by default.
    fn trace_id(&self, index: u64) -> Option<String> {
        let _ = index;
        None
    }

    /// Ends a session in good order; errors are its own affair. Bounded by the run's time-out.
    fn close(&self, session: Self::Session) -> impl Future<Output = ()> + Send {
        async move { drop(session) }
    }

    /// Looks at the target before a run without putting load on it: resolves its name, connects once, reads its configuration.
    /// Says what it found, or why a run cannot work.
    ///
    /// # Errors
    /// A sentence for people.
    fn check(&self) -> impl Future<Output = Result<String, String>> + Send {
        std::future::ready(Ok(String::new()))
    }

    /// What one operation takes of the thread that sends it, in CPU time, for the check before the run: measured on this machine in
    /// at most 200 ms, without the target. Called on a thread of its own outside
    /// any runtime, so it may block. `None`, the default: not known.
    fn cost(&self) -> Option<Duration> {
        None
    }

    /// How many file descriptors a session holds, for the check before the run.
    fn open_files(&self) -> u64 {
        0
    }

    /// What to note of a run when it is over, such as how many connections it took. Asked once, before the report is made.
    fn findings(&self) -> Vec<String> {
        Vec::new()
    }

    /// How to name the target in reports, without secrets.
    fn describe(&self) -> String {
        "workload".into()
    }
}

/// A shared workload, for whoever wants to look into it after the run.
impl<W: Workload> Workload for Arc<W> {
    type Session = W::Session;

    fn open(&self, ctx: &ShardCtx) -> impl Future<Output = Result<W::Session, TargetError>> + Send {
        (**self).open(ctx)
    }

    fn call(&self, session: &mut W::Session, op: &mut Op) -> impl Future<Output = Outcome> + Send {
        (**self).call(session, op)
    }

    fn routes(&self) -> Vec<String> {
        (**self).routes()
    }

    fn pick(&self, op: &Op) -> usize {
        (**self).pick(op)
    }

    fn steps(&self) -> Vec<String> {
        (**self).steps()
    }

    fn close(&self, session: W::Session) -> impl Future<Output = ()> + Send {
        (**self).close(session)
    }

    fn check(&self) -> impl Future<Output = Result<String, String>> + Send {
        (**self).check()
    }

    fn cost(&self) -> Option<Duration> {
        (**self).cost()
    }

    fn open_files(&self) -> u64 {
        (**self).open_files()
    }

    fn trace_id(&self, index: u64) -> Option<String> {
        (**self).trace_id(index)
    }

    fn findings(&self) -> Vec<String> {
        (**self).findings()
    }

    fn describe(&self) -> String {
        (**self).describe()
    }
}

/// A workload from a closure without sessions. See [`workload_fn`].
pub struct WorkloadFn<F, R> {
    call: F,
    name: String,
    routes: Vec<String>,
    pick: Option<Pick>,
    returns: PhantomData<fn() -> R>,
}

type Pick = Box<dyn Fn(&Op) -> usize + Send + Sync>;

/// Any asynchronous closure as a [`Workload`].
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use {offgridflow_loadtest::{LoadTest, Rate, workload_fn}, std::time::Duration};
/// let lookup = workload_fn(|op| async move {
///     op.route(if op.rng().chance(0.9) { "read" } else { "write" });
///     tokio::time::sleep(Duration::from_millis(1)).await;
///     Ok::<(), std::io::Error>(())
/// });
/// let report = LoadTest::new(lookup).rate(Rate::constant(2_000.0, Duration::from_millis(300))).run().await?;
/// assert_eq!(report.total.answered, 600);
/// # Ok(()) }
/// ```
pub fn workload_fn<F, Fut, R>(call: F) -> WorkloadFn<F, R>
where
    F: Fn(Op) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = R> + Send,
    R: IntoOutcome + Send + 'static,
{
    WorkloadFn { call, name: "closure".into(), routes: Vec::new(), pick: None, returns: PhantomData }
}

impl<F, R> WorkloadFn<F, R> {
    /// How to name it in reports.
    #[must_use]
    pub fn named(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// Its routes, and which of them (an index) an operation takes, decided before it begins: one that is refused at the
    /// cap or shed counts on its route too, and thresholds on other routes are refused before the run. The closure
    /// finds the choice in [`Op::picked`]. An index beyond the names is a failed operation, under the cause `panic`; routes of one name count together.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use {offgridflow_loadtest::{LoadTest, Rate, workload_fn}, std::time::Duration};
    /// let work = workload_fn(|op| async move {
    ///     let wait = [1, 2][op.picked().unwrap_or(0)];
    ///     tokio::time::sleep(Duration::from_millis(wait)).await;
    /// });
    /// let work = work.routed(["read", "write"], |op| usize::from(op.rng().chance(0.1)));
    /// let report = LoadTest::new(work).rate(Rate::constant(1_000.0, Duration::from_millis(300))).run().await?;
    /// assert_eq!(report.route("read").map(|row| row.ok) > report.route("write").map(|row| row.ok), true);
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn routed<N: Into<String>>(
        mut self,
        names: impl IntoIterator<Item = N>,
        pick: impl Fn(&Op) -> usize + Send + Sync + 'static,
    ) -> Self {
        self.routes = names.into_iter().map(Into::into).collect();
        self.pick = Some(Box::new(pick));
        self
    }
}

impl<F, R> std::fmt::Debug for WorkloadFn<F, R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WorkloadFn").field("name", &self.name).finish_non_exhaustive()
    }
}

impl<F, Fut, R> Workload for WorkloadFn<F, R>
where
    F: Fn(Op) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = R> + Send,
    R: IntoOutcome + Send + 'static,
{
    type Session = ();

    async fn open(&self, _: &ShardCtx) -> Result<(), TargetError> {
        Ok(())
    }

    fn routes(&self) -> Vec<String> {
        self.routes.clone()
    }

    fn pick(&self, op: &Op) -> usize {
        self.pick.as_ref().map_or(0, |pick| pick(op))
    }

    async fn call(&self, (): &mut (), op: &mut Op) -> Outcome {
        (self.call)(op.hand_over()).await.into_outcome()
    }

    fn describe(&self) -> String {
        self.name.clone()
    }
}
