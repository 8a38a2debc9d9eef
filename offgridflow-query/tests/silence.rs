//! A link that goes silent, and neither answers nor breaks, is given up in time; what became of its COMMIT is asked.
#![cfg(feature = "postgres")]

use offgridflow_query::{BatchWriter, ConnectionPool, GateConfig, Outcome, PgGate, Retry, Tickets, Why, row};
use sqlx::{AssertSqlSafe, PgConnection, Row as _};
use std::time::Duration;
use testkit::Direction;

struct Reading {
    id: i64,
}
row!(Reading in "readings" { id });

/// A server whose clients come through a proxy, and somebody who sees it directly and holds the lock that the triggers of
/// `readings` take.
struct Scene {
    server: testkit::Postgres,
    proxy: testkit::FaultProxy,
    through: PgGate,
    holder: PgConnection,
}

impl Scene {
    /// With `trigger`, which calls `hold()`, on the table.
    async fn new(trigger: &str) -> Self {
        use sqlx::Connection as _;
        let server = testkit::Postgres::start().unwrap();
        let proxy = testkit::FaultProxy::start(server.addr()).unwrap();
        let url = server.url().replace(&server.addr().to_string(), &proxy.addr().to_string());
        let config = GateConfig {
            max_open: 1,
            acquire_timeout: Some(Duration::from_secs(1)),
            ..GateConfig::default()
        };
        let through = PgGate::from_url(&url, config).unwrap();
        let mut holder = PgConnection::connect(&server.url()).await.unwrap();
        // No key: what is written twice is there twice.
        let schema = format!(
            "CREATE TABLE readings (id INT8); CREATE FUNCTION hold() RETURNS trigger LANGUAGE plpgsql AS \
             $$ BEGIN PERFORM pg_advisory_xact_lock(1); RETURN NEW; END $$; {trigger}"
        );
        sqlx::raw_sql(AssertSqlSafe(schema)).execute(&mut holder).await.unwrap();
        Self { server, proxy, through, holder }
    }

    /// A row whose flush has come to where the trigger waits.
    async fn push(&mut self, writer: &BatchWriter<Reading>) -> Tickets<Reading> {
        sqlx::raw_sql("SELECT pg_advisory_lock(1)").execute(&mut self.holder).await.unwrap();
        let tickets = writer.push_many([Reading { id: 1 }]).await.unwrap();
        self.until("SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'advisory'").await;
        tickets
    }

    async fn release(&mut self) {
        sqlx::raw_sql("SELECT pg_advisory_unlock(1)").execute(&mut self.holder).await.unwrap();
    }

    /// Until `sql` counts something.
    async fn until(&mut self, sql: &'static str) {
        while self.number(sql).await == 0 {
            tokio::task::yield_now().await;
        }
    }

    async fn number(&mut self, sql: &'static str) -> i64 {
        sqlx::query(sql).fetch_one(&mut self.holder).await.unwrap().get(0)
    }

    fn writer(&self) -> BatchWriter<Reading> {
        let retry = Retry { budget: Duration::from_secs(20), attempts: 100, ..Retry::default() };
        let writer = BatchWriter::builder(self.through.clone()).retry(retry);
        writer.answer_timeout(PATIENCE).start().unwrap()
    }
}

const AT_COMMIT: &str = "CREATE CONSTRAINT TRIGGER late AFTER INSERT ON readings DEFERRABLE INITIALLY DEFERRED \
                         FOR EACH ROW EXECUTE FUNCTION hold()";
const AT_INSERT: &str = "CREATE TRIGGER early BEFORE INSERT ON readings FOR EACH ROW EXECUTE FUNCTION hold()";
/// At COMMIT for longer than it takes to freeze the server.
const SLOW_COMMIT: &str = "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(0.5); RETURN NEW; END $$; \
                           CREATE CONSTRAINT TRIGGER late AFTER INSERT ON readings DEFERRABLE INITIALLY DEFERRED \
                           FOR EACH ROW EXECUTE FUNCTION slow()";
const COUNT: &str = "SELECT count(*) FROM readings";
/// How long an answer is waited for.
const PATIENCE: Duration = Duration::from_millis(700);
/// Nobody waits for ever.
const LONG: Duration = Duration::from_secs(60);

#[tokio::test]
async fn a_commit_whose_answer_never_comes_is_known_by_its_transaction() {
    let mut scene = Scene::new(AT_COMMIT).await;
    let writer = scene.writer();
    let tickets = scene.push(&writer).await; // the server is at COMMIT
    scene.proxy.drop_direction(Direction::ToClient);
    scene.release().await;
    scene.until(COUNT).await; // it is through with it, and its answer is swallowed
    scene.proxy.restore();
    let outcomes = tokio::time::timeout(LONG, tickets.outcomes()).await.expect("given up in time");
    assert!(outcomes[0].is_settled(), "{outcomes:?}");
    assert_eq!(scene.number(COUNT).await, 1);
    let stats = writer.close().await.unwrap().stats;
    assert_eq!((stats.committed, stats.retries), (1, 0), "asked, not repeated");
}

