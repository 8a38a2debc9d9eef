//! A scope around each request of a tower service, however the request ends.
#![cfg(feature = "tower")]

use offgridflow_query::{Observer, QueryScopeLayer};
use std::convert::Infallible;
use std::time::Duration;
use tower::{Service, ServiceBuilder, ServiceExt, service_fn};

const BY_ID: &str = "SELECT name FROM sites WHERE id = $1";

fn ask(observer: &Observer, times: u32) {
    for _ in 0..times {
        observer.start(BY_ID).succeeded(1);
    }
}

#[tokio::test]
async fn a_request_that_is_given_up_keeps_what_it_found() {
    let observer = Observer::new("postgresql");
    let asking = observer.clone();
    let slow = service_fn(move |()| {
        let observer = asking.clone();
        async move {
            ask(&observer, 9);
            std::future::pending::<Result<(), Infallible>>().await
        }
    });
    let mut service = ServiceBuilder::new().layer(QueryScopeLayer::new(observer.clone())).service(slow);
    let given_up = tokio::time::timeout(Duration::from_millis(10), service.ready().await.unwrap().call(()));
    assert!(given_up.await.is_err());
    assert_eq!(observer.findings().iter().map(|one| one.worst.times).collect::<Vec<_>>(), [9]);
}

/// Some services ask while they make their future.
#[tokio::test]
async fn what_is_asked_before_there_is_a_future_belongs_to_the_request() {
    let observer = Observer::new("postgresql");
    let asking = observer.clone();
    let eager = service_fn(move |()| {
        ask(&asking, 6);
        std::future::ready(Ok::<_, Infallible>(()))
    });
    let mut service = ServiceBuilder::new().layer(QueryScopeLayer::new(observer.clone())).service(eager);
    service.ready().await.unwrap().call(()).await.unwrap();
    assert_eq!(observer.findings().len(), 1);
}
