//! What a tracing layer sees of sqlx's own queries. One test: SQLite's statements are reported from a thread of sqlx's own, so the
//! subscriber is the whole process's.
#![cfg(all(feature = "postgres", feature = "sqlite", feature = "layer"))]

use offgridflow_query::{
    Acquire, ConnectionPool, GateConfig, Observer, ObserverLayer, PgGate, QueryScope, SqliteGate,
};
use sqlx::Executor;
use tracing::Instrument;
use tracing_subscriber::layer::SubscriberExt;

const SITES: &str = "CREATE TABLE sites (id BIGINT PRIMARY KEY, name TEXT NOT NULL)";
const BY_ID: &str = "SELECT name FROM sites WHERE id = $1";

/// Asks for six sites, one after the other, in a span within a scope; nothing in here knows of an observer.
macro_rules! n_plus_one {
    ($gate:expr) => {{
        let mut conn = $gate.acquire(Acquire::default()).await.unwrap();
        conn.execute(SITES).await.unwrap();
        let new = conn.execute("INSERT INTO sites VALUES (1, 'a'), (2, 'b')").await.unwrap();
        assert_eq!(new.rows_affected(), 2);
        let asking = async {
            for id in 0..6i64 {
                sqlx::query(BY_ID).bind(id).fetch_optional(&mut *conn).await.unwrap();
            }
        };
        // Within the scope: whoever opens the span before it leaves SQLite's statements outside.
        let asking = async { asking.instrument(tracing::info_span!("list_sites")).await };
        QueryScope::new().run(asking).await.1
    }};
}

#[tokio::test]
async fn a_layer_sees_every_statement_and_finds_n_plus_one_with_no_code_changed() {
    let observer = Observer::new("any");
    let subscriber = tracing_subscriber::registry().with(ObserverLayer::new(observer.clone()));
    tracing::subscriber::set_global_default(subscriber).unwrap();
    let database = testkit::postgres().create_database("layer").unwrap();
    let gate = PgGate::from_url(&database.url(), GateConfig::default()).unwrap();
    let of_postgres = n_plus_one!(gate);
    let of_sqlite = n_plus_one!(SqliteGate::from_url("sqlite::memory:", GateConfig::default()).unwrap());
    for asked in [of_postgres, of_sqlite] {
        let [found] = &asked.repeated[..] else { panic!("{asked:?}") };
        assert!(
            found.times == 6 && found.at.contains("`list_sites`") && found.at.contains("layer.rs"),
            "{found}"
        );
    }
    let statements = observer.report().statements;
    let of = |beginning: &str| statements.iter().find(|stats| stats.text.starts_with(beginning)).unwrap();
    let (read, written) = (of("select name from sites"), of("insert into sites"));
    assert_eq!((read.calls, read.rows), (12, 4), "rows that a read answered, not those changed before it");
    assert_eq!((written.calls, written.rows), (2, 4));
}
