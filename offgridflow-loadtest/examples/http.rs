//! A mixed HTTP load with generated paths and bodies, against a URL given on the command line:
//! `cargo run -p offgridflow-loadtest --example http -- http://127.0.0.1:8080`.

use std::{process::ExitCode, time::Duration};

use offgridflow_loadtest::{HttpRoute, HttpTarget, LoadTest, OnCap, ProgressLines, Rate};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<ExitCode, Box<dyn std::error::Error>> {
    let url = std::env::args().nth(1).ok_or("give the URL of a server, for example http://127.0.0.1:8080")?;
    let target = HttpTarget::new(&url)?
        .header("accept", "application/json")?
        .route(HttpRoute::get("/").weight(7))
        .route(
            HttpRoute::get("/items/{id}")
                .path_with(|op| format!("/items/{}", op.rng().below(1_000)))
                .weight(2),
        )
        .route(
            HttpRoute::post("/items")
                .header("content-type", "application/json")?
                .body_with(|op| format!(r#"{{"id":{},"litres":{}}}"#, op.index(), 1 + op.rng().below(90))),
        );

    let report = LoadTest::new(target)
        .rate(Rate::constant(500.0, Duration::from_secs(5)))
        .max_in_flight(500, OnCap::CountAsFailure)
        .timeout(Duration::from_secs(2))
        .threshold("p95(response) < 100ms")
        .threshold("failure_ratio < 1%")
        .reporter(ProgressLines::stderr())
        .run()
        .await?;
    println!("{report}");
    Ok(ExitCode::from(report.exit_code()))
}
