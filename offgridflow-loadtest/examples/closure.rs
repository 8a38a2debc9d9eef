//! Any asynchronous closure under load: `cargo run -p offgridflow-loadtest --example closure`.

use std::{sync::Arc, time::Duration};

use offgridflow_loadtest::{LoadTest, Phase, ProgressLines, Rate, workload_fn};
use tokio::{sync::Semaphore, time::sleep};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    // Stands for a client with a pool of 20 connections.
    let pool = Arc::new(Semaphore::new(20));
    let query = workload_fn(move |op| {
        let pool = Arc::clone(&pool);
        async move {
            let _connection = pool.acquire().await?;
            op.mark(Phase::Admitted); // waiting for the pool ends, service begins
            op.route(if op.rng().chance(0.1) { "report" } else { "lookup" });
            sleep(Duration::from_millis(2 + op.rng().below(10))).await;
            Ok::<(), tokio::sync::AcquireError>(())
        }
    });

    let report = LoadTest::new(query.named("a pool of 20"))
        .rate(Rate::ramp(0.0, 1_000.0, Duration::from_secs(2)).hold(Duration::from_secs(3)))
        .threshold("p95(response) < 100ms")
        .threshold("p99(admission_wait) < 20ms")
        .reporter(ProgressLines::stderr())
        .run()
        .await?;
    println!("{report}");
    Ok(())
}
