//! The `worker` role: drains the table of jobs, beside as many others as one likes.

use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::time::timeout;

use crate::ledger::Ledger;
use crate::store::Job;

/// Pause when there is nothing to do, and after a failure.
const PAUSE: Duration = Duration::from_millis(500);
/// How often the queue is looked at, and how long an answer is waited for.
const LOOK: Duration = Duration::from_secs(2);
/// The label of every figure here.
const QUEUE: (&str, &str) = ("queue", "recalculate");

/// Works until `stop` says so; what is under way is finished first.
pub async fn run(ledger: &Ledger, stop: watch::Receiver<bool>) {
    begin_at_zero();
    tokio::join!(work(ledger, stop.clone()), look(ledger, stop));
}

/// Tells the metrics recorder what the figures mean.
pub(crate) fn describe_metrics() {
    use metrics::{describe_counter, describe_gauge, describe_histogram};
    describe_counter!("offgridflow_worker_jobs_total", "Attempts at jobs, by how they ended.");
    describe_counter!("offgridflow_worker_records_total", "Activities recalculated.");
    describe_counter!("offgridflow_worker_retries_total", "Attempts at jobs that had failed before.");
    describe_histogram!("offgridflow_worker_job_duration_seconds", "How long portions of jobs took.");
    describe_gauge!("offgridflow_worker_in_flight", "Jobs this process is at.");
    describe_gauge!(
        "offgridflow_worker_queue_depth",
        "Jobs that wait or are under way, in all of the queue."
    );
    describe_gauge!(
        "offgridflow_worker_oldest_job_age_seconds",
        "How long ago the oldest of them was asked for."
    );
}

fn begin_at_zero() {
    for outcome in ["done", "failed"] {
        count_job(outcome, 0);
    }
    metrics::counter!("offgridflow_worker_records_total", &[QUEUE]).increment(0);
    metrics::counter!("offgridflow_worker_retries_total", &[QUEUE]).increment(0);
    metrics::gauge!("offgridflow_worker_in_flight", &[QUEUE]).set(0.0);
}

fn count_job(outcome: &'static str, times: u64) {
    metrics::counter!("offgridflow_worker_jobs_total", &[QUEUE, ("outcome", outcome)]).increment(times);
}

async fn work(ledger: &Ledger, mut stop: watch::Receiver<bool>) {
    let in_flight = metrics::gauge!("offgridflow_worker_in_flight", &[QUEUE]);
    while !*stop.borrow() {
        let began = Instant::now();
        let worked = ledger.store().work(|| in_flight.set(1.0)).await;
        match worked {
            Ok(Some(job)) => done(ledger, &job, began.elapsed()).await,
            Ok(None) => pause(&mut stop, PAUSE).await,
            Err(error) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "a job failed");
                count_job("failed", 1);
                in_flight.set(0.0);
                pause(&mut stop, PAUSE).await;
            }
        }
        in_flight.set(0.0);
    }
}

async fn done(ledger: &Ledger, job: &Job, took: Duration) {
    ledger.forget_totals(&job.tenant).await;
    metrics::counter!("offgridflow_worker_records_total", &[QUEUE]).increment(job.recalculated as u64);
    metrics::counter!("offgridflow_worker_retries_total", &[QUEUE]).increment(u64::from(job.attempts > 0));
    metrics::histogram!("offgridflow_worker_job_duration_seconds", &[QUEUE]).record(took.as_secs_f64());
    count_job("done", job.finished.into());
}

/// Says how long the queue is, also while its jobs are worked at.
async fn look(ledger: &Ledger, mut stop: watch::Receiver<bool>) {
    let depth = metrics::gauge!("offgridflow_worker_queue_depth", &[QUEUE]);
    let age = metrics::gauge!("offgridflow_worker_oldest_job_age_seconds", &[QUEUE]);
    while !*stop.borrow() {
        match timeout(LOOK, ledger.store().queue()).await {
            Ok(Ok(queue)) => {
                depth.set(queue.depth as f64);
                age.set(queue.oldest.as_secs_f64());
            }
            // What it was is not what it is: nobody knows.
            Ok(Err(_)) | Err(_) => [&depth, &age].into_iter().for_each(|gauge| gauge.set(f64::NAN)),
        }
        pause(&mut stop, LOOK).await;
    }
}

async fn pause(stop: &mut watch::Receiver<bool>, time: Duration) {
    let _ = timeout(time, stop.wait_for(|stop| *stop)).await;
}
