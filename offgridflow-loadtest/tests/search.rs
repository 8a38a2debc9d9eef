//! A search finds the rate of a target whose limit is known: the engine in virtual time, and the command against a server (promise L7; the
//! statistics of it are tested in `src/search/tests`).

use std::{sync::Arc, time::Duration};

use offgridflow_loadtest::{LimitedBy, LoadTest, OnCap, Op, Rate, Search, workload_fn};
use tokio::{sync::Semaphore, time::sleep};

/// Workers that take 20 ms each: 50 a second.
fn pool(workers: usize) -> impl Fn(Op) -> futures::Answer + Clone + Send + Sync + 'static {
    let pool = Arc::new(Semaphore::new(workers));
    move |_op| {
        let pool = Arc::clone(&pool);
        Box::pin(async move {
            let _worker = pool.acquire_owned().await.expect("open");
            sleep(Duration::from_millis(20)).await;
        })
    }
}

mod futures {
    pub(super) type Answer = std::pin::Pin<Box<dyn Future<Output = ()> + Send>>;
}

#[tokio::test(start_paused = true)]
async fn the_engine_finds_what_a_pool_of_workers_can_do() {
    for (workers, limit) in [(2, 100.0), (30, 1_500.0)] {
        let ask = pool(workers);
        let found = Search::default()
            .run_here(|trial| {
                LoadTest::new(workload_fn(ask.clone()))
                    .rate(Rate::constant(trial.rate, trial.length))
                    .max_in_flight(4_096, OnCap::CountAsFailure)
                    .threshold("p95(response) < 100ms")
            })
            .await
            .expect("a search");
        let rate = found.rate.expect("a limit");
        assert!((rate / limit - 1.0).abs() < 0.05, "{found}");
        assert!(found.steps.len() <= 14 && found.confirmed, "{found}");
        assert!(matches!(&found.limited_by, LimitedBy::Target(_)), "{found}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_cap_below_what_the_slo_allows_is_named_and_not_the_target() {
    let found = Search::default()
        .to(2_000.0)
        .run_here(|trial| {
            LoadTest::new(workload_fn(|_op| sleep(Duration::from_millis(50))))
                .rate(Rate::constant(trial.rate, trial.length))
                .max_in_flight(20, OnCap::CountAsFailure)
                .threshold("p95(response) < 1s")
                .threshold("failure_ratio < 100%")
        })
        .await
        .expect("a search");
    assert!(
        matches!(&found.limited_by, LimitedBy::Generator(why) if why.contains("concurrent_workers")),
        "{found}"
    );
    assert_eq!(found.exit_code(), 3);
}

#[cfg(feature = "cli")]
mod command {
    use std::{
        net::SocketAddr,
        process::{Command, Output},
        sync::Mutex,
        thread,
        time::{Duration, Instant},
    };

    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::{TcpListener, TcpStream},
    };

    /// A server that answers so many a second and no more, one after the other, until the test ends.
    fn capped(per_sec: f64) -> SocketAddr {
        let (bound, is_bound) = std::sync::mpsc::channel();
        thread::spawn(move || {
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().build().expect("runtime");
            runtime.block_on(async {
                let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
                bound.send(listener.local_addr().expect("address")).expect("tell");
                let next: &Mutex<Instant> = Box::leak(Box::new(Mutex::new(Instant::now())));
                while let Ok((stream, _)) = listener.accept().await {
                    tokio::spawn(serve(stream, next, Duration::from_secs_f64(1.0 / per_sec)));
                }
            });
        });
        is_bound.recv().expect("the server starts")
    }

    async fn serve(mut stream: TcpStream, next: &Mutex<Instant>, each: Duration) {
        let _ = stream.set_nodelay(true);
        let mut request = [0; 4_096];
        while let Ok(1..) = stream.read(&mut request).await {
            let turn = {
                let mut next = next.lock().expect("lock");
                *next = (*next + each).max(Instant::now());
                *next
            };
            // What has its turn now is not made to wait for a timer of a millisecond.
            if turn > Instant::now() {
                tokio::time::sleep_until(turn.into()).await;
            }
            if stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello").await.is_err() {
                return;
            }
        }
    }

    fn run(arguments: &[&str]) -> (i32, String, String) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_offgridflow-loadtest"));
        let Output { status, stdout, stderr } = command.args(arguments).output().expect("the command runs");
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
        (status.code().expect("a code"), text(stdout), text(stderr))
    }

    fn found(json: &str) -> serde_json::Value {
        serde_json::from_str(json).expect("JSON")
    }

    #[test]
    fn a_capped_server_is_found_with_steps_shown_and_json_written() {
        let url = format!("http://{}", capped(400.0));
        let arguments = ["search", &url, "-t", "p95(response) < 100ms", "--json", "-", "--step", "2s"];
        let quick = [
            "--confirm",
            "2s",
            "--cool-down",
            "100ms",
            "--tolerance",
            "10%",
            "--from",
            "200",
            "--longest-step",
            "4s",
        ];
        let (code, out, err) = run(&[&arguments[..], &quick[..]].concat());
        assert!(err.contains("highest rate") && err.contains("limited by"), "{out}{err}");
        let json = found(&out);
        assert_eq!(json["schema"], "offgridflow-loadtest.search/1");
        let rate = json["found"]["rate"].as_f64().unwrap_or(0.0);
        // The machine may be too busy to generate the load, which the search then says.
        let limited = json["found"]["limited_by"]["is"] == "generator";
        assert!(limited && code == 3 || (rate / 400.0 - 1.0).abs() < 0.15, "{code} {err}");
    }

    #[test]
    fn a_search_for_nothing_and_a_rate_beside_it_are_refused() {
        let (code, _, err) = run(&["search", "http://127.0.0.1:9"]);
        assert!(code == 2 && err.contains("say what has to hold"), "{err}");
        let (code, _, err) =
            run(&["search", "http://127.0.0.1:9", "--rate", "5", "-t", "p95(response) < 1s"]);
        assert!(code == 2 && err.contains("--rate"), "{err}");
        let (code, _, err) =
            run(&["search", "http://127.0.0.1:9", "-t", "p95(response) < 1s", "--tolerance", "0%"]);
        assert!(code == 2 && err.contains("tolerance"), "{err}");
    }

    /// Prints a line for `scripts/verify/L7.sh`.
    #[test]
    #[ignore = "two minutes: scripts/verify.sh loadtest --only L7"]
    fn a_loopback_server_capped_at_5000_a_second_is_found_within_3_percent_in_120_s() {
        let url = format!("http://{}", capped(5_000.0));
        let began = Instant::now();
        let slo = ["search", &url, "-t", "p95(response) < 100ms", "--json", "-", "--from", "400"];
        let quick = ["--step", "3s", "--longest-step", "12s", "--confirm", "6s", "--cool-down", "500ms"];
        let (code, out, err) = run(&[&slo[..], &quick[..]].concat());
        eprintln!("{err}");
        let rate = found(&out)["found"]["rate"].as_f64().unwrap_or(0.0);
        println!(
            "LOOPBACK code={code} rate={rate:.0} off={:.2} seconds={:.0}",
            (rate / 50.0 - 100.0).abs(),
            began.elapsed().as_secs_f64()
        );
    }
}