#[tokio::test]
async fn a_commit_that_never_arrives_is_repeated() {
    let mut scene = Scene::new(AT_INSERT).await;
    let writer = scene.writer();
    let tickets = scene.push(&writer).await; // the server is at INSERT
    scene.proxy.drop_direction(Direction::ToServer);
    let sent = scene.proxy.counters().client_flushes;
    scene.release().await;
    while scene.proxy.counters().client_flushes == sent {
        tokio::task::yield_now().await; // until COMMIT is sent, and swallowed
    }
    scene.proxy.restore();
    let outcomes = tokio::time::timeout(LONG, tickets.outcomes()).await.expect("given up in time");
    assert!(outcomes[0].is_settled(), "{outcomes:?}");
    assert_eq!(scene.number(COUNT).await, 1);
    let stats = writer.close().await.unwrap().stats;
    assert!(stats.committed == 1 && stats.retries > 0, "repeated: {stats:?}");
}

#[tokio::test]
async fn a_link_that_stays_silent_gives_the_rows_back_in_time() {
    let mut scene = Scene::new(AT_COMMIT).await;
    let retry = Retry { attempts: 3, budget: Duration::from_secs(2), ..Retry::default() };
    let writer = BatchWriter::builder(scene.through.clone()).retry(retry);
    let writer = writer.answer_timeout(Duration::from_millis(500)).start().unwrap();
    let tickets = scene.push(&writer).await;
    scene.proxy.drop_direction(Direction::ToClient);
    scene.release().await;
    let outcomes = tokio::time::timeout(LONG, tickets.outcomes()).await.expect("given up in time");
    let Outcome::Returned(returned) = &outcomes[0] else { panic!("{outcomes:?}") };
    assert!(matches!(returned.why, Why::CommitUnknown(_)), "{}", returned.why);
    assert_eq!(returned.row.id, 1);
    scene.proxy.restore();
    let report = writer.close().await.unwrap();
    assert_eq!((report.stats.rows_in, report.stats.settled()), (1, 1));
    scene.through.close().await;
    assert_eq!((scene.through.status().in_use, scene.through.status().open), (0, 0));
}

#[tokio::test]
async fn a_statement_whose_answer_never_comes_is_repeated() {
    let mut scene = Scene::new(AT_INSERT).await;
    let writer = scene.writer();
    let tickets = scene.push(&writer).await;
    scene.proxy.drop_direction(Direction::ToClient);
    scene.release().await;
    scene.until("SELECT count(*) FROM pg_stat_activity WHERE state = 'idle in transaction'").await;
    scene.proxy.restore();
    let outcomes = tokio::time::timeout(LONG, tickets.outcomes()).await.expect("given up in time");
    assert!(outcomes[0].is_settled(), "{outcomes:?}");
    assert_eq!(scene.number(COUNT).await, 1);
    let stats = writer.close().await.unwrap().stats;
    assert!(stats.committed == 1 && stats.retries > 0, "repeated: {stats:?}");
    assert_eq!(scene.through.status().in_use, 0);
    drop(scene.server);
}

/// SIGSTOP to the server: what was sent lies in its sockets, and goes on when it does.
#[tokio::test]
async fn rows_that_a_frozen_server_had_at_commit_are_stored_once() {
    let mut scene = Scene::new(SLOW_COMMIT).await;
    let writer = scene.writer();
    let tickets = writer.push_many([Reading { id: 1 }]).await.unwrap();
    scene.until("SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'").await;
    frozen_beyond_patience(&scene).await;
    let outcomes = tokio::time::timeout(LONG, tickets.outcomes()).await.expect("given up in time");
    assert!(outcomes[0].is_settled(), "{outcomes:?}");
    assert_eq!(scene.number(COUNT).await, 1);
    let stats = writer.close().await.unwrap().stats;
    assert_eq!((stats.committed, stats.retries), (1, 0), "asked, not repeated");
}

#[tokio::test]
async fn rows_that_come_while_the_server_is_frozen_are_stored_once() {
    let mut scene = Scene::new("").await;
    let writer = scene.writer();
    let before = writer.push_many([Reading { id: 1 }]).await.unwrap().outcomes().await;
    assert!(before[0].is_settled());
    scene.server.freeze();
    let tickets = writer.push_many((2..=1_000).map(|id| Reading { id })).await.unwrap();
    frozen_beyond_patience(&scene).await;
    let outcomes = tokio::time::timeout(LONG, tickets.outcomes()).await.expect("given up in time");
    assert!(outcomes.iter().all(Outcome::is_settled), "{:?}", outcomes.iter().find(|one| !one.is_settled()));
    let counts = (scene.number(COUNT).await, scene.number("SELECT count(DISTINCT id) FROM readings").await);
    assert_eq!(counts, (1_000, 1_000));
    let stats = writer.close().await.unwrap().stats;
    assert!(stats.retries > 0, "it was given up at least once: {stats:?}");
    scene.through.close().await;
    assert_eq!((scene.through.status().in_use, scene.through.status().open), (0, 0));
}

/// Longer than a writer waits for an answer.
async fn frozen_beyond_patience(scene: &Scene) {
    scene.server.freeze();
    tokio::time::sleep(2 * PATIENCE).await;
    scene.server.thaw();
}
