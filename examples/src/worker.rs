//! The `worker` role: drains the table of jobs, beside as many others as one likes.

use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::time::timeout;

use crate::ledger::Ledger;
use crate::store::Job;

/// Pause when there is nothing to do, and after a failure.
const PAUSE: Duration = Duration::from_millis(500);

/// Works until `stop` says so; what is under way is finished first.
pub async fn run(ledger: &Ledger, mut stop: watch::Receiver<bool>) {
    while !*stop.borrow() {
        let began = Instant::now();
        match ledger.store().work().await {
            Ok(Some(job)) => done(ledger, &job, began.elapsed()).await,
            Ok(None) => idle(ledger, &mut stop).await,
            Err(error) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "a job failed");
                metrics::counter!("offgridflow_worker_jobs_total", "queue" => "recalculate", "outcome" => "failed").increment(1);
                pause(&mut stop).await;
            }
        }
    }
}

async fn done(ledger: &Ledger, job: &Job, took: Duration) {
    ledger.forget_totals(&job.tenant).await;
    metrics::counter!("offgridflow_worker_records_total", "queue" => "recalculate")
        .increment(job.recalculated as u64);
    metrics::histogram!("offgridflow_worker_job_duration_seconds", "queue" => "recalculate")
        .record(took.as_secs_f64());
    if job.finished {
        metrics::counter!("offgridflow_worker_jobs_total", "queue" => "recalculate", "outcome" => "done")
            .increment(1);
    }
}

async fn idle(ledger: &Ledger, stop: &mut watch::Receiver<bool>) {
    if let Ok(depth) = ledger.store().queue_depth().await {
        let depth = u32::try_from(depth).unwrap_or(u32::MAX);
        metrics::gauge!("offgridflow_worker_queue_depth", "queue" => "recalculate").set(f64::from(depth));
    }
    pause(stop).await;
}

async fn pause(stop: &mut watch::Receiver<bool>) {
    let _ = timeout(PAUSE, stop.wait_for(|stop| *stop)).await;
}
