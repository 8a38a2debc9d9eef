//! A target frozen for a part of the run comes back as the percentiles that arithmetic gives.
#![cfg(feature = "http")]

mod common;

use std::time::{Duration, Instant};

use offgridflow_loadtest::{HttpTarget, LoadTest, OnCap, Quantile, Rate, Report, workload_fn};

fn seconds(quantile: Quantile) -> f64 {
    quantile.value().expect("measured").as_secs_f64()
}

/// Of 20 s at a steady rate, frozen for the 2 s from 9 s on: a tenth of all operations waits, evenly from 0 to
/// 2 s, so p95 = 1.00 s, p99 = 1.80 s, p99.9 = 1.98 s.
async fn frozen_in_virtual_time(rate: f64) -> Report {
    let origin = tokio::time::Instant::now();
    let freeze = 9.0..11.0;
    let target = workload_fn(move |_op| {
        let freeze = freeze.clone();
        async move {
            if freeze.contains(&origin.elapsed().as_secs_f64()) {
                tokio::time::sleep_until(origin + Duration::from_secs_f64(freeze.end)).await;
            }
        }
    });
    let test = LoadTest::new(target).rate(Rate::constant(rate, Duration::from_secs(20)));
    test.max_in_flight(10_000, OnCap::CountAsFailure).run_here().await.expect("runs")
}

#[tokio::test(start_paused = true)]
async fn a_frozen_closure_is_as_slow_as_arithmetic_says() {
    for rate in [200.0, 2_000.0] {
        let report = frozen_in_virtual_time(rate).await;
        let response = report.total.response;
        for (measured, truth) in [(response.p95, 1.0), (response.p99, 1.8), (response.p999, 1.98)] {
            let measured = seconds(measured);
            assert!((measured / truth - 1.0).abs() < 0.02, "{measured} against {truth}\n{report}");
        }
        assert!(report.verdict.is_valid(), "{report}");
        assert_eq!(report.achieved_share, Some(1.0));
    }
}

/// The same against a real server: 4 s at 250/s, frozen half a second (an eighth waits, evenly).
#[test]
fn a_frozen_http_server_is_as_slow_as_arithmetic_says() {
    let (total, freeze) = (4.0, 0.5);
    // A run that says of itself that the machine was too busy to generate the load is repeated.
    let mut runs = std::iter::repeat_with(|| frozen_server(total, freeze)).take(5);
    let report = runs.find(|report| report.verdict.is_valid()).expect("one valid run of five");
    // The quantile q is waited for by a share 1 − q: freeze − (1 − q) × total.
    let response = report.total.response;
    for (measured, q) in [(response.p90, 0.90), (response.p95, 0.95), (response.p99, 0.99)] {
        let (measured, truth) = (seconds(measured), freeze - (1.0 - q) * total);
        assert!((measured - truth).abs() < 0.05, "{measured} against {truth}\n{report}");
    }
    let service = seconds(report.total.service.p99);
    assert!(service > 0.4, "the freeze is the target's, not the generator's\n{report}");
}

fn frozen_server(total: f64, freeze: f64) -> Report {
    let server = common::Server::start();
    let target = HttpTarget::new(&server.url()).expect("a valid url");
    let test = LoadTest::new(target).rate(Rate::constant(250.0, Duration::from_secs_f64(total)));
    std::thread::scope(|scope| {
        let begun = Instant::now();
        let run = scope.spawn(|| {
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().build().expect("runtime");
            runtime.block_on(test.run()).expect("runs")
        });
        while server.requests() < 250 {
            assert!(begun.elapsed() < Duration::from_secs(30), "the load arrives");
            std::thread::sleep(Duration::from_millis(1));
        }
        server.freeze(Duration::from_secs_f64(freeze));
        run.join().expect("no panic")
    })
}
