//! A log replayed against a closure: `cargo run -p offgridflow-loadtest --example replay`.

use std::{sync::Arc, time::Duration};

use offgridflow_loadtest::{Executor, LoadTest, LogFormat, Phase, Replay, workload_fn};
use tokio::time::sleep;

/// Combined Log Format; `Replay::builder(…).open("access.log")` reads a file.
const LOG: &str = r#"
10.0.0.7 - - [10/Oct/2000:13:55:36 -0700] "GET /sites/17 HTTP/1.1" 200 2326 "-" "curl/8.5"
10.0.0.8 - - [10/Oct/2000:13:55:36 -0700] "GET /sites/4 HTTP/1.1" 200 2326 "-" "curl/8.5"
10.0.0.7 - - [10/Oct/2000:13:55:36 -0700] "POST /activities HTTP/1.1" 201 17 "-" "curl/8.5"
10.0.0.9 - - [10/Oct/2000:13:55:38 -0700] "GET /sites/17 HTTP/1.1" 200 2326 "-" "curl/8.5"
10.0.0.7 - - [10/Oct/2000:13:55:39 -0700] "POST /activities HTTP/1.1" 201 17 "-" "curl/8.5"
"#;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let replay = Arc::new(Replay::builder(LogFormat::Common).speed(4.0).read(LOG.as_bytes())?);
    println!("{}", replay.summary());

    let log = Arc::clone(&replay);
    let service = workload_fn(move |op| {
        let log = Arc::clone(&log);
        async move {
            let entry = log.entry(op.index()).ok_or("the log has ended")?;
            op.mark(Phase::Admitted);
            match entry.method() {
                Some("POST") => {
                    op.route("write");
                    sleep(Duration::from_millis(8)).await; // your client's call, with entry.path()
                }
                _ => {
                    op.route("read");
                    sleep(Duration::from_millis(2)).await;
                }
            }
            Ok::<(), &str>(())
        }
    });

    let report = LoadTest::new(service.named("a service")).executor(Executor::replay(replay)).run().await?;
    println!("{report}");
    Ok(())
}
