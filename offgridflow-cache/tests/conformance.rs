//! The checks pass over every store of ours, and each check finds a fault of its own.
#![cfg(feature = "conformance")]

#[path = "conformance/broken.rs"]
mod broken;
#[path = "conformance/defects.rs"]
mod defects;
#[path = "conformance/queued.rs"]
mod queued;

use std::collections::BTreeSet;
use std::sync::Arc;

use broken::Broken;
use defects::Defect;
use offgridflow_cache::conformance::{CHECKS, run};
use offgridflow_cache::{Breaker, Chaos, Faults, InProcess, Metered};
use queued::Queued;

#[tokio::test(start_paused = true)]
async fn the_store_in_the_process_conforms() {
    let report = run(Arc::new(InProcess::new())).await;
    assert!(report.passed(), "{report}");
}

#[cfg(feature = "redis")]
#[tokio::test]
async fn redis_conforms() {
    let store = offgridflow_cache::RedisBackend::connect(&testkit::redis().url()).unwrap();
    let report = run(Arc::new(store)).await;
    assert!(report.passed(), "{report}");
}

#[tokio::test(start_paused = true)]
async fn decorated_stores_conform() {
    let report = run(Arc::new(Metered::new(Breaker::new(InProcess::new())))).await;
    assert!(report.passed(), "{report}");
    let slow = Faults { slow: 0.5, slow_by: std::time::Duration::from_millis(1), ..Faults::default() };
    let report = run(Arc::new(Breaker::new(Chaos::new(InProcess::new(), 1, slow)))).await;
    assert!(report.passed(), "{report}");
}

#[tokio::test(start_paused = true)]
async fn a_store_whose_calls_wait_for_each_other_conforms() {
    let report = run(Arc::new(Queued::default())).await;
    assert!(report.passed(), "{report}");
}

#[tokio::test(start_paused = true)]
async fn a_store_that_fails_does_not_conform() {
    let faults = Faults { refused: 0.05, ..Faults::default() };
    let report = run(Arc::new(Chaos::new(InProcess::new(), 1, faults))).await;
    assert!(!report.passed());
}

#[tokio::test(start_paused = true)]
async fn the_model_without_a_defect_conforms() {
    let report = run(Arc::new(Broken::new(None))).await;
    assert!(report.passed(), "{report}");
}

#[tokio::test(start_paused = true)]
async fn each_check_alone_finds_a_defect() {
    let mut wrong = Vec::new();
    for defect in Defect::ALL {
        let report = run(Arc::new(Broken::new(Some(defect)))).await;
        if report.failed().collect::<Vec<_>>() != [defect.found_by()] {
            wrong.push(format!("{defect:?}, for {}: {report}", defect.found_by()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let covered: BTreeSet<_> = Defect::ALL.into_iter().map(Defect::found_by).collect();
    let all: BTreeSet<_> = CHECKS.iter().map(|check| check.name).collect();
    assert_eq!(covered, all, "every check has a defect that it alone finds");
}
