//! What a request asked of the database, and N+1.
#![cfg(feature = "observe")]

use offgridflow_query::{Observer, QueryBudget, QueryScope};
use std::convert::Infallible;

const BY_ID: &str = "SELECT name FROM sites WHERE id = $1";

async fn ask(observer: &Observer, sql: &'static str) {
    observer.time(sql, async { Ok::<_, Infallible>(()) }).await.unwrap();
}

#[tokio::test]
async fn a_read_in_a_loop_is_found_with_its_place() {
    let observer = Observer::new("postgresql");
    let mut line = 0;
    let ((), report) = QueryScope::new()
        .run(async {
            observer.time("SELECT id FROM sites", async { Ok::<_, Infallible>(()) }).await.unwrap();
            for _ in 0..7 {
                line = line!() + 1;
                observer.time(BY_ID, async { Ok::<_, Infallible>(()) }).await.unwrap();
            }
        })
        .await;
    assert_eq!(report.statements, 8);
    let [found] = &report.repeated[..] else { panic!("{report:?}") };
    assert_eq!((found.times, found.text.as_str()), (7, "select name from sites where id = ?"));
    assert!(found.at.contains(&format!("scope.rs:{line}:")), "{}", found.at);
    assert_eq!(found.instead.as_deref(), Some("select name from sites where id in (...)"));
}

#[tokio::test]
async fn other_places_other_statements_writes_and_few_reads_are_none() {
    let observer = Observer::new("postgresql");
    let ((), report) = QueryScope::new()
        .run(async {
            for _ in 0..4 {
                observer.time(BY_ID, async { Ok::<_, Infallible>(()) }).await.unwrap();
            }
            for _ in 0..4 {
                observer.time(BY_ID, async { Ok::<_, Infallible>(()) }).await.unwrap();
            }
            for _ in 0..50 {
                ask(&observer, "UPDATE sites SET name = $1 WHERE id = $2").await;
            }
        })
        .await;
    assert_eq!((report.statements, report.repeated), (58, vec![]));
    let ((), report) = QueryScope::new()
        .repeated(4)
        .run(async {
            for _ in 0..4 {
                observer.time(BY_ID, async { Ok::<_, Infallible>(()) }).await.unwrap();
            }
        })
        .await;
    assert_eq!(report.repeated.len(), 1, "as often as asked for");
}

#[tokio::test]
async fn scopes_within_scopes_count_for_both_and_nothing_outside_counts() {
    let observer = Observer::new("sqlite");
    ask(&observer, BY_ID).await;
    let ((_, inner), outer) = QueryScope::new()
        .run(async {
            ask(&observer, BY_ID).await;
            let inner = QueryScope::new().run(ask(&observer, BY_ID)).await;
            tokio::spawn({
                let observer = observer.clone();
                async move { ask(&observer, BY_ID).await }
            })
            .await
            .unwrap();
            inner
        })
        .await;
    assert_eq!((inner.statements, outer.statements), (1, 2));
}

#[tokio::test]
async fn a_budget_names_what_it_was_spent_on() {
    let observer = Observer::new("sqlite");
    let spend = |times: u32| {
        let observer = observer.clone();
        async move {
            for _ in 0..times {
                ask(&observer, BY_ID).await;
            }
        }
    };
    QueryBudget::at_most(3).run(spend(3)).await.unwrap();
    let over = QueryBudget::at_most(3).run(spend(4)).await.unwrap_err().to_string();
    assert!(over.starts_with("4 statements were executed, 3 are allowed; 4 times from "), "{over}");
}

/// A request that takes its caller too long is dropped, and is the one that its findings are wanted of.
#[tokio::test]
async fn what_a_dropped_or_panicking_scope_found_is_kept() {
    let observer = Observer::new("postgresql");
    let looping = |observer: Observer| async move {
        for _ in 0..6 {
            observer.time(BY_ID, async { Ok::<_, Infallible>(()) }).await.unwrap();
        }
    };
    let dropped = QueryScope::new().run_for(&observer, async {
        looping(observer.clone()).await;
        std::future::pending::<()>().await;
    });
    assert!(tokio::time::timeout(std::time::Duration::from_millis(10), dropped).await.is_err());
    assert_eq!(observer.findings().len(), 1);
    let (panicking, inner) = (observer.clone(), observer.clone());
    let panics = tokio::spawn(async move {
        QueryScope::new()
            .run_for(&panicking, async {
                looping(inner.clone()).await;
                panic!("half-way");
            })
            .await
    });
    assert!(panics.await.is_err());
    QueryScope::new().run_for(&observer, looping(observer.clone())).await;
    assert_eq!(observer.findings()[0].scopes, 3);
}
