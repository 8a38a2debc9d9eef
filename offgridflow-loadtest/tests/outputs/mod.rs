//! Where reporters write in tests, and reports of every kind.
#![allow(dead_code, reason = "each test file uses a part")]

use std::{
    io::{self, Write},
    sync::{Arc, Mutex},
    time::Duration,
};

use offgridflow_loadtest::{
    Executor, FailKind, LoadTest, OnCap, Op, Outcome, Overload, Rate, Report, ShardCtx, TargetError, WarmUp,
    Workload, workload_fn,
};
use tokio::time::sleep;

/// Keeps what is written. Clones share it.
#[derive(Clone, Default)]
pub(crate) struct Kept(Arc<Mutex<Vec<u8>>>);

impl Kept {
    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.0.lock().expect("lock").clone()).expect("text")
    }
}

impl Write for Kept {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("lock").extend_from_slice(text);
        Ok(text.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A disk without room.
pub(crate) struct Full;

impl Write for Full {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        Err(io::ErrorKind::StorageFull.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

pub(crate) const SECOND: Duration = Duration::from_secs(1);

pub(crate) fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// Two routes, one of them slow; of a hundred one fails and one is never answered.
pub(crate) fn mixed() -> LoadTest<impl Workload> {
    let work = workload_fn(|op| async move {
        op.route(if op.index() % 5 == 0 { "GET /slow{id} \"<&" } else { "fast" });
        match op.index() % 100 {
            7 => return Err("a \"bad\" <answer> & more\\\u{1}"),
            8 => std::future::pending().await,
            n => sleep(ms(if n % 5 == 0 { 40 } else { 4 })).await,
        }
        Ok(())
    });
    LoadTest::new(work.named("kettle & \"pot\"")).rate(Rate::constant(200.0, SECOND * 20)).timeout(ms(300))
}

struct Unreachable;

impl Workload for Unreachable {
    type Session = ();
    async fn open(&self, _: &ShardCtx) -> Result<(), TargetError> {
        Err(TargetError::unanswered(FailKind::Connect, "refused"))
    }
    async fn call(&self, (): &mut (), _: &mut Op) -> Outcome {
        Outcome::ok()
    }
}

/// One of each way in which a run comes out.
pub(crate) async fn all() -> Vec<Report> {
    let fine = || workload_fn(|_| sleep(ms(5)));
    let rate = |per_sec| Rate::constant(per_sec, SECOND * 5);
    let stopped = LoadTest::new(fine()).rate(rate(100.0));
    let stop = stopped.stop_handle();
    tokio::spawn(async move {
        sleep(SECOND * 2).await;
        stop.stop();
    });
    vec![
        mixed().threshold("failure_ratio < 5%").warm_up(WarmUp::For(SECOND)).run_here().await,
        mixed().threshold("p95(response) < 10ms").deadline(ms(100), Overload::Queue).run_here().await,
        mixed().abort_if("failure_ratio[2s] > 0.5%").run_here().await,
        LoadTest::new(Unreachable).rate(rate(100.0)).run_here().await,
        LoadTest::new(workload_fn(|_| std::future::pending::<()>()))
            .rate(rate(100.0))
            .timeout(ms(50))
            .run_here()
            .await,
        LoadTest::new(fine()).rate(rate(10.0)).run_here().await,
        LoadTest::new(workload_fn(|_| sleep(SECOND)))
            .rate(rate(100.0))
            .max_in_flight(5, OnCap::CountAsFailure)
            .run_here()
            .await,
        LoadTest::new(fine()).executor(Executor::closed(4, SECOND * 5)).run_here().await,
        stopped.run_here().await,
    ]
    .into_iter()
    .map(|report| report.expect("runs"))
    .collect()
}
